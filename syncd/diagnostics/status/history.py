"""What a watch has seen over the last minutes, drawn as sparklines."""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from syncd.diagnostics.status.facts import FeedStatus

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
        self.top = max(values, default=0.0)

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
        """Note a look."""
        stats = facts.quick.stats
        self._lag.append(stats.lag_seconds)
        self._waiting.append(stats.pending + stats.sending)
        self._rate.append(facts.quick.delivered_per_minute)

    def traces(self) -> Iterator[tuple[str, str, Trace]]:
        """Return each figure's name, unit and course."""
        yield "lag", " s", Trace(tuple(self._lag))
        yield "waiting", "", Trace(tuple(self._waiting))
        yield "a minute", "", Trace(tuple(self._rate))
