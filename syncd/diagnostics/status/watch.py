"""`syncd status --watch`: refreshes, also while a database is unreachable."""

import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.live import Live

from syncd.core.errors import DatabaseUnavailableError, SyncdError
from syncd.core.health import assess
from syncd.core.verdict import Health, HealthIssue, Severity
from syncd.diagnostics.status.document import check_line
from syncd.diagnostics.status.facts import FeedStatus, StatusReader
from syncd.diagnostics.status.history import History
from syncd.diagnostics.status.screen import draw
from syncd.source.connections import Connections


def unread(error: SyncdError) -> Health:
    """Judge a feed that cannot be read at all."""
    return Health([HealthIssue(Severity.DOWN, str(error), error.hint)])


class Watch:
    """Shows one feed until it is stopped: live on a terminal, else line by line."""

    def __init__(
        self,
        feed: str,
        reader: StatusReader,
        connections: Connections,
        seconds: float,
    ) -> None:
        self._feed = feed
        self._reader = reader
        self._connections = connections
        self._seconds = seconds
        self._history = History(seconds)
        self._seen: FeedStatus | None = None

    def run(self, console: Console) -> None:
        """Refresh the screen until `q` or Ctrl-C.

        Raises:
            SyncdError: There is nothing to watch: no ledger, or a feed never started.
        """
        try:
            if console.is_terminal:
                self._run_live(console)
            else:
                self._run_plainly(console)
        except KeyboardInterrupt:
            return

    def _run_live(self, console: Console) -> None:
        with (
            Live(console=console, auto_refresh=False, screen=True) as live,
            _single_keys(),
        ):
            while True:
                health, facts = self._read()
                at = facts.quick.stats.now if facts else datetime.now(UTC)
                screen = draw(
                    self._feed, health, self._seen, at=at, history=self._history
                )
                live.update(screen, refresh=True)
                if _is_ended(self._seconds):
                    return

    def _run_plainly(self, console: Console) -> None:
        while True:
            health, facts = self._read()
            line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {check_line(health, facts)}"
            console.print(line, markup=False, soft_wrap=True)
            time.sleep(self._seconds)

    def _read(self) -> tuple[Health, FeedStatus | None]:
        """Read once; what was seen last is kept when that fails.

        Raises:
            SyncdError: At the first look: there is nothing to watch.
        """
        try:
            facts = self._reader.read()
        except SyncdError as error:
            if self._seen is None and not isinstance(error, DatabaseUnavailableError):
                raise
            self._connections.close()
            self._reader.forget()
            return unread(error), None
        self._seen = facts
        self._history.add(facts)
        return assess(facts.health_inputs()), facts


@contextmanager
def _single_keys() -> Iterator[None]:
    """Read keys one by one and unseen, if there is a keyboard."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _is_ended(seconds: float) -> bool:
    """Wait; True as soon as a stop was requested."""
    if not sys.stdin.isatty():
        time.sleep(seconds)
        return False
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([sys.stdin], [], [], left)[0] and sys.stdin.read(1) in "qQ":
            return True
    return False
