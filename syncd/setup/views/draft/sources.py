"""What can be reached from one row: its own columns, JSON, rows that it refers to.

Rows are sampled together: each source holds, for each row that was sampled of the base,
the row that belongs to it. So it is known how often there is one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from syncd.core.sql_text import quoted
from syncd.setup.views.draft.samples import Row, Samples, aligned, pivoted
from syncd.setup.views.draft.schema import (
    Catalogue,
    Kind,
    Name,
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
_ONE_OF = frozenset({"address", "customer", "contact", "billing", "user"})
_DEEPEST = 2
_MOST_SOURCES = 40
_KEY_NAMES = {("key",), ("code",), ("attribute",), ("type",), ("class",)}


@dataclass(frozen=True, slots=True)
class Join:
    """How a row is found from another.

    Attributes:
        parent: Alias of the other row.
        on: Column of the table, and column of the parent that it equals.
        is_first: There may be several: one of them is taken.
        first: A condition that the one to take should meet.
    """

    parent: str
    on: tuple[str, str]
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
    """Follow the references of a source."""
    for reference in source.table.references[:_MOST_SOURCES]:
        table = catalogue.get(reference.table)
        about = (
            meaning_of(reference.column).concepts
            | meaning_of(reference.table.name).concepts
        )
        if table is None or table.name == source.table.name:
            continue
        if not (about & _USEFUL or _tells_more(table)):
            continue
        if _is_above(source, table.name):
            continue
        keys = [row.get(reference.column) if row else None for row in source.rows]
        rows, is_found = aligned(samples, table, reference.to, keys)
        if not reference.is_declared and not is_found:
            continue
        stem = [w for w in words(reference.column) if w not in {"id", "fk", "uuid"}]
        made = _alias(stem or list(words(table.name.name)), taken)
        join = Join(source.alias, (reference.to, reference.column))
        yield Source(
            made,
            table,
            join,
            about,
            source.hops + 1,
            rows,
            is_verified=reference.is_declared or any(rows),
            parent=source,
        )


def _tells_more(table: Table) -> bool:
    """Return whether a table of any other kind has what an order may lack."""
    return any("currency" in column.meaning.concepts for column in table.columns)


def _from_one(
    catalogue: Catalogue, samples: Samples, source: Source, taken: set[str]
) -> Iterator[Source]:
    """Find tables that refer to a source's row: addresses, one-to-one extensions."""
    for table, reference in catalogue.children(source.table):
        if table.name == source.table.name or not _belongs(source, table, reference):
            continue
        keys = [row.get(reference.to) if row else None for row in source.rows]
        is_only = table.column(reference.column).is_unique
        pair = None if is_only else key_and_value(table)
        if pair:
            rows, is_found = pivoted(samples, table, reference, keys, pair)
        else:
            rows, is_found = aligned(samples, table, reference.column, keys)
        if not is_found and (pair or not reference.is_declared):
            continue
        yield Source(
            _alias(list(words(table.name.name)), taken),
            table,
            Join(
                source.alias,
                (reference.column, reference.to),
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
    about = table.meaning.concepts
    return about | {"total"} if _has_totals(table, about) else about


def _belongs(source: Source, table: Table, reference: Reference) -> bool:
    """Return whether a table that refers to a row may have more of it."""
    about = _about(table)
    if source.hops:
        is_person = bool(source.about & {"customer", "user"})
        is_sold = bool(source.about & {"product", "variant"})
        return source.hops == 1 and bool(
            (is_person and about & {"contact", "email"})
            or (is_sold and _translates(table))
        )
    if table.column(reference.column).is_unique:
        return True
    if about & {"history", "refund", "payment", "cart"}:
        return False
    return bool(about & _ONE_OF or "total" in about or key_and_value(table))


def _translates(table: Table) -> bool:
    return any(
        w in {"translation", "lang", "language", "description", "i18n"}
        for w in words(table.name.name)
    )


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


def _has_totals(table: Table, about: frozenset[str]) -> bool:
    return "total" in about or any(
        c.kind is Kind.JSON and "total" in c.meaning.concepts for c in table.columns
    )


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


def _is_above(source: Source | None, name: Name) -> bool:
    while source is not None:
        if source.table.name == name:
            return True
        source = source.parent
    return False


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
