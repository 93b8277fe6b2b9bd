"""What the demo shows on a terminal."""

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from typing_extensions import override

from syncd.demo.sandbox import Totals
from syncd.demo.screen import Screen, Snapshot
from syncd.demo.shop import Sales
from syncd.ledger.stats import FeedStats

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WELL = FeedStats(NOW, NOW, "available", None, NOW, 0, 0, 0, None, 0, 0, 0, 0)


class Terminal(io.StringIO):
    @override
    def isatty(self) -> bool:
        return True


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
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with Screen(terminal) as screen:
        screen.show(Snapshot("selling", 3, Sales(), stats, Totals(), 60.0, "http://x"))
    assert words in terminal.getvalue()
