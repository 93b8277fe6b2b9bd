"""How late orders show: from the stamp until a capture could see them.

An upper bound of what `lookback` must cover, since transactions take time too. Orders
that waited for a daemon to start prove nothing and are left out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from syncd.postgres.database import Database
from syncd.postgres.statements import query

NEWEST_BATCHES = 2_000
NEWEST_ORDERS = 20_000
MARGIN = 1.5
_STEPS = ("10s", "30s", "1m", "2m", "5m", "10m", "30m", "1h", "3h", "6h", "12h")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Lateness:
    """The newest orders' delays from stamp to ledger.

    Attributes:
        orders: How many a capture found by itself.
        usual: What 99 of 100 of those took.
        longest: What the slowest took.
        missed: How many reconciliation had to find.
        oldest: How old the oldest of those was.
    """

    orders: int
    usual: timedelta
    longest: timedelta
    missed: int
    oldest: timedelta


def measure(database: Database, feed_id: int) -> Lateness:
    """Measure the newest orders of the last 30 days."""
    measured = database.row(
        _Seconds,
        query("lateness"),
        feed=feed_id,
        batches=NEWEST_BATCHES,
        orders=NEWEST_ORDERS,
    )
    return Lateness(
        measured.orders,
        timedelta(seconds=measured.usual),
        timedelta(seconds=measured.longest),
        measured.missed,
        timedelta(seconds=measured.oldest),
    )


@dataclass(frozen=True, slots=True)
class _Seconds:
    orders: int
    usual: float
    longest: float
    missed: int
    oldest: float


def recommended(delay: timedelta) -> str:
    """Write the setting of `lookback` that covers a delay with a margin."""
    needed = delay.total_seconds() * MARGIN
    for step in _STEPS:
        if needed <= int(step[:-1]) * _UNITS[step[-1]]:
            return step
    return f"{int(-(-needed // _UNITS['d']))}d"


def short_span(span: timedelta) -> str:
    """Write a span for people, in its largest unit."""
    seconds = span.total_seconds()
    fitting = [unit for unit, size in _UNITS.items() if seconds >= size]
    unit = fitting[-1] if fitting else "s"
    return f"{seconds / _UNITS[unit]:.3g} {unit}"


def skew(database: Callable[[], datetime]) -> timedelta:
    """Report how far a database's clock is ahead of this host's; what is certain of it.

    Half of the time that the question took may be on either way.
    """
    asked = datetime.now(UTC)
    answer = database()
    answered = datetime.now(UTC)
    uncertainty = (answered - asked) / 2
    ahead = answer - (asked + uncertainty)
    certain = max(abs(ahead) - uncertainty, timedelta(0))
    return certain if ahead > timedelta(0) else -certain
