"""Conditions on lines: goods only, each once."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from syncd.setup.views.draft.conditions import gone, is_kind
from syncd.setup.views.draft.roles import QUANTITY
from syncd.setup.views.draft.samples import Row, Samples
from syncd.setup.views.draft.schema import Column, Kind, Table, literal, quote
from syncd.setup.views.draft.values import number
from syncd.setup.views.draft.words import is_plain, meaning_of, word_set, words

_GOODS = frozenset({"product", "variant", "line"})
_NO_GOODS = frozenset({"discount", "shipping", "tax", "payment"})
_LINE = word_set("is line item")
_CHARGES = word_set(
    """delivery shipping freight lieferung versand levering verzending livraison
    downpayment deposit fee surcharge"""
)
_NOWHERE = frozenset[str]()
_NAMED = 6.0
_MOST = 0.8
_CLOSE = 0.011


def of_lines(
    table: Table, samples: Samples, rows: Sequence[Row], reference: str
) -> Iterator[tuple[str, str]]:
    """Write which rows are lines of what was bought, each with its reason."""
    for condition in gone(table):
        yield condition, "no row that was deleted"
    yield from _charges(table, rows)
    yield from _headings(table, rows)
    for column in _parents(table, rows, reference):
        if _are_parts(table, column.name, rows):
            yield f"{{alias}}.{quote(column.name)} IS NULL", "no part of another line"
    for column in table.of_kind(Kind.TEXT, Kind.ENUM):
        if not is_kind(column, _GOODS):
            continue
        values = column.labels or samples.values(table, column.name)
        others = [value for value in values if _is_charge(value)]
        if others and len(others) < len(values):
            listed = ", ".join(map(literal, others))
            name = f"{{alias}}.{quote(column.name)}"
            yield (
                f"({name} IN ({listed})) IS NOT TRUE",
                "goods only, no shipping or discount",
            )


def counted_twice(table: Table, rows: Sequence[Row], reference: str) -> Iterator[str]:
    """List what may count goods twice: lines with parts, both with prices."""
    for column in _parents(table, rows, reference):
        if parts_of(rows, column.name) and not _are_parts(table, column.name, rows):
            name = quote(column.name)
            yield f"lines that have {name} have a price, as the line that it names"


def _is_charge(kind: str) -> bool:
    concepts = meaning_of(kind).concepts
    is_charge = bool(concepts & _NO_GOODS or set(words(kind)) & _CHARGES)
    return is_plain(kind) and is_charge


def _charges(table: Table, rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Write that a line is no charge, where a flag shows it: is_delivery."""
    for column in table.of_kind(Kind.BOOLEAN):
        parts = set(words(column.name))
        if "is" not in parts or not parts & _CHARGES or parts - _CHARGES - _LINE:
            continue
        flagged = [row for row in rows if row.get(column.name) == "true"]
        if len(flagged) * 2 <= len(rows):
            name = f"{{alias}}.{quote(column.name)}"
            yield f"{name} IS NOT TRUE", "goods only, no shipping or deposit"


def _headings(table: Table, rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Write that a line has a quantity, where some are headings and notes."""
    counts = table.of_kind(Kind.INTEGER, Kind.NUMBER)
    best = max(counts, key=lambda c: QUANTITY.named(c.meaning, _NOWHERE), default=None)
    if best is None or QUANTITY.named(best.meaning, _NOWHERE) < _NAMED:
        return
    empty = [row for row in rows if number(row.get(best.name)) == 0]
    if empty and len(empty) * 2 <= len(rows):
        name = f"{{alias}}.{quote(best.name)}"
        yield f"{name} IS DISTINCT FROM 0", "no heading or note: these have no quantity"


def _parents(table: Table, rows: Sequence[Row], reference: str) -> list[Column]:
    """List the columns that name another line, of which a line may be a part."""
    return [c for c in table.columns if _is_parent(table, c, rows, reference)]


def _is_parent(
    table: Table, column: Column, rows: Sequence[Row], reference: str
) -> bool:
    concepts = column.meaning.concepts
    if column.name == reference or concepts & {"old", "new", "refund", "edit"}:
        return False
    for each in table.references:
        if each.column == column.name and each.is_declared:
            return each.table == table.name
    if "parent" in concepts and ("line" in concepts or concepts == {"parent", "id"}):
        return True
    return "id" in concepts and _names_lines(table, column.name, rows, reference)


def _names_lines(
    table: Table, column: str, rows: Sequence[Row], reference: str
) -> bool:
    """Return whether the values of a column are keys of lines of the same order."""
    if len(table.key) != 1 or column in table.key:
        return False
    places = {(row.get(table.key[0]), row.get(reference)) for row in rows}
    some = parts_of(rows, column)
    named = [1 for row in some if (row.get(column), row.get(reference)) in places]
    return bool(some) and len(some) < len(rows) and len(named) >= _MOST * len(some)


def _are_parts(table: Table, parent: str, rows: Sequence[Row]) -> bool:
    """Return whether lines that have a parent are parts of it: it has their price."""
    prices = [
        column.name
        for column in table.of_kind(Kind.NUMBER, Kind.INTEGER, Kind.MONEY)
        if "price" in column.meaning.concepts
    ]
    children = parts_of(rows, parent)
    priced = [
        row for row in children if any((number(row.get(p)) or 0) > 0 for p in prices)
    ]
    if len(priced) * 2 < len(children) or not children:
        return True
    return any(_adds_up(table, parent, price, rows) for price in prices)


def parts_of(rows: Sequence[Row], parent: str) -> list[Row]:
    """List the lines that have a parent."""
    return [row for row in rows if row.get(parent) not in {None, "", "0"}]


def _adds_up(table: Table, parent: str, price: str, rows: Sequence[Row]) -> bool:
    """Return whether the price of a line with parts is the sum of theirs."""
    if len(table.key) != 1:
        return False
    own = {row.get(table.key[0]): number(row.get(price)) for row in rows}
    sums: dict[str | None, float] = defaultdict(float)
    for row in parts_of(rows, parent):
        sums[row.get(parent)] += number(row.get(price)) or 0.0
    known = [(whole, sums[key]) for key in sums if (whole := own.get(key))]
    agreeing = [1 for whole, parts in known if abs(whole - parts) <= _CLOSE]
    return bool(known) and len(agreeing) >= _MOST * len(known)
