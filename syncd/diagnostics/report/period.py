"""A period cut into hours, days or months of a time zone; every order is in one."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import Enum

HOURLY = timedelta(days=3)
DAILY = timedelta(days=400)


class Unit(Enum):
    """What a period is cut into."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Period:
    """From `lower` (included) to `upper` (excluded), cut where its zone's clocks do.

    Attributes:
        starts: Of its parts, in order; the first is `lower`. Never empty.
    """

    lower: datetime
    upper: datetime
    unit: Unit
    zone: tzinfo
    starts: tuple[datetime, ...]

    @classmethod
    def of(cls, lower: datetime, upper: datetime, zone: tzinfo) -> "Period":
        """Cut a period: hours up to three days, days up to 400, months above.

        Args:
            lower: Before `upper`; both aware.
            upper: Excluded.
            zone: Whose midnights and months count.
        """
        span = upper - lower
        unit = Unit.HOUR if span <= HOURLY else Unit.DAY
        unit = unit if span <= DAILY else Unit.MONTH
        lower, upper = lower.astimezone(zone), upper.astimezone(zone)
        return cls(lower, upper, unit, zone, tuple(_starts(lower, upper, unit)))

    def marked(self, most: int) -> Sequence[int]:
        """Choose parts to label, evenly apart, on round hours; at most so many."""
        count = len(self.starts)
        if self.unit is not Unit.HOUR:
            return range(0, count, math.ceil(count / most))
        local = [start.astimezone(self.zone) for start in self.starts]
        round_hours = [p for p, start in enumerate(local) if start.minute == 0]
        choices = (
            [place for place in round_hours if local[place].hour % step == 0]
            for step in (1, 2, 3, 6, 12)
        )
        return next(places for places in choices if len(places) <= most)

    def label(self, place: int) -> str:
        """Name a part for an axis, short."""
        start = self.starts[place].astimezone(self.zone)
        if self.unit is Unit.MONTH:
            return f"{start:%b} \N{RIGHT SINGLE QUOTATION MARK}{start:%y}"
        if self.unit is Unit.DAY or start.hour == 0:
            return f"{start.day} {start:%b}"
        return f"{start:%H:%M}"

    def name(self, place: int) -> str:
        """Name a part in full."""
        start = self.starts[place].astimezone(self.zone)
        if self.unit is Unit.MONTH:
            return f"{start:%B %Y}"
        day = f"{start:%a} {start.day} {start:%b %Y}"
        return day if self.unit is Unit.DAY else f"{day}, {start:%H:%M %Z}"


def _starts(lower: datetime, upper: datetime, unit: Unit) -> Iterator[datetime]:
    # in UTC: two times of one zone compare by what its clocks show
    start, end = lower, upper.astimezone(UTC)
    while start.astimezone(UTC) < end:
        yield start
        start = _next(start, unit)


def _next(start: datetime, unit: Unit) -> datetime:
    """Find the next beginning of an hour, a day or a month after a local time."""
    if unit is Unit.HOUR:
        # in UTC: when clocks are set back, an hour comes twice
        past = timedelta(minutes=start.minute, seconds=start.second,
                         microseconds=start.microsecond)  # fmt: skip
        following = start.astimezone(UTC) - past + timedelta(hours=1)
        return following.astimezone(start.tzinfo)
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if unit is Unit.DAY:
        return _existing(midnight + timedelta(days=1))
    return _existing((midnight.replace(day=1) + timedelta(days=32)).replace(day=1))


def _existing(local: datetime) -> datetime:
    """Move a local time that clocks skipped to the one they showed instead."""
    return local.astimezone(UTC).astimezone(local.tzinfo)
