"""Times of orders: which columns have them, and a way to know when one is confirmed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from syncd.core.sql_text import quoted
from syncd.setup.views.draft.samples import Facts, Row, Samples
from syncd.setup.views.draft.schema import Catalogue, Column, Kind, Table
from syncd.setup.views.draft.status import Status, statuses
from syncd.setup.views.draft.words import word_set, words

_EVENTS = {"paid": 10.0, "placed": 9.0, "confirmed": 9.0, "completed": 8.0}

_NEVER = word_set(
    """updated shipping deleted canceled expired refund email history test old
    parent billing address product line customer user supplier phone language
    draft archive first discount price tax status meta"""
)
_TIMES = frozenset({"time", "created", *_EVENTS})
_ALL = 0.999
_FIRST, _LAST = 946_684_800, 4_102_444_800  # the years 2000 and 2100, in seconds
_ENDS = word_set("closed archived finished")  # after the last change of an order


@dataclass(frozen=True, slots=True)
class Moment:
    """A way to know since when an order is confirmed.

    Attributes:
        key: Column of the table that holds the order's key.
        where: Conditions, with `{alias}.` before each column.
        per_second: Of a time that is a number since 1970: 1, or 1000 for milliseconds.
        orders_where: The same on the order, where the table is another one.
        why: Reasons for it.
        doubts: Reasons against it.
    """

    table: Table
    key: str
    time: Column
    score: float
    why: str
    where: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    orders_where: tuple[str, ...] = ()
    per_second: int | None = None

    def at(self, alias: str = "") -> str:
        """Write the time, of a row with an alias like `c.`."""
        name = f"{alias}{quoted(self.time.name)}"
        if self.per_second is None:
            return name
        scale = "" if self.per_second == 1 else f" / {self.per_second}.0"
        return f"to_timestamp({name}{scale})"


@dataclass(frozen=True)
class Search:
    """What the ways are searched in.

    Attributes:
        key: Column that is the orders' key.
        rows: Sampled orders.
    """

    catalogue: Catalogue
    samples: Samples
    orders: Table
    key: str
    rows: Sequence[Row]

    def statuses_of(self, table: Table) -> list[Status]:
        """List the status columns of a table."""
        return statuses(self.catalogue, self.samples, table)

    @cached_property
    def statuses(self) -> list[Status]:
        """The status columns of the orders."""
        return self.statuses_of(self.orders)


def per_second(column: Column, facts: Facts) -> int | None:
    """Return how many units since 1970 a second has; None: it is no such number."""
    is_named = bool(column.meaning.concepts & _TIMES)
    if column.kind is not Kind.INTEGER or not is_named or facts.positive < _ALL:
        return None
    for units in (1, 1000):
        if _FIRST < facts.middle / units < _LAST:
            return units
    return None


def time_score(column: Column) -> tuple[float, bool]:
    """Return how well a time's name fits, and whether it names an event."""
    meaning = column.meaning
    concepts = meaning.concepts - {"sale", "shop", "cart"}
    if concepts & _NEVER or _ENDS & set(words(column.name)):
        return 0.0, False
    extra = 1.5 * len(concepts - {*_EVENTS, "order", "time", "created", "payment"})
    extra += 1.0 * meaning.unknown
    events = [score for concept, score in _EVENTS.items() if concept in concepts]
    if events:
        return max(events) - extra, True
    if "payment" in concepts:
        return 8.5 - extra, True
    if "order" in concepts:
        return 5.5 - extra, False
    if "created" in concepts:
        return 5.2 - extra, False
    return (4.5 - extra if concepts & {"time"} else 0.0), False


def written_time(table: Table) -> Column | None:
    """Find the time at which a row of a history was written; the first of equals."""
    times = [
        c
        for c in table.of_kind(Kind.TIME, Kind.DATE)
        if not c.meaning.concepts & {"updated", "deleted", "expired"}
    ]
    return max(times, key=lambda c: time_score(c)[0], default=None)


def paid_time(table: Table) -> Column | None:
    """Find the time at which a payment was made."""
    times = table.of_kind(Kind.TIME, Kind.DATE)
    best = max(times, key=lambda c: time_score(c)[0], default=None)
    return best if best and time_score(best)[0] > 0 else None
