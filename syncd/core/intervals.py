"""Ranges of confirmation times; orders per day, as bars of a plot or as a sample."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """Confirmation times: `lower` excluded, `upper` included; never empty."""

    lower: datetime
    upper: datetime

    def __post_init__(self) -> None:
        if self.lower >= self.upper:
            raise ValueError("an empty span")


MOST_BARS = 31
"""Days that are shown one by one; longer ranges in weeks, months or years."""


def unit(days: Mapping[date, int]) -> str:
    """Choose what one bar stands for: day, week, month or year; `days` is not empty."""
    return _unit((max(days) - min(days)).days + 1)


def bars(days: Mapping[date, int]) -> list[tuple[str, int]]:
    """Group orders per day into bars, in order, empty ones between them too.

    Returns:
        Labels (a day, the Monday of a week, a month or a year) with their orders.
    """
    if not days:
        return []
    first, last, each = min(days), max(days), unit(days)
    found = dict.fromkeys(_labels(each, first, last), 0)
    for day, orders in days.items():
        found[_label(each, day)] += orders
    return list(found.items())


def _unit(span: int) -> str:
    for each, length in (("day", 1), ("week", 7), ("month", 31)):
        if span <= MOST_BARS * length:
            return each
    return "year"


def _label(each: str, day: date) -> str:
    if each == "week":
        day -= timedelta(days=day.weekday())
    return day.isoformat()[: {"month": 7, "year": 4}.get(each, 10)]


def _labels(each: str, first: date, last: date) -> Iterator[str]:
    day = first
    while day <= last:
        yield _label(each, day)
        day += timedelta(days=1)


def spread(days: Mapping[date, int], number: int, zone: tzinfo) -> list[datetime]:
    """Choose times at which about equally many orders lie between one and the next.

    Args:
        days: Orders per day, not empty, each of at least 1.
        number: How many times, at least 1.
        zone: Of the days.

    Returns:
        Aware times in order; the first is the beginning of the first day.
    """
    ordered = sorted(days.items())
    total = sum(days.values())
    chosen: list[datetime] = []
    passed = 0
    for day, orders in ordered:
        begin = datetime.combine(day, time(), zone)
        while len(chosen) < number and total * len(chosen) < number * (passed + orders):
            into = (total * len(chosen) / number - passed) / orders
            chosen.append(begin + timedelta(days=into))
        passed += orders
    return chosen
