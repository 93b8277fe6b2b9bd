"""What orders' statuses say against a time: confirmed without it, or the reverse."""

from collections.abc import Iterator, Mapping, Sequence

from syncd.setup.views.draft.conditions import statuses
from syncd.setup.views.draft.moment import Search
from syncd.setup.views.draft.samples import Row
from syncd.setup.views.draft.schema import Column, Kind, literal, one_line, quote
from syncd.setup.views.draft.status import Step, is_waiting, step_of

_NEVER = {None, "", "0"}
_SOME = 0.03
_MOST_NAMES = 3
_NUMBERED = frozenset({Kind.INTEGER, Kind.NUMBER})


def contradictions(look: Search, time: Column) -> Iterator[str]:
    """List statuses that disagree with whether an order has a time."""
    having = [row for row in look.rows if row.get(time.name) not in _NEVER]
    others = [row for row in look.rows if row.get(time.name) in _NEVER]
    for column, values, names in statuses(look.catalogue, look.samples, look.orders):
        named = dict(zip(values, names, strict=True))
        of_having = _names(having, column, named)
        if not any(map(step_of, of_having)):
            continue  # it never says that an order is confirmed
        where = one_line(f"{look.orders.name}.{quote(column.name)}")
        waiting = [name for name in of_having if is_waiting(name)]
        if len(waiting) > _SOME * len(having):
            share = _share(waiting, having)
            yield f"{share} that have it are {_listed(waiting)} in {where}"
        missing = [name for name in _names(others, column, named) if _is_far(name)]
        if len(missing) > _SOME * len(others):
            share = _share(missing, others)
            yield f"{share} without it are {_listed(missing)} in {where}"
    if not time.meaning.concepts & {"paid"}:
        yield from unread_statuses(look)


def unread_statuses(look: Search) -> Iterator[str]:
    """List statuses that are numbers without names."""
    known = {c.name for c, _, _ in statuses(look.catalogue, look.samples, look.orders)}
    for column in look.orders.columns:
        concepts = column.meaning.concepts
        is_status = "status" in concepts and not concepts & {"shipping", "history"}
        if column.kind not in _NUMBERED or not is_status or column.name in known:
            continue
        if len({row.get(column.name) for row in look.rows}) > 1:
            where = one_line(f"{look.orders.name}.{quote(column.name)}")
            yield f"{where} is a number: which of its values mean confirmed?"


def _names(
    rows: Sequence[Row], column: Column, named: Mapping[str, str]
) -> Sequence[str]:
    return [named.get(row.get(column.name) or "", "") for row in rows]


def _is_far(name: str) -> bool:
    return step_of(name) >= Step.CONFIRMED


def _share(some: Sequence[str], rows: Sequence[Row]) -> str:
    return f"{len(some) / len(rows):.0%} of the orders"


def _listed(names: Sequence[str]) -> str:
    return " or ".join(map(literal, sorted(set(names))[:_MOST_NAMES]))
