from collections.abc import Callable
from contextlib import ExitStack
from unittest.mock import patch

import pytest

from proof.lost_servers import ALL, LOSSES, STEPS, lose_between_steps
from syncd.capture.wal import capture as wal
from syncd.core.errors import StreamBrokenError
from syncd.ledger import admission, batches
from syncd.postgres import connection
from syncd.postgres.statements import Statement, query

pytestmark = [pytest.mark.db, pytest.mark.timeout(300)]

EACH = [(loss, capture) for loss, captures in LOSSES.items() for capture in captures]
SOME = [
    *[("crash-server", capture) for capture in ("poll", "listen", "wal")],
    *[("crash-ledger", capture) for capture in ("listen-apart", "wal-apart")],
    ("promote", "listen"),
]
"""The others need `-m soak`, as do the steps between."""


LATE = range(STEPS - 9, STEPS, 8)


def without_durable_commits(name: str) -> Statement:
    """Find statements as syncd does, but none waits for the disk."""
    return Statement(query(name).text.replace(b"'local'", b"'off'"))


def run(loss: str, capture: str, steps: range) -> None:
    for number, broken in lose_between_steps(loss, ALL[capture], steps):
        assert not broken, (number, broken)


@pytest.mark.parametrize(("loss", "capture"), SOME)
def test_a_lost_server_loses_no_order(loss: str, capture: str) -> None:
    """Unflushed commits of shop and ledger are gone; some steps."""
    run(loss, capture, range(12, STEPS, 15 if loss != "promote" else STEPS))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("loss", "capture"), EACH)
def test_a_server_lost_between_any_two_steps_loses_no_order(
    loss: str, capture: str
) -> None:
    """The steps range from the start of a cycle until after its end."""
    run(loss, capture, range(STEPS))


@pytest.mark.parametrize("capture", ["listen-apart", "wal-apart"])
def test_a_capture_without_durable_commits_is_found(capture: str) -> None:
    """The outbox is empty and the ledger lost its orders; a slot ahead of it stops."""
    find: Callable[[str], Statement] = without_durable_commits
    with ExitStack() as stack:
        for module in (connection, admission, batches, wal):
            stack.enter_context(patch.object(module, "query", find))
        try:
            losses = [*lose_between_steps("crash-ledger", ALL[capture], LATE)]
        except StreamBrokenError:
            return
        assert any(broken for _, broken in losses)
