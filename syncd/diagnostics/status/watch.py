"""`syncd status --watch`: refreshes, also while a database is unreachable."""

import select
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from syncd.core.errors import DatabaseUnavailableError, SyncdError
from syncd.core.health import assess
from syncd.core.verdict import Health, HealthIssue, Severity
from syncd.diagnostics.status.document import check_line
from syncd.diagnostics.status.facts import FeedStatus, StatusReader
from syncd.diagnostics.status.screen import LABEL_WIDTH, draw
from syncd.source.connections import Connections

MINUTES = 15
_BARS = "▁▂▃▄▅▆▇█"


def condense(values: Sequence[float], width: int) -> list[float]:
    """Reduce values to at most `width`; each stands for the highest of its share."""
    if len(values) <= width:
        return list(values)
    edges = [round(n * len(values) / width) for n in range(width + 1)]
    return [max(values[lower:upper]) for lower, upper in pairwise(edges)]


def bars(values: Sequence[float]) -> str:
    """Draw values as bars from 0 to their highest."""
    top = max(values, default=0.0)
    if top <= 0:
        return _BARS[0] * len(values)
    return "".join(_BARS[round(value / top * (len(_BARS) - 1))] for value in values)


class Trace:
    """One figure over time; draws itself as wide as there is room."""

    def __init__(self, values: Sequence[float]) -> None:
        self._values = values

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        yield Text(bars(condense(self._values, max(1, options.max_width))), "cyan")

    def __rich_measure__(
        self, console: Console, options: ConsoleOptions
    ) -> Measurement:
        return Measurement(1, max(1, options.max_width))


class History:
    """The last minutes of a watch."""

    def __init__(self, seconds: float) -> None:
        kept = max(2, int(MINUTES * 60 / seconds))
        self._lag: deque[float] = deque(maxlen=kept)
        self._waiting: deque[float] = deque(maxlen=kept)
        self._rate: deque[float] = deque(maxlen=kept)

    def add(self, facts: FeedStatus) -> None:
        """Note what was read."""
        stats = facts.quick.stats
        self._lag.append(stats.lag_seconds)
        self._waiting.append(stats.pending + stats.sending)
        self._rate.append(facts.quick.delivered.per_minute)

    def draw(self) -> RenderableType:
        """Draw each figure's course, with its highest value."""
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.add_column(style="dim", no_wrap=True, min_width=LABEL_WIDTH)
        table.add_column(ratio=1, no_wrap=True)
        table.add_column(justify="right", style="dim", no_wrap=True)
        for name, unit, values in (
            ("lag", " s", self._lag),
            ("waiting", "", self._waiting),
            ("a minute", "", self._rate),
        ):
            top = f"top {max(values, default=0.0):,.0f}{unit}"
            table.add_row(f" {name}", Trace(tuple(values)), top)
        return table


def unread(error: SyncdError) -> Health:
    """Judge a feed that cannot be read at all."""
    return Health([HealthIssue(Severity.DOWN, str(error), error.hint)])


class Watch:
    """Shows one feed until it is stopped: live on a terminal, else line by line."""

    def __init__(
        self, feed: str, reader: StatusReader, connections: Connections, seconds: float
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
                seen, history = self._seen, self._history.draw()
                screen = draw(self._feed, health, seen, at=at, history=history)
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
            SyncdError: At the first time: there is nothing to watch.
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
