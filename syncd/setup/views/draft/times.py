"""Which column of a table has the time of an event."""

from syncd.setup.views.draft.schema import (
    Column,
    Kind,
    Table,
)
from syncd.setup.views.draft.values import Facts
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


def times_of(table: Table) -> list[Column]:
    """Return the columns of a table that hold times or dates."""
    return table.of_kind(Kind.TIME, Kind.DATE)


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
    """Find the time at which a row of a history was written."""
    ranked = sorted(
        (
            (time_score(c)[0], -i, c)
            for i, c in enumerate(times_of(table))
            if not c.meaning.concepts & {"updated", "deleted", "expired"}
        ),
        key=lambda each: each[:2],
        reverse=True,
    )
    return ranked[0][2] if ranked else None


def paid_time(table: Table) -> Column | None:
    """Find the time at which a payment was made."""
    scored = [(time_score(c), c) for c in times_of(table)]
    scored = [each for each in scored if each[0][0] > 0]
    return max(scored, key=lambda each: each[0][0], default=((0, False), None))[1]
