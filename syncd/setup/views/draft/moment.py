"""Since when an order is confirmed: its own time, a history, a payment, a log."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from syncd.setup.views.draft.conditions import gone, is_one_of, statuses
from syncd.setup.views.draft.samples import Row, Samples
from syncd.setup.views.draft.schema import (
    Catalogue,
    Column,
    Kind,
    Reference,
    Table,
    quote,
)
from syncd.setup.views.draft.sources import Source
from syncd.setup.views.draft.status import Step, confirmed_now, first_confirmed, waits
from syncd.setup.views.draft.times import paid_time, time_score, times_of, written_time
from syncd.setup.views.draft.values import Facts, facts_of
from syncd.setup.views.draft.words import meaning_of

_BY_STEP = {
    Step.PAID: 9.5,
    Step.PROCESSING: 8.0,
    Step.LATER: 6.5,
    Step.CONFIRMED: 7.5,
    Step.PLACED: 5.5,
}
_ALWAYS = 0.999
_FEW = 0.2  # of the orders: a status that so few have is no confirmation


@dataclass(frozen=True, slots=True)
class Moment:
    """A way to know since when an order is confirmed.

    Attributes:
        key: Column of the table that holds the order's key.
        where: Conditions, with `{alias}.` before each column.
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
    by: Reference | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _Search:
    catalogue: Catalogue
    samples: Samples
    orders: Table
    key: str
    rows: Sequence[Row]


def moments(
    catalogue: Catalogue, samples: Samples, own: Source, key: str
) -> list[Moment]:
    """List the ways, the best first."""
    look = _Search(catalogue, samples, own.table, key, [r for r in own.rows if r])
    found = [
        *_own_times(look, own.table, key, look.rows),
        *_related(look),
        *_logged(look),
    ]
    return sorted(found, key=lambda m: (-m.score, m.time.name))


def _own_times(
    look: _Search, table: Table, key: str, rows: Sequence[Row]
) -> Iterator[Moment]:
    for column in times_of(table):
        score, is_event = time_score(column)
        if score <= 0:
            continue
        facts = facts_of(row.get(column.name) for row in rows)
        made = _own_time(look, table, key, column, facts, score, is_event=is_event)
        if made:
            yield made


def _own_time(  # noqa: PLR0913 - one time column and what is known of it
    look: _Search,
    table: Table,
    key: str,
    column: Column,
    facts: Facts,
    score: float,
    *,
    is_event: bool,
) -> Moment | None:
    where, doubts = list(gone(table)), []
    name = quote(column.name)
    if is_event and not column.is_required and facts.filled < _ALWAYS:
        if facts.rows and not facts.filled:
            score, doubts = score - 4, ["it is empty in each row that was sampled"]
        where.insert(0, f"{{alias}}.{name} IS NOT NULL")
        why = f"{name} names the event, and is empty until then"
    elif table.name != look.orders.name:
        return None
    else:
        made = _by_status(look)
        if not column.is_required:
            where.insert(0, f"{{alias}}.{name} IS NOT NULL")
        why = f"{name} is the time that the order has"
        waiting = bool(made) or _waits(look)
        score -= (3.0 if is_event else 1.0) * waiting
        if made:
            where.append(made)
            doubts.append(
                "the status changes: what is confirmed and cancelled between "
                "two polls is lost, and the time is the order's creation"
            )
        elif not is_event or waiting:
            doubts.append("the time is that of the order's birth, not of a payment")
    if column.kind is Kind.DATE:
        score, doubts = score - 2, [*doubts, "a date without a time of day"]
    return Moment(table, key, column, score, why, tuple(where), tuple(doubts))


def _waits(look: _Search) -> bool:
    return any(
        waits(values)
        for _, values, _ in statuses(look.catalogue, look.samples, look.orders)
    )


def _by_status(look: _Search) -> str | None:
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


def _related(look: _Search) -> Iterator[Moment]:
    """Histories, payments and one-to-one extensions that refer to the order."""
    for table, reference in look.catalogue.children(look.orders):
        about = table.meaning.concepts
        if table.name == look.orders.name or reference.to != look.key:
            continue
        if table.column(reference.column).is_unique:
            rows = look.samples.rows(table)
            for each in _own_times(look, table, reference.column, rows):
                yield replace(each, score=each.score - 0.3)
        if about & {"refund", "cart", "discount", "tax", "line"}:
            continue
        if about & {"history", "status"} and "payment" not in about:
            yield from _in_history(look, table, reference)
        elif "payment" in about or "billing" in about:
            yield from _in_payments(look, table, reference)


def _in_history(look: _Search, table: Table, reference: Reference) -> Iterator[Moment]:
    time = written_time(table)
    for column, values, names in statuses(look.catalogue, look.samples, table):
        chosen, step = first_confirmed(names)
        if not chosen or time is None:
            continue
        where = (is_one_of(column, chosen, values, names), *gone(table))
        doubts = (
            ()
            if step is Step.PAID
            else ("which status means confirmed is the shop's own",)
        )
        yield Moment(
            table,
            reference.column,
            time,
            _BY_STEP[step],
            f"a history, by {quote(column.name)}",
            where,
            doubts,
            reference,
        )
        return


def _in_payments(look: _Search, table: Table, reference: Reference) -> Iterator[Moment]:
    if look.rows and not look.samples.rows(table):
        return
    about = table.meaning.concepts
    invoice = 1.5 if "payment" not in about else 0.0
    for column, values, names in statuses(look.catalogue, look.samples, table):
        chosen = [n for n in names if first_confirmed([n])[1] >= Step.CONFIRMED]
        time = paid_time(table)
        if chosen and time:
            where = (is_one_of(column, chosen, values, names), *gone(table))
            if not time.is_required:
                where += (f"{{alias}}.{quote(time.name)} IS NOT NULL",)
            score = 7.0 if time_score(time)[1] else 6.2
            yield Moment(
                table,
                reference.column,
                time,
                score - invoice,
                f"a payment, by {quote(column.name)}",
                where,
                ("a part of the amount may be paid first",),
                reference,
            )
            return
    time = paid_time(table)
    if time and (time_score(time)[1] or invoice) and not time.is_required:
        where = (f"{{alias}}.{quote(time.name)} IS NOT NULL", *gone(table))
        yield Moment(
            table,
            reference.column,
            time,
            6.8 - invoice,
            f"a payment, by {quote(time.name)}",
            where,
            ("a part of the amount may be paid first",),
            reference,
        )


_OBJECTS = frozenset(
    {
        "object_id",
        "objectid",
        "subject_id",
        "auditable_id",
        "entity_id",
        "record_id",
        "item_id",
        "loggable_id",
        "res_id",
    }
)
"""The number of the row that a log is about, as frameworks name its column."""


def _logged(look: _Search) -> Iterator[Moment]:
    """Logs of a whole installation: what was done, to the row of which number."""
    key = look.orders.column(look.key)
    for table in look.catalogue.tables:
        about = table.meaning.concepts
        if "history" not in about or "order" in about:
            continue
        objects = [
            c
            for c in table.columns
            if c.kind == key.kind and c.name.lower() in _OBJECTS
        ]
        actions = [
            c
            for c in table.of_kind(Kind.TEXT)
            if c.meaning.concepts & {"group", "history"} or "action" in c.name.lower()
        ]
        time = written_time(table)
        for column in actions if objects and time else ():
            values = look.samples.values(table, column.name)
            chosen, step = first_confirmed(
                v for v in values if "order" in meaning_of(v).concepts
            )
            if chosen and step is Step.PAID and time:
                yield Moment(
                    table,
                    objects[0].name,
                    time,
                    8.2,
                    f"the installation's log, by {quote(column.name)}",
                    (is_one_of(column, chosen, values, values),),
                    ("the log is large, and may be pruned",),
                )
                break
