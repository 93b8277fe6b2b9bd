"""The times that an order has itself, with its status or a flag where these decide."""

from collections.abc import Iterator, Sequence

from syncd.setup.views.draft.conditions import gone, is_one_of, statuses
from syncd.setup.views.draft.moment import Moment, Search
from syncd.setup.views.draft.samples import Row
from syncd.setup.views.draft.schema import Column, Kind, Table, quote
from syncd.setup.views.draft.status import confirmed_now, waits
from syncd.setup.views.draft.times import time_score, times_of
from syncd.setup.views.draft.values import Facts, facts_of

_FLAG = frozenset({"paid", "payment", "order", "sale", "status_only"})
_CREATION = (
    "the time is the order's creation: poll finds late what is confirmed later, and "
    'never what is cancelled by then; capture = "listen" is better here'
)
_ALWAYS = 0.999
_FEW = 0.2  # of the orders: a status that so few have is no confirmation


def own_times(
    look: Search, table: Table, key: str, rows: Sequence[Row]
) -> Iterator[Moment]:
    """List the ways that a time of the order, or of a row that extends it, offers."""
    for column in times_of(table):
        score, is_event = time_score(column)
        if score <= 0:
            continue
        facts = facts_of(row.get(column.name) for row in rows)
        made = _own_time(look, table, key, column, facts, score, is_event=is_event)
        if made:
            yield made


def _own_time(  # noqa: PLR0913 - one time column and what is known of it
    look: Search,
    table: Table,
    key: str,
    column: Column,
    facts: Facts,
    score: float,
    *,
    is_event: bool,
) -> Moment | None:
    is_own = table.name == look.orders.name
    where, doubts = [] if is_own else list(gone(table)), []
    name = quote(column.name)
    if is_event and not column.is_required and facts.filled < _ALWAYS:
        if facts.rows and not facts.filled:
            score, doubts = score - 4, ["it is empty in each row that was sampled"]
        where.insert(0, f"{{alias}}.{name} IS NOT NULL")
        why = f"{name} names the event, and is empty until then"
    elif not is_own:
        return None
    else:
        made = _by_flag(look) or _by_status(look)
        if not column.is_required:
            where.insert(0, f"{{alias}}.{name} IS NOT NULL")
        why = f"{name} is the time that the order has"
        waiting = bool(made) or _waits(look)
        score -= (3.0 if is_event else 1.0) * waiting
        if made:
            where.append(made)
            doubts.append(_CREATION)
        elif not is_event or waiting:
            doubts.append("the time is that of the order's birth, not of a payment")
    if column.kind is Kind.DATE:
        score, doubts = score - 2, [*doubts, "a date without a time of day"]
    return Moment(table, key, column, score, why, tuple(where), tuple(doubts))


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
