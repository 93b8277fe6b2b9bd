"""What the demo shows on a terminal."""

import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from typing_extensions import override

from syncd.demo.sandbox import Totals
from syncd.demo.screen import Screen, Snapshot
from syncd.demo.shop import Sales
from syncd.demo.tally import Tally, print_summary
from syncd.ledger.stats import FeedStats

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOTHING = Totals()
WELL = FeedStats(NOW, NOW, "available", None, NOW, 0, 0, 0, None, 0, 0, 0, 0)


class Terminal(io.StringIO):
    @override
    def isatty(self) -> bool:
        return True


def snapshot(
    stats: FeedStats = WELL,
    totals: Totals = NOTHING,
    events: Iterable[Mapping[str, object]] = (),
) -> Snapshot:
    return Snapshot("selling", 3, Sales(), stats, totals, 60.0, "http://x", events)


def screen_of(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, columns: int = 100
) -> str:
    """Return what a terminal gets."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with Screen(terminal) as screen:
        screen.show(snapshot)
    return terminal.getvalue()


@pytest.mark.parametrize(
    ("stats", "words"),
    [
        (WELL, "delivers"),
        (replace(WELL, endpoint="held", endpoint_reason="HTTP 401"), "held: HTTP 401"),
    ],
)
def test_the_demo_shows_whether_its_daemon_delivers(
    stats: FeedStats, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it does not, the screen has the reason."""
    shown = screen_of(snapshot(stats=stats), monkeypatch)
    assert words in shown


def test_orders_that_wait_in_the_ledger_are_named() -> None:
    """An API that refuses until the end has made none of them lost."""
    stream = io.StringIO()
    lags = dict.fromkeys(("p50", "p95", "p99", "max"))
    result = Tally(12, 5, 7, 0, 0, lags, ("DEMO-1",))
    facts = {"daemon_rss_mb": 65.0, "daemon_exit_code": 0, "in_ledger": 7}
    print_summary(stream, result, facts)
    assert "NOT what was confirmed: 7 orders still wait in the ledger" in (
        stream.getvalue()
    )


def test_a_narrow_terminal_shows_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their names are cut off, not the numbers."""
    shown = screen_of(snapshot(totals=Totals(orderids=37)), monkeypatch, columns=50)
    assert " 37" in shown


def test_a_log_line_has_no_run_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same in each, and takes the place of what differs."""
    event = {"event": "batch.delivered", "run": "4063c88a", "instance": 1, "orders": 2}
    shown = screen_of(snapshot(events=[event]), monkeypatch)
    assert "orders=2" in shown
    assert "run=" not in shown
    assert "instance=" not in shown
