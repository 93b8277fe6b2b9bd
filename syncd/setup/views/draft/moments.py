"""Since when an order is confirmed: its own time, a history, a payment, a log."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from syncd.core.sql_text import quoted
from syncd.setup.views.draft.choice import Certainty, Choice
from syncd.setup.views.draft.conditions import Standing, gone
from syncd.setup.views.draft.own_times import own_times
from syncd.setup.views.draft.samples import Samples
from syncd.setup.views.draft.schema import Catalogue, Kind, Reference, Table
from syncd.setup.views.draft.sources import Source
from syncd.setup.views.draft.status import Status, Step, first_confirmed
from syncd.setup.views.draft.times import (
    Moment,
    Search,
    paid_time,
    time_score,
    written_time,
)
from syncd.setup.views.draft.words import meaning_of, word_set

_GOOD = 6.0
_BY_STEP = {
    Step.PAID: 9.5,
    Step.PROCESSING: 8.0,
    Step.LATER: 6.5,
    Step.CONFIRMED: 7.5,
    Step.PLACED: 5.5,
}


def moments(
    catalogue: Catalogue, samples: Samples, own: Source, key: str, orders: Standing
) -> list[Moment]:
    """List the ways, the best first; each lists only what is an order."""
    search = Search(catalogue, samples, own.table, key, [r for r in own.rows if r])
    found = [
        *own_times(search, own.table, key, search.rows),
        *_related(search),
        *_logged(search),
    ]
    limited = (_limited(each, own.table, orders) for each in found)
    return sorted(limited, key=lambda m: (-m.score, m.time.name))


def _limited(moment: Moment, table: Table, orders: Standing) -> Moment:
    """Limit a way to the rows that are orders."""
    doubts = (*moment.doubts, *orders.doubts)
    if moment.table.name != table.name:
        return replace(moment, doubts=doubts, orders_where=orders.where)
    where = dict.fromkeys((*moment.where, *orders.where))
    return replace(moment, doubts=doubts, where=tuple(where))


def _related(search: Search) -> Iterator[Moment]:
    """Histories, payments and one-to-one extensions that refer to the order."""
    for table, reference in search.catalogue.children(search.orders):
        about = table.meaning.concepts
        if table.name == search.orders.name or reference.to != search.key:
            continue
        if table.column(reference.column).is_unique:
            rows = search.samples.rows(table)
            for each in own_times(search, table, reference.column, rows):
                yield replace(each, score=each.score - 0.3)
        if about & {"refund", "cart", "discount", "tax", "line"}:
            continue
        if about & {"history", "status"} and "payment" not in about:
            yield from _in_history(search, table, reference)
        elif "payment" in about or "billing" in about:
            yield from _in_payments(search, table, reference)


def _in_history(search: Search, table: Table, reference: Reference) -> Iterator[Moment]:
    time = written_time(table)
    for status in search.statuses_of(table):
        chosen, step = first_confirmed(status.names)
        if not chosen or time is None:
            continue
        doubt = "which status means confirmed is the shop's own"
        yield Moment(
            table,
            reference.column,
            time,
            _BY_STEP[step],
            f"a history, by {quoted(status.column.name)}",
            (status.is_one_of(chosen), *gone(table)),
            () if step is Step.PAID else (doubt,),
        )
        return


def _in_payments(
    search: Search, table: Table, reference: Reference
) -> Iterator[Moment]:
    time = paid_time(table)
    if time is None or (search.rows and not search.samples.rows(table)):
        return
    is_event = time_score(time)[1]
    invoice = 0.0 if "payment" in table.meaning.concepts else 1.5
    there = () if time.is_required else (f"{time.aliased} IS NOT NULL",)
    for status in search.statuses_of(table):
        chosen = [n for n in status.names if first_confirmed([n])[1] >= Step.CONFIRMED]
        if chosen:
            where = (status.is_one_of(chosen), *gone(table), *there)
            score, by = 7.0 if is_event else 6.2, status.column
            break
    else:
        if not there or not (is_event or invoice):
            return
        where, score, by = (*there, *gone(table)), 6.8, time
    yield Moment(
        table,
        reference.column,
        time,
        score - invoice,
        f"a payment, by {quoted(by.name)}",
        where,
        ("a part of the amount may be paid first",),
    )


_OBJECTS = word_set(
    """object_id objectid subject_id auditable_id entity_id record_id item_id
    loggable_id res_id"""
)
"""The number of the row that a log is about, as frameworks name its column."""


def _logged(search: Search) -> Iterator[Moment]:
    """Logs of a whole installation: what was done, to the row of which number."""
    key = search.orders.column(search.key)
    for table in search.catalogue.tables:
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
            values = search.samples.values(table, column.name)
            chosen, step = first_confirmed(
                v for v in values if "order" in meaning_of(v).concepts
            )
            if chosen and step is Step.PAID and time:
                yield Moment(
                    table,
                    objects[0].name,
                    time,
                    8.2,
                    f"the installation's log, by {quoted(column.name)}",
                    (Status(column, values, values).is_one_of(chosen),),
                    ("the log is large, and may be pruned",),
                )
                break


def moment_choice(found: Sequence[Moment]) -> Choice:
    """Choose the first of the ways, if there is one."""
    if not found:
        why = "no column has the time of the confirmation"
        return Choice("confirmed_at", Certainty.GAP, why=why)
    named = [each.table.path(each.time.name) for each in found]
    best = found[0]
    near = [n for n, m in zip(named, found, strict=True) if m.score > best.score - 1.0]
    doubts = list(best.doubts)
    if len(near) > 1:
        doubts.append(f"{near[1]} is as likely")
    if "without time zone" in best.time.type:
        doubts.append(
            "a time without zone: set source.time_zone to where it was written"
        )
    certainty = Certainty.LIKELY if doubts else Certainty.SURE
    if best.score < _GOOD:
        certainty = Certainty.DOUBTFUL
    return Choice(
        "confirmed_at",
        certainty,
        best.at("c."),
        f"{named[0]}: {best.why}",
        tuple(doubts),
        tuple(dict.fromkeys(n for n in named[1:4] if n != named[0])),
    )
