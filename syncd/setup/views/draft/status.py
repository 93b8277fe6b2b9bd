"""Statuses: which columns hold them, and what they mean for an order."""

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum

from syncd.setup.views.draft.samples import Row, Samples
from syncd.setup.views.draft.schema import Catalogue, Column, Kind, Table, literal
from syncd.setup.views.draft.words import concepts_of, is_plain, word_set, words

_NOT_YET = word_set(
    """pending pend unpaid not niet nicht non onbetaald unbezahlt impaye partial
    partially teilweise gedeeltelijk partiellement awaiting await wait waiting
    wacht wachten open offen new nieuw neu nouveau cart adding arranging draft
    created failed fail error declined denied refused hold onhold review fraud
    invalid pre checkout authorized authorised requested request attente
    abandoned incomplete balance outstanding reminder overdue link email sent"""
)
_GONE = frozenset({"canceled", "refund", "expired", "deleted", "cart", "draft"})
_PROCESSING = word_set(
    """processing processed process behandeling verwerkt verwerking bearbeitung
    traitement preparation progress picking packed verarbeitet sale done success
    succeeded successful ok fulfilled fulfilling invoiced gefactureerd
    fakturiert facture payed unfulfilled"""
)


_EVENTS = frozenset({"type", "action"})  # what names an event in a history
_NO_STATUS = frozenset({Kind.TIME, Kind.DATE, Kind.JSON, Kind.BOOLEAN})


class Step(IntEnum):
    """How far an order is, by the name of its status; 0: not confirmed, or unknown."""

    NONE = 0
    PLACED = 1
    CONFIRMED = 2
    LATER = 3
    PROCESSING = 4
    PAID = 5


_STEPS = {
    "placed": Step.PLACED,
    "confirmed": Step.CONFIRMED,
    "completed": Step.LATER,
    "shipping": Step.LATER,
}


def step_of(value: str) -> Step:
    """Return what a status or event means."""
    if not is_plain(value):
        return Step.NONE
    parts, concepts = set(words(value)), _concepts(value)
    if parts & _NOT_YET or concepts & _GONE:
        return Step.NONE
    if "paid" in concepts:
        return Step.PAID
    if parts & _PROCESSING:
        return Step.PROCESSING
    return max(
        (_STEPS.get(concept, Step.NONE) for concept in concepts), default=Step.NONE
    )


def is_waiting(value: str) -> bool:
    """Return whether a status means that the order is not confirmed yet."""
    parts = set(words(value))
    is_over = bool(_concepts(value) & {"canceled", "refund"})
    return is_plain(value) and bool(parts & _NOT_YET) and not is_over


def first_confirmed(values: Iterable[str]) -> tuple[list[str], Step]:
    """Choose the values of a history that mark the confirmation.

    Where one means paid, no other counts; otherwise the first step that there is, with
    those that follow it, since the first row of an order counts.
    """
    steps = {value: step for value in values if (step := step_of(value))}
    if any("order" in _concepts(value) for value in steps):
        steps = {v: s for v, s in steps.items() if not _is_of_part(v)}
    top = max(steps.values(), default=Step.NONE)
    if top is Step.PAID:
        paid = [value for value, step in steps.items() if step is Step.PAID]
        whole = [v for v in paid if not {"payment"} & _concepts(v)]
        of_order = [v for v in whole if "order" in _concepts(v)]
        return sorted(of_order or whole or paid), top
    if top is Step.PROCESSING:
        floor = Step.LATER
        return sorted(v for v, step in steps.items() if step >= floor), top
    return sorted(steps), top


def _is_of_part(value: str) -> bool:
    """Return whether a step is that of a line, and not of the order."""
    concepts = _concepts(value)
    return "line" in concepts and "order" not in concepts


def confirmed_now(values: Iterable[str]) -> list[str]:
    """Choose the present statuses that only a confirmed order has."""
    steps = {value: step for value in values if (step := step_of(value))}
    floor = min(Step.CONFIRMED, max(steps.values(), default=Step.NONE))
    return sorted(value for value, step in steps.items() if step >= max(floor, 1))


def waits(values: Iterable[str]) -> bool:
    """Return whether some orders are not confirmed yet, or not any more."""
    return any(not step_of(value) for value in values)


def _concepts(value: str) -> set[str]:
    return {concept for word in words(value) for concept in concepts_of(word)}


def statuses(
    catalogue: Catalogue, samples: Samples, table: Table
) -> list[tuple[Column, Sequence[str], Sequence[str]]]:
    """List the status columns of a table, with values and what these are called."""
    is_history = bool(table.meaning.concepts & {"history", "status"})
    found = []
    for column in table.columns:
        concepts = column.meaning.concepts
        is_event = column.name.lower() in _EVENTS or concepts & {"history", "group"}
        if "status" not in concepts and not (is_history and is_event):
            continue
        if concepts & {"old", "shipping", "tax"} or column.kind in _NO_STATUS:
            continue
        values, names = named_values(catalogue, samples, table, column)
        if names:
            found.append((column, values, names))
    return sorted(found, key=lambda each: -_rank(each[0]))


def _rank(status: Column) -> int:
    """Rank statuses of payments before others."""
    concepts = status.meaning.concepts
    return ("payment" in concepts) * 2 + ("new" in concepts) + ("status" in concepts)


def named_values(
    catalogue: Catalogue, samples: Samples, table: Table, column: Column
) -> tuple[Sequence[str], Sequence[str]]:
    """Read a column's values; where it is a number, the names of another table."""
    if column.kind is Kind.ENUM:
        return column.labels, column.labels
    by_column = {r.column: r for r in table.references}
    reference = by_column.get(column.name)
    other = catalogue.get(reference.table) if reference else None
    if reference and other:
        rows = samples.rows(other)
        keys = [row.get(reference.to) or "" for row in rows]
        values = () if reference.is_declared else samples.values(table, column.name)
        if not values or set(keys) & set(values):
            return keys, list(_names_of(other, rows))
    if column.kind is not Kind.TEXT:
        return (), ()
    values = samples.values(table, column.name)
    return values, values


def _names_of(table: Table, rows: Sequence[Row]) -> Iterator[str]:
    """Name the rows of a table of statuses: by a flag of payment, or by name."""
    flags = [c for c in table.of_kind(Kind.BOOLEAN) if "paid" in c.meaning.concepts]
    labels = [
        c
        for c in table.of_kind(Kind.TEXT, Kind.ENUM)
        if c.meaning.concepts & {"name", "code", "status", "slug"}
    ]
    for row in rows:
        if flags:
            yield "paid" if row.get(flags[0].name) == "true" else "unpaid"
        else:
            yield (row.get(labels[0].name) or "") if labels else ""


def is_one_of(
    column: Column, chosen: Sequence[str], values: Sequence[str], names: Sequence[str]
) -> str:
    """Write that a status is one of those that were chosen by name."""
    wanted = sorted({v for v, n in zip(values, names, strict=True) if n in chosen})
    numeric = column.kind in {Kind.INTEGER, Kind.NUMBER}
    texts = [v if numeric else literal(v) for v in wanted]
    if len(texts) == 1:
        return f"{column.aliased} = {texts[0]}"
    return f"{column.aliased} IN ({', '.join(texts)})"


def listed(names: Sequence[str]) -> str:
    """List names of statuses, for a person."""
    return " or ".join(map(literal, names))
