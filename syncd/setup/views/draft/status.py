"""Statuses: which columns hold them, and what they mean for an order."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from syncd.setup.views.draft.samples import Row, Samples
from syncd.setup.views.draft.schema import Catalogue, Column, Kind, Table, literal
from syncd.setup.views.draft.words import (
    concepts_of,
    is_plain,
    words,
    words_of,
)

_NOT_YET = words_of("not_yet")
_GONE = frozenset({"canceled", "refund", "expired", "deleted", "cart", "draft"})
_PROCESSING = words_of("processing")


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
    steps = _steps(values)
    if any("order" in _concepts(value) for value in steps):
        steps = {v: s for v, s in steps.items() if not _is_of_part(v)}
    top = max(steps.values(), default=Step.NONE)
    if top is Step.PAID:
        paid = [value for value, step in steps.items() if step is Step.PAID]
        whole = [v for v in paid if "payment" not in _concepts(v)]
        of_order = [v for v in whole if "order" in _concepts(v)]
        return sorted(of_order or whole or paid), top
    floor = Step.LATER if top is Step.PROCESSING else Step.PLACED
    return sorted(v for v, step in steps.items() if step >= floor), top


def confirmed_now(values: Iterable[str]) -> list[str]:
    """Choose the present statuses that only a confirmed order has."""
    steps = _steps(values)
    floor = min(Step.CONFIRMED, max(steps.values(), default=Step.NONE))
    return sorted(value for value, step in steps.items() if step >= floor)


def _steps(values: Iterable[str]) -> dict[str, Step]:
    return {value: step for value in values if (step := step_of(value))}


def _is_of_part(value: str) -> bool:
    """Return whether a step is that of a line, and not of the order."""
    concepts = _concepts(value)
    return "line" in concepts and "order" not in concepts


def _concepts(value: str) -> set[str]:
    return {concept for word in words(value) for concept in concepts_of(word)}


@dataclass(frozen=True, slots=True)
class Status:
    """A column, with the values that it has and what each of them is called.

    Attributes:
        names: As many as values.
    """

    column: Column
    values: Sequence[str]
    names: Sequence[str]

    def values_of(self, chosen: Sequence[str]) -> set[str]:
        """Return the values that have one of these names."""
        pairs = zip(self.values, self.names, strict=True)
        return {value for value, name in pairs if name in chosen}

    def names_in(self, rows: Iterable[Row]) -> list[str]:
        """Return what the value of each row is called; empty: unknown."""
        named = dict(zip(self.values, self.names, strict=True))
        return [named.get(row.get(self.column.name) or "", "") for row in rows]

    def is_one_of(self, chosen: Sequence[str]) -> str:
        """Write that a row has one of the values that have these names."""
        is_number = self.column.kind in {Kind.INTEGER, Kind.NUMBER}
        wanted = sorted(self.values_of(chosen))
        texts = wanted if is_number else [literal(value) for value in wanted]
        if len(texts) == 1:
            return f"{self.column.aliased} = {texts[0]}"
        return f"{self.column.aliased} IN ({', '.join(texts)})"


def statuses(catalogue: Catalogue, samples: Samples, table: Table) -> list[Status]:
    """List the status columns of a table whose values have names."""
    is_history = bool(table.meaning.concepts & {"history", "status"})
    found = []
    for column in table.columns:
        concepts = column.meaning.concepts
        is_event = column.name.lower() in _EVENTS or concepts & {"history", "group"}
        if "status" not in concepts and not (is_history and is_event):
            continue
        if concepts & {"old", "shipping", "tax"} or column.kind in _NO_STATUS:
            continue
        found.append(named_values(catalogue, samples, table, column))
    return sorted((s for s in found if s.names), key=lambda s: -_rank(s.column))


def _rank(status: Column) -> int:
    """Rank statuses of payments before others."""
    concepts = status.meaning.concepts
    return ("payment" in concepts) * 2 + ("new" in concepts) + ("status" in concepts)


def named_values(
    catalogue: Catalogue, samples: Samples, table: Table, column: Column
) -> Status:
    """Read a column's values; where it is a number, the names of another table."""
    if column.kind is Kind.ENUM:
        return Status(column, column.labels, column.labels)
    by_column = {r.column: r for r in table.references}
    reference = by_column.get(column.name)
    other = catalogue.get(reference.table) if reference else None
    values: Sequence[str] = ()
    if reference and other:
        rows = samples.rows(other)
        keys = [row.get(reference.to) or "" for row in rows]
        if not reference.is_declared:
            values = samples.values(table, column.name)
        if not values or set(keys) & set(values):
            return Status(column, keys, list(_names_of(other, rows)))
    is_text = column.kind is Kind.TEXT
    values = samples.values(table, column.name) if is_text else ()
    return Status(column, values, values)


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


def listed(names: Sequence[str]) -> str:
    """List names of statuses, for a person."""
    return " or ".join(map(literal, names))
