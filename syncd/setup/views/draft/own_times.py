"""The times that an order has itself, with its status or a flag where these decide."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from syncd.setup.views.draft.conditions import gone, is_one_of, statuses
from syncd.setup.views.draft.contradictions import contradictions, unread_statuses
from syncd.setup.views.draft.moment import Moment, Search
from syncd.setup.views.draft.samples import Row
from syncd.setup.views.draft.schema import Column, Kind, Table, quote
from syncd.setup.views.draft.status import confirmed_now, waits
from syncd.setup.views.draft.times import per_second, time_score
from syncd.setup.views.draft.values import Facts, facts_of

_FLAG = frozenset({"paid", "payment", "order", "sale", "status_only"})
_CREATION = (
    "the time is the order's creation: poll finds late what is confirmed later, and "
    'never what is cancelled by then; capture = "listen" is better here'
)
_ALWAYS = 0.999
_FEWER = 0.5  # of the rows that another event has: no event of each order
_FEW = 0.2  # of the orders: a status that so few have is no confirmation


@dataclass(frozen=True, slots=True)
class _Timed:
    """A column of times, with how well its name fits and what its values are like."""

    column: Column
    score: float
    is_event: bool
    facts: Facts
    per_second: int | None = None

    @property
    def is_optional(self) -> bool:
        """Whether a row may lack the time: a number is 0 then."""
        return not self.column.is_required or self.per_second is not None

    @property
    def is_empty_until_then(self) -> bool:
        """Whether only some rows have the time, since not each had the event."""
        return self.is_event and self.is_optional and self.facts.filled < _ALWAYS

    @property
    def is_there(self) -> str:
        """Write that a row has the time."""
        name = f"{{alias}}.{quote(self.column.name)}"
        return f"{name} IS NOT NULL" if self.per_second is None else f"{name} > 0"


def own_times(
    look: Search, table: Table, key: str, rows: Sequence[Row]
) -> Iterator[Moment]:
    """List the ways that a time of the order, or of a row that extends it, offers."""
    timed = list(_timed(table, rows))
    fullest = max((t.facts.filled for t in timed if t.is_event), default=0.0)
    for each in timed:
        if each.score <= 0:
            continue
        if each.is_empty_until_then:
            made = _by_event(look, table, key, each, fullest)
        elif table.name == look.orders.name:
            made = _by_creation(look, key, each)
        else:
            continue
        yield _by_kind(made, each)


def _timed(table: Table, rows: Sequence[Row]) -> Iterator[_Timed]:
    """List the columns of times, and those of numbers that are times."""
    for column in table.of_kind(Kind.TIME, Kind.DATE, Kind.INTEGER):
        values = [row.get(column.name) for row in rows]
        if column.kind is not Kind.INTEGER:
            yield _Timed(column, *time_score(column), facts_of(values))
            continue
        facts = facts_of(None if value == "0" else value for value in values)
        if units := per_second(column, facts):
            yield _Timed(column, *time_score(column), facts, units)


def _by_kind(made: Moment, timed: _Timed) -> Moment:
    """Add what the kind of the column means for a time."""
    if timed.per_second is not None:
        doubts = (*made.doubts, "a number since 1970, which needs an index of its own")
        return replace(made, doubts=doubts, per_second=timed.per_second)
    if timed.column.kind is Kind.DATE:
        doubts = (*made.doubts, "a date without a time of day")
        return replace(made, score=made.score - 2, doubts=doubts)
    return made


def _by_event(
    look: Search, table: Table, key: str, timed: _Timed, fullest: float
) -> Moment:
    """Take a time that is empty until the event."""
    is_own = table.name == look.orders.name
    score, doubts, facts = timed.score, [], timed.facts
    name = quote(timed.column.name)
    if facts.rows and not facts.filled:
        score, doubts = score - 4, ["it is empty in each row that was sampled"]
    elif facts.filled < _FEWER * fullest and not _is_payment(timed.column):
        score, doubts = score - 4, ["other events have a time in many more rows"]
    elif is_own:
        doubts += contradictions(look, timed.column)
    where = (timed.is_there, *(() if is_own else gone(table)))
    why = f"{name} names the event, and is empty until then"
    return Moment(table, key, timed.column, score, why, where, tuple(doubts))


def _is_payment(column: Column) -> bool:
    return bool(column.meaning.concepts & {"paid", "payment"})


def _by_creation(look: Search, key: str, timed: _Timed) -> Moment:
    """Take a time that each order has, and what shows which orders are confirmed."""
    column, score, doubts = timed.column, timed.score, []
    name = quote(column.name)
    made = _by_flag(look) or _by_status(look)
    where = [timed.is_there] if timed.is_optional else []
    waiting = bool(made) or _waits(look)
    score -= (3.0 if timed.is_event else 1.0) * waiting
    if made:
        where.append(made)
        doubts.append(_CREATION)
    elif not timed.is_event or waiting:
        doubts.append("the time is that of the order's birth, not of a payment")
        doubts += unread_statuses(look)
    why = f"{name} is the time that the order has"
    return Moment(look.orders, key, column, score, why, tuple(where), tuple(doubts))


def _waits(look: Search) -> bool:
    return any(
        waits(values)
        for _, values, _ in statuses(look.catalogue, look.samples, look.orders)
    )


def _by_flag(look: Search) -> str | None:
    """Write that a flag says paid; None: there is none, or hardly any order has it."""
    for column in look.orders.of_kind(Kind.BOOLEAN):
        concepts = column.meaning.concepts
        if "paid" not in concepts or concepts - _FLAG:
            continue
        have = [row.get(column.name) == "true" for row in look.rows]
        if not have or sum(have) > _FEW * len(have):
            return f"{{alias}}.{quote(column.name)}"
    return None


def _by_status(look: Search) -> str | None:
    """Write the condition on the current status; None: no status shows it."""
    for column, values, names in statuses(look.catalogue, look.samples, look.orders):
        chosen = confirmed_now(names)
        if not chosen or len(chosen) == len(set(names)):
            continue
        wanted = {v for v, n in zip(values, names, strict=True) if n in chosen}
        have = [row.get(column.name) in wanted for row in look.rows]
        if not have or sum(have) > _FEW * len(have):
            return is_one_of(column, chosen, values, names)
    return None
