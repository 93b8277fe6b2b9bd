"""What can be reached from one row: its own columns, JSON, rows that it refers to.

Rows are sampled together: each source holds, for each row that was sampled of the base,
the row that belongs to it. So it is known how often there is one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from syncd.core.sql_text import SqlName, quoted
from syncd.setup.views.draft.samples import Row, Samples, aligned
from syncd.setup.views.draft.schema import (
    Catalogue,
    Kind,
    Reference,
    Table,
    literal,
)
from syncd.setup.views.draft.words import (
    is_plain,
    meaning_of,
    singular,
    word_set,
    words,
)

_USEFUL = word_set(
    """customer user contact address currency language shop billing shipping
    product variant line country company group"""
)
_LEADS_ON = word_set(
    """customer user contact shop variant line address product company"""
)
_TRANSLATION = word_set("translation lang language description i18n")
_ONE_OF = frozenset({"address", "customer", "contact", "billing", "user"})
_DEEPEST = 2
_MOST_SOURCES = 40
_KEY_NAMES = {("key",), ("code",), ("attribute",), ("type",), ("class",)}


@dataclass(frozen=True, slots=True)
class Join:
    """How a row is found from that of the parent.

    Attributes:
        column: Of the table.
        equals: Column of the parent that it equals.
        is_first: There may be several: one of them is taken.
        first: A condition that the one to take should meet.
    """

    column: str
    equals: str
    is_first: bool = False
    first: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A table that is reached, with the rows that belong to the base's.

    Attributes:
        about: What the way to it and its name mean.
        rows: One for each sampled row of the base; None: it has none.
        is_verified: By a foreign key, or since values were found.
        keys: Of a table of keys and values: names of the columns of both.
    """

    alias: str
    table: Table
    join: Join | None
    about: frozenset[str]
    hops: int
    rows: Sequence[Row | None]
    is_verified: bool = True
    keys: tuple[str, str] | None = None
    parent: "Source | None" = field(default=None, repr=False)

    def values(self, column: str) -> list[str | None]:
        """Return what each row has in a column; None: it has nothing, or is missing."""
        return [row.get(column) if row else None for row in self.rows]

    def is_below(self, name: SqlName) -> bool:
        """Return whether it is this table, or was reached through it."""
        is_parents = self.parent is not None and self.parent.is_below(name)
        return self.table.name == name or is_parents


def reach(
    catalogue: Catalogue, samples: Samples, base: Table, alias: str, rows: Sequence[Row]
) -> list[Source]:
    """List the sources of a table's rows: itself, and what belongs to each row."""
    own = Source(alias, base, None, base.meaning.concepts, 0, rows)
    found, taken = [own], {alias, "o", "i", "l", "g", "m", "x", "tax"}
    queue = [own]
    while queue and len(found) < _MOST_SOURCES:
        source = queue.pop(0)
        for each in (
            *_to_one(catalogue, samples, source, taken),
            *_from_one(catalogue, samples, source, taken),
        ):
            found.append(each)
            if each.hops < _DEEPEST and each.about & _LEADS_ON:
                queue.append(each)
    return found


def _to_one(
    catalogue: Catalogue, samples: Samples, source: Source, taken: set[str]
) -> Iterator[Source]:
    for reference in source.table.references[:_MOST_SOURCES]:
        table, name = catalogue.get(reference.table), reference.table.name
        about = meaning_of(reference.column).concepts | meaning_of(name).concepts
        if table is None or source.is_below(table.name):
            continue
        has_currency = any("currency" in c.meaning.concepts for c in table.columns)
        if not (about & _USEFUL or has_currency):
            continue
        keys = source.values(reference.column)
        rows, is_found = aligned(samples, table, reference.to, keys)
        if not reference.is_declared and not is_found:
            continue
        stem = [w for w in words(reference.column) if w not in {"id", "fk", "uuid"}]
        yield Source(
            _alias(stem or list(words(name)), taken),
            table,
            Join(reference.to, reference.column),
            about,
            source.hops + 1,
            rows,
            is_verified=reference.is_declared or any(rows),
            parent=source,
        )


def _from_one(
    catalogue: Catalogue, samples: Samples, source: Source, taken: set[str]
) -> Iterator[Source]:
    """Find tables that refer to a source's row: addresses, one-to-one extensions."""
    for table, reference in catalogue.children(source.table):
        if table.name == source.table.name or not _belongs(source, table, reference):
            continue
        keys = source.values(reference.to)
        is_only = table.column(reference.column).is_unique
        pair = None if is_only else key_and_value(table)
        rows, is_found = aligned(samples, table, reference.column, keys, pair)
        if not is_found and (pair or not reference.is_declared):
            continue
        yield Source(
            _alias(list(words(table.name.name)), taken),
            table,
            Join(
                reference.column,
                reference.to,
                is_first=not is_only and not pair,
                first=_billing_first(samples, table),
            ),
            _about(table),
            source.hops + 1,
            rows,
            is_verified=reference.is_declared or any(rows),
            keys=pair,
            parent=source,
        )


def _about(table: Table) -> frozenset[str]:
    """Return what a table means, and whether JSON in it holds totals."""
    about = table.meaning.concepts
    json = table.of_kind(Kind.JSON)
    has_totals = any("total" in column.meaning.concepts for column in json)
    return about | {"total"} if has_totals else about


def _belongs(source: Source, table: Table, reference: Reference) -> bool:
    """Return whether a table that refers to a row may have more of it."""
    about = _about(table)
    if source.hops:
        is_person = bool(source.about & {"customer", "user"})
        is_sold = bool(source.about & {"product", "variant"})
        has_more = is_person and about & {"contact", "email"}
        translates = is_sold and _TRANSLATION & set(words(table.name.name))
        return source.hops == 1 and bool(has_more or translates)
    if table.column(reference.column).is_unique:
        return True
    if about & {"history", "refund", "payment", "cart"}:
        return False
    return bool(about & _ONE_OF or "total" in about or key_and_value(table))


def _billing_first(samples: Samples, table: Table) -> str | None:
    """Write which of several addresses is the one of the bill; None: unknown."""
    for column in table.columns:
        if "group" not in column.meaning.concepts:
            continue
        values = column.labels or samples.values(table, column.name)
        billing = [
            v for v in values if is_plain(v) and "billing" in meaning_of(v).concepts
        ]
        if billing:
            return f"{quoted(column.name)} = {literal(billing[0])}"
    return None


def key_and_value(table: Table) -> tuple[str, str] | None:
    """Find the columns of a table of keys and values: meta_key, meta_value."""
    texts = [c for c in table.columns if c.kind is Kind.TEXT]
    keys = [c.name for c in texts if words(c.name)[-1:] in _KEY_NAMES]
    values = [
        c.name
        for c in table.columns
        if words(c.name)[-1:] == ("value",) and c.kind in {Kind.TEXT, Kind.NUMBER}
    ]
    is_small = len(table.columns) <= 8  # noqa: PLR2004
    return (keys[0], values[0]) if keys and values and is_small else None


def _alias(stem: list[str], taken: set[str]) -> str:
    name = "_".join([*map(singular, stem)] or ["t"])[:40]
    name = f"t{name}" if name[0].isdigit() else name
    name = name if quoted(name) == name else f"{name}_row"
    made, number = name, 1
    while made in taken:
        number += 1
        made = f"{name}_{number}"
    taken.add(made)
    return made
