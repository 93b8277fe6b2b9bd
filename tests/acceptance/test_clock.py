"""The machine's clock is set while the daemon runs."""

import io
import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.clock import Clock
from support.postgres import wait_until
from support.shop import Shop

from syncd.config.configuration import load
from syncd.daemon.pipeline import Pipeline
from syncd.daemon.tuning import Tuning
from syncd.demo.sandbox import Sandbox
from syncd.log import log as logging
from syncd.log.log import Log

pytestmark = pytest.mark.db


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the seconds by which started processes see the wrong time.

    The monotonic clock is unchanged, as when a machine's clock is set.
    """
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        missing = "faketime is not installed: apt-get install faketime"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    offset = tmp_path / "offset"
    offset.write_text("+0")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(offset))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    return offset


def test_a_daemon_survives_jumps_of_its_machines_clock(
    shop: Shop, sandbox: Sandbox, tmp_path: Path, clock: Path
) -> None:
    """An hour back, then three ahead: orders are sent within moments, each once."""
    config = shop.configure(tmp_path, sandbox.endpoint)
    log = config.with_suffix(".log")
    daemon = shop.start_alone(config)
    wait_until(lambda: "daemon.started" in log.read_text())
    orders: list[str] = []
    for number, offset in enumerate(("-3600", "+7200"), start=1):
        clock.write_text(offset)
        wait_until(lambda n=number: log.read_text().count('"clock.jumped"') == n)
        orders += shop.confirm(3)
        wait_until(lambda n=number: sandbox.received.totals.orderids == 3 * n)
    daemon.terminate()
    assert daemon.wait(60) == 0
    assert {sandbox.received.posts(order) for order in orders} == {1}
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    jumps = [e["jump_seconds"] for e in lines if e["event"] == "clock.jumped"]
    assert [round(jump) for jump in jumps] == [-3600, 10800]
    assert {e["level"] for e in lines} <= {"info", "warning"}


def test_a_clock_that_is_set_back_stops_no_job(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The scheduler would wait for an hour; the daemon makes it continue.

    Also when it had just read the clock, and plans its next run with the old time.
    """
    lines = io.StringIO()
    logging.configure(style="json", stream=lines)
    config = shop.configure(tmp_path, sandbox.endpoint)
    settings = load(config, {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"})
    wall_clock = Clock(time.time)
    life = Pipeline.open(settings, Log("shop"), tuning=Tuning(wall_clock=wall_clock))
    life.begin()
    try:
        shop.confirm(1)
        life.check_clock()
        assert "clock.jumped" not in lines.getvalue()
        wait_until(lambda: "orders.captured" in lines.getvalue())
        wall_clock.advance(-3600)
        plan_an_hour_ahead(life)
        wait_until(lambda: is_idle(life))
        sell(life, shop, sandbox)
        wait_until(lambda: is_idle(life))
        plan_an_hour_ahead(life)
        sell(life, shop, sandbox)
    finally:
        life.halt()
        wait_until(lambda: not life.is_at_work)
        life.close()
    logged = [json.loads(line) for line in lines.getvalue().splitlines()]
    (jumped,) = [line for line in logged if line["event"] == "clock.jumped"]
    assert round(float(jumped["jump_seconds"])) == -3600


def sell(life: Pipeline, shop: Shop, sandbox: Sandbox) -> None:
    """Confirm orders; they are sent once the pipeline has checked its clock."""
    orders = shop.confirm(3)
    life.check_clock()
    wait_until(lambda: all(sandbox.received.posts(order) == 1 for order in orders))


def plan_an_hour_ahead(life: Pipeline) -> None:
    """Move the next runs of its jobs an hour ahead."""
    for job in life.schedule.get_jobs():
        job.modify(next_run_time=datetime.now(UTC) + timedelta(hours=1))


def is_idle(life: Pipeline) -> bool:
    """Return whether the poll is between two runs."""
    return "capture" not in life.reactions.progress.working()
