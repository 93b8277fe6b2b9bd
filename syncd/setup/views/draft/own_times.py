"""The times that an order has itself, with its status or a flag where these decide."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from syncd.core.sql_text import quoted
from syncd.setup.views.draft.conditions import gone
from syncd.setup.views.draft.samples import Facts, Row, facts_of
from syncd.setup.views.draft.schema import Column, Kind, Table
from syncd.setup.views.draft.status import (
    Step,
    confirmed_now,
    is_waiting,
    listed,
    step_of,
)
from syncd.setup.views.draft.times import Moment, Search, per_second, time_score

_FLAG = frozenset({"paid", "payment", "order", "sale", "status_only"})
_CREATION = (
    "the time is the order's creation: poll finds late what is confirmed later, and "
    'never what is cancelled by then; capture = "listen" is better here'
)
_ALWAYS = 0.999
_FEWER = 0.5  # of the rows that another event has: no event of each order
_NEVER = {None, "", "0"}
_SOME = 0.03
_MOST_NAMES = 3
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
        name = self.column.aliased
        return f"{name} IS NOT NULL" if self.per_second is None else f"{name} > 0"


def own_times(
    search: Search, table: Table, key: str, rows: Sequence[Row]
) -> Iterator[Moment]:
    """List the ways that a time of the order, or of a row that extends it, offers."""
    timed = list(_timed(table, rows))
    fullest = max((t.facts.filled for t in timed if t.is_event), default=0.0)
    for each in timed:
        if each.score <= 0:
            continue
        if each.is_empty_until_then:
            made = _by_event(search, table, key, each, fullest)
        elif table.name == search.orders.name:
            made = _by_creation(search, key, each)
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
    search: Search, table: Table, key: str, timed: _Timed, fullest: float
) -> Moment:
    is_own = table.name == search.orders.name
    score, doubts, facts = timed.score, [], timed.facts
    is_payment = timed.column.meaning.concepts & {"paid", "payment"}
    name = quoted(timed.column.name)
    if facts.rows and not facts.filled:
        score, doubts = score - 4, ["it is empty in each row that was sampled"]
    elif facts.filled < _FEWER * fullest and not is_payment:
        score, doubts = score - 4, ["other events have a time in many more rows"]
    elif is_own:
        doubts += _contradictions(search, timed.column)
    where = (timed.is_there, *(() if is_own else gone(table)))
    why = f"{name} names the event, and is empty until then"
    return Moment(table, key, timed.column, score, why, where, tuple(doubts))


def _by_creation(search: Search, key: str, timed: _Timed) -> Moment:
    """Take a time that each order has, and what shows which orders are confirmed."""
    column, score, doubts = timed.column, timed.score, []
    name = quoted(column.name)
    made = _by_flag(search) or _by_status(search)
    where = [timed.is_there] if timed.is_optional else []
    values = [value for status in search.statuses for value in status.values]
    waiting = bool(made) or not all(map(step_of, values))
    score -= (3.0 if timed.is_event else 1.0) * waiting
    if made:
        where.append(made)
        doubts.append(_CREATION)
    elif not timed.is_event or waiting:
        doubts.append("the time is that of the order's birth, not of a payment")
        doubts += _unread_statuses(search)
    why = f"{name} is the time that the order has"
    return Moment(search.orders, key, column, score, why, tuple(where), tuple(doubts))


def _by_flag(search: Search) -> str | None:
    """Write that a flag says paid; None: there is none, or hardly any order has it."""
    for column in search.orders.of_kind(Kind.BOOLEAN):
        concepts = column.meaning.concepts
        if "paid" not in concepts or concepts - _FLAG:
            continue
        if _have_enough(search, column, {"true"}):
            return column.aliased
    return None


def _by_status(search: Search) -> str | None:
    """Write the condition on the current status; None: no status shows it."""
    for status in search.statuses:
        chosen = confirmed_now(status.names)
        if not chosen or len(chosen) == len(set(status.names)):
            continue
        if _have_enough(search, status.column, status.values_of(chosen)):
            return status.is_one_of(chosen)
    return None


def _have_enough(search: Search, column: Column, values: set[str]) -> bool:
    """Return whether more than a few orders have one of some values, if there are."""
    have = [row.get(column.name) in values for row in search.rows]
    return not have or sum(have) > _FEW * len(have)


def _contradictions(search: Search, time: Column) -> Iterator[str]:
    """List statuses that disagree with whether an order has a time."""
    having = [row for row in search.rows if row.get(time.name) not in _NEVER]
    others = [row for row in search.rows if row.get(time.name) in _NEVER]
    for status in search.statuses:
        of_having, of_others = status.names_in(having), status.names_in(others)
        if not any(map(step_of, of_having)):
            continue  # it never says that an order is confirmed
        where = search.orders.path(status.column.name)
        waiting = [name for name in of_having if is_waiting(name)]
        if len(waiting) > _SOME * len(having):
            share = _share(waiting, having)
            yield f"{share} that have it are {_shown(waiting)} in {where}"
        missing = [name for name in of_others if step_of(name) >= Step.CONFIRMED]
        if len(missing) > _SOME * len(others):
            share = _share(missing, others)
            yield f"{share} without it are {_shown(missing)} in {where}"
    if "paid" not in time.meaning.concepts:
        yield from _unread_statuses(search)


def _unread_statuses(search: Search) -> Iterator[str]:
    """List statuses that are numbers without names."""
    known = {status.column.name for status in search.statuses}
    for column in search.orders.of_kind(Kind.INTEGER, Kind.NUMBER):
        concepts = column.meaning.concepts
        is_status = "status" in concepts and not concepts & {"shipping", "history"}
        if not is_status or column.name in known:
            continue
        if len({row.get(column.name) for row in search.rows}) > 1:
            where = search.orders.path(column.name)
            yield f"{where} is a number: which of its values mean confirmed?"


def _share(some: Sequence[str], rows: Sequence[Row]) -> str:
    return f"{len(some) / len(rows):.0%} of the orders"


def _shown(names: Sequence[str]) -> str:
    return listed(sorted(set(names))[:_MOST_NAMES])
