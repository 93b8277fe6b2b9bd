"""Conditions on rows: what a status must be, and that a row was not deleted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from syncd.setup.views.draft.samples import Row, Samples
from syncd.setup.views.draft.schema import (
    Catalogue,
    Column,
    Kind,
    Table,
    literal,
    one_line,
    quote,
)
from syncd.setup.views.draft.words import is_plain, meaning_of, word_set, words

_ORDER = frozenset({"order", "sale"})
_NO_ORDER = frozenset({"cart", "draft", "refund", "canceled", "test", "supplier"})
_OTHER_PAPERS = frozenset({"billing", "purchase"})  # no orders, where others are
_KIND = frozenset({"group", "id", "shop", *_ORDER, "purchase"})
_HOW = word_set(
    """source origin method methode carrier provider gateway group gruppe groep
    groupe category categories kategorie categorie"""
)
_REFUND = word_set(
    "is refund return credit note creditnote gutschrift retour retoure avoir"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """Which rows of the orders' table are orders of customers.

    Attributes:
        where: Conditions, with `{alias}.` before each column.
        doubts: What they leave open.
    """

    where: tuple[str, ...]
    doubts: tuple[str, ...] = ()


def statuses(
    catalogue: Catalogue, samples: Samples, table: Table
) -> list[tuple[Column, Sequence[str], Sequence[str]]]:
    """List the status columns of a table, with values and what these are called."""
    found = []
    for column in table.columns:
        concepts = column.meaning.concepts
        is_event_kind = "history" in concepts or column.name.lower() in {
            "type",
            "action",
        }
        is_history = bool(table.meaning.concepts & {"history", "status"})
        if not (
            "status" in concepts
            or (is_history and (is_event_kind or concepts & {"group", "history"}))
        ):
            continue
        if concepts & {"old", "shipping", "tax"} or column.kind in {
            Kind.TIME,
            Kind.DATE,
            Kind.JSON,
            Kind.BOOLEAN,
        }:
            continue
        values, names = _named_values(catalogue, samples, table, column)
        if names:
            rank = (
                ("payment" in concepts) * 2
                + ("new" in concepts)
                + ("status" in concepts)
            )
            found.append((rank, (column, values, names)))
    return [each for _, each in sorted(found, key=lambda f: -f[0])]


def _named_values(
    catalogue: Catalogue, samples: Samples, table: Table, column: Column
) -> tuple[Sequence[str], Sequence[str]]:
    """Read a status's values; where it is a number, the names of another table."""
    if column.kind is Kind.ENUM:
        return column.labels, column.labels
    by_column = {r.column: r for r in table.references}
    reference = by_column.get(column.name)
    other = catalogue.get(reference.table) if reference else None
    if other is not None and reference is not None:
        rows = samples.rows(other)
        keys = [row.get(reference.to) or "" for row in rows]
        if reference.is_declared or _has_some(keys, samples.values(table, column.name)):
            return keys, list(_names_of(other, rows))
    if column.kind is not Kind.TEXT:
        return (), ()
    values = samples.values(table, column.name)
    return values, values


def _has_some(keys: Sequence[str], values: Sequence[str]) -> bool:
    """Return whether a guessed reference may be one: by its values, if there are."""
    return not values or bool(set(keys) & set(values))


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
    name = f"{{alias}}.{quote(column.name)}"
    return (
        f"{name} = {texts[0]}" if len(texts) == 1 else f"{name} IN ({', '.join(texts)})"
    )


def gone(table: Table) -> Iterator[str]:
    """Write the conditions under which a row stands: no soft delete, draft or test."""
    for column in table.columns:
        concepts = column.meaning.concepts
        if concepts & {"history", "user", "customer", "email", "number", "status"}:
            continue
        name = f"{{alias}}.{quote(column.name)}"
        is_gone = bool("deleted" in concepts and not concepts & {"line", "product"})
        if column.kind in {Kind.TIME, Kind.DATE} and "deleted" in concepts:
            yield f"{name} IS NULL"
        elif column.kind is Kind.BOOLEAN and (is_gone or _is_no_order(column)):
            yield f"NOT {name}" if column.is_required else f"{name} IS NOT TRUE"


def _is_no_order(flag: Column) -> bool:
    concepts = flag.meaning.concepts
    is_cart = "cart" in concepts and concepts <= {"cart", "status_only", *_ORDER}
    is_refund = "refund" in concepts and set(words(flag.name)) <= _REFUND
    return bool(concepts & {"draft", "test"}) or is_cart or is_refund


def standing(catalogue: Catalogue, samples: Samples, orders: Table) -> Standing:
    """Find which rows are orders: not deleted, and no quotes, refunds or purchases."""
    where, doubts = list(gone(orders)), []
    for column in orders.of_kind(Kind.TEXT, Kind.ENUM, Kind.INTEGER):
        if not is_kind(column):
            continue
        values, names = _named_values(catalogue, samples, orders, column)
        others = _no_orders(names)
        name = one_line(f"{orders.name}.{quote(column.name)}")
        if others and len(others) < len(names):
            without = is_one_of(column, others, values, names)
            where.append(f"({without}) IS NOT TRUE")
            doubts.append(f"without those whose {name} is {_listed(others)}")
        elif len(names or samples.values(orders, column.name)) > 1:
            doubts.append(f"{name} has several kinds, and all are taken for orders")
    return Standing(tuple(where), tuple(doubts))


def is_kind(column: Column, more: frozenset[str] = frozenset()) -> bool:
    """Return whether a column says what a row is, and not how it came to be."""
    concepts = column.meaning.concepts
    is_how = bool(set(words(column.name)) & _HOW)
    return "group" in concepts and concepts <= _KIND | more and not is_how


def _no_orders(names: Sequence[str]) -> list[str]:
    """List the kinds of rows that are no orders of customers, by their names."""
    by_name = {name: meaning_of(name).concepts for name in names if is_plain(name)}
    never = {name for name, concepts in by_name.items() if concepts & _NO_ORDER}
    are_orders = any(
        concepts & _ORDER and not concepts & _OTHER_PAPERS
        for name, concepts in by_name.items()
        if name not in never
    )
    papers = {name for name, c in by_name.items() if are_orders and c & _OTHER_PAPERS}
    return sorted(never | papers)


def _listed(names: Sequence[str]) -> str:
    return " or ".join(map(literal, names))
