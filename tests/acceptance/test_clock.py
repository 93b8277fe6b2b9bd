"""The machine's clock is set while the daemon runs."""

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from postgres import wait_until
from shop import Shop

from syncd import log as logging
from syncd.config import load
from syncd.life import Life
from syncd.sandbox import Sandbox

pytestmark = pytest.mark.db


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def test_a_clock_that_is_set_back_stops_nothing(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The scheduler would wait until the hour has come again; it is told to go on."""
    lines = io.StringIO()
    logging.configure(style="json", stream=lines)
    config = shop.configure(tmp_path, sandbox.endpoint)
    life = Life(load(config, {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"}))
    life.open()
    life.begin()
    try:
        shop.confirm(1)
        life.mind_the_clock()
        assert "clock.jumped" not in lines.getvalue()
        wait_until(lambda: "orders.captured" in lines.getvalue())
        set_back_by_an_hour(life)
        wait_until(lambda: rests(life))
        orders = shop.confirm(3)
        life.mind_the_clock()
        wait_until(lambda: all(sandbox.book.posts(order) == 1 for order in orders))
    finally:
        life.halt()
        wait_until(lambda: not life.is_at_work)
        life.close()
    said = [json.loads(line) for line in lines.getvalue().splitlines()]
    (jumped,) = [line for line in said if line["event"] == "clock.jumped"]
    assert round(float(jumped["jump_seconds"])) == -3600


def set_back_by_an_hour(life: Life) -> None:
    """What a life sees then: its next turns lie an hour ahead, as does the past."""
    vars(life)["_clock_offset"] += 3600
    for job in vars(life)["_scheduler"].get_jobs():
        job.modify(next_run_time=datetime.now(UTC) + timedelta(hours=1))


def rests(life: Life) -> bool:
    """Whether the poll is between two turns."""
    return vars(life.reactions.progress)["_stamps"]["capture"].thread is None
