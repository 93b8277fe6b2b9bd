"""Plots as numbers: where bars, lines and labels go; pure, and free of any library.

Across, places are in percent of the width, so that a page of any width needs no script
and its letters keep their size; downwards they are in pixels.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from syncd.diagnostics.report.period import Period

HEIGHT = 132.0
"""Of the part in which marks are drawn, in pixels."""
TOP = 12.0
LEAST_PIXELS = 1.5
"""What is not nothing is seen, however small."""

NOTHING = "\N{EN DASH}"
"""Shown where there is no value."""

_DAY = 86_400
_SECONDS = (0.01, 0.1, 1, 10, 60, 600, 3600, 6 * 3600, _DAY, 7 * _DAY, 30 * _DAY)
_TICKS = 5
_LABELS = 10
_NARROW_LABELS = 4
_EDGE = 10
"""Percent from an edge within which a label would be cut off, were it centred."""

Format = Callable[[float], str]
Scale = Callable[[float], float]
"""Gives the share of the height, 0 to 1, of a value."""


@dataclass(frozen=True, slots=True)
class Series:
    """Values, one for each part of a period; `kind` is the class of its colour."""

    name: str
    kind: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle: `x` and `width` in percent, `y` and `height` in pixels."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a line; a point where both ends are one."""

    x1: float
    y1: float
    x2: float
    y2: float
    kind: str

    @property
    def is_point(self) -> bool:
        """Whether it stands alone."""
        return self.x1 == self.x2


@dataclass(frozen=True, slots=True)
class Tick:
    """A value's height with its label, in pixels from the top."""

    y: float
    label: str


@dataclass(frozen=True, slots=True)
class Label:
    """A part's name below the plot; `is_minor` where a narrow page leaves it out."""

    x: float
    text: str
    anchor: str
    is_minor: bool


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot with its texts.

    Attributes:
        summary: One sentence that describes the plot.
        series: Those that have a value at all; none: there is nothing to plot.
        is_line: Lines over a scale of tens, instead of stacked bars.
    """

    title: str
    summary: str
    series: Sequence[Series]
    period: Period
    shown: Format
    is_line: bool = False

    @property
    def bars(self) -> Iterator[Bar]:
        """Stack the series' values, the first one lowest."""
        scale, width = self._scale(), self.width
        for place in range(len(self.period.starts)):
            floor = HEIGHT
            for series in self.series:
                if value := series.values[place]:
                    height = max(scale(value) * (HEIGHT - TOP), LEAST_PIXELS)
                    floor -= height
                    x = place * width + width * 0.08
                    yield Bar(x, floor, width * 0.84, height, series.kind)

    @property
    def segments(self) -> Iterator[Segment]:
        """Join each value with the one before it; a gap stays a gap."""
        scale = self._scale()
        for series in self.series:
            before = None
            following = [*series.values[1:], None]
            for place, value in enumerate(series.values):
                x = (place + 0.5) * self.width
                point = None if value is None else (x, self._y(scale(value)))
                if point and (before or following[place] is None):
                    yield Segment(*(before or point), *point, series.kind)
                before = point

    @property
    def ticks(self) -> Iterator[Tick]:
        """Mark values that are easy to read, the lowest first."""
        scale = self._scale()
        for value in self._tick_values():
            yield Tick(self._y(scale(value)), self.shown(value))

    @property
    def labels(self) -> Iterator[Label]:
        """Name parts below the plot, as many as there is room for."""
        marked = self.period.marked(_LABELS)
        major = math.ceil(len(marked) / _NARROW_LABELS)
        for nth, place in enumerate(marked):
            x = (place + 0.5) * self.width
            anchor = "start" if x < _EDGE else "end" if x > 100 - _EDGE else "middle"
            x += {"start": -0.5, "end": 0.5, "middle": 0}[anchor] * self.width
            yield Label(x, self.period.label(place), anchor, nth % major != 0)

    @property
    def tips(self) -> Iterator[tuple[float, str]]:
        """Return what each part holds; with the percentage at which the part begins."""
        for place, (name, values) in enumerate(self.rows):
            named = [f"{s.name} {v}" for s, v in zip(self.series, values, strict=True)]
            yield place * self.width, f"{name}: {', '.join(named)}"

    @property
    def rows(self) -> Iterator[tuple[str, list[str]]]:
        """Return the table: each part's name with its values."""
        for place in range(len(self.period.starts)):
            values = [series.values[place] for series in self.series]
            shown = [NOTHING if v is None else self.shown(v) for v in values]
            yield self.period.name(place), shown

    @property
    def width(self) -> float:
        """Percent of the width that one part takes."""
        return 100 / len(self.period.starts)

    @staticmethod
    def _y(share: float) -> float:
        return HEIGHT - share * (HEIGHT - TOP)

    def _tick_values(self) -> Sequence[float]:
        values = [v for s in self.series for v in s.values if v is not None]
        if self.is_line:
            return _seconds_around(values)
        return _steps_to(self._highest())

    def _highest(self) -> float:
        parts = zip(*(series.values for series in self.series), strict=True)
        return max(sum(value or 0 for value in part) for part in parts)

    def _scale(self) -> Scale:
        ticks = self._tick_values()
        if not self.is_line:
            top = max(ticks[-1], self._highest())
            return lambda value: value / top
        low, high = math.log(ticks[0]), math.log(ticks[-1])
        return lambda value: max(0.0, (math.log(max(value, 1e-6)) - low) / (high - low))


def _steps_to(highest: float) -> list[float]:
    """Return 0 and up to four round values, the last at or below the highest."""
    tens = 10.0 ** math.floor(math.log10(max(highest, 1)))
    steps = [share * tens for share in (0.1, 0.2, 0.5, 1, 2)]
    step = next(s for s in steps if s >= 1 and highest // s < _TICKS)
    return [step * n for n in range(int(highest // step) + 1)]


def _seconds_around(values: Sequence[float]) -> list[float]:
    """Return round durations from below the least value to above the highest."""
    low = max((s for s in _SECONDS[:-1] if s <= min(values)), default=_SECONDS[0])
    high = min((s for s in _SECONDS[1:] if s > max(values)), default=_SECONDS[-1])
    ticks = [s for s in _SECONDS if low <= s <= high]
    step = math.ceil((len(ticks) - 1) / (_TICKS - 1))
    return [*ticks[:-1:step], ticks[-1]] if step > 1 else ticks


def number(value: float) -> str:
    """Write a count."""
    return f"{value:,.0f}"


def duration(seconds: float) -> str:
    """Write a duration with the unit that suits it: "0.12 s", "3 min", "2.5 h"."""
    for limit, unit, name in ((60, 1, "s"), (3600, 60, "min"), (_DAY, 3600, "h")):
        if seconds < limit:
            return f"{float(f'{seconds / unit:.2g}'):g} {name}"
    return f"{seconds / _DAY:,.1f} d"
