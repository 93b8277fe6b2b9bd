"""Conditions on rows: those that are orders of customers, and goods, each once."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from syncd.core.sql_text import quoted
from syncd.setup.views.draft.roles import ROLES
from syncd.setup.views.draft.samples import Row, Samples, number
from syncd.setup.views.draft.schema import (
    Catalogue,
    Column,
    Kind,
    Table,
    literal,
)
from syncd.setup.views.draft.status import listed, named_values
from syncd.setup.views.draft.words import (
    is_plain,
    meaning_of,
    word_set,
    words,
    words_of,
)

_ORDER = frozenset({"order", "sale"})
_NO_ORDER = frozenset({"cart", "draft", "refund", "canceled", "test", "supplier"})
_OTHER_PAPERS = frozenset({"billing", "purchase"})  # no orders, where others are
_KIND = frozenset({"group", "id", "shop", *_ORDER, "purchase"})
_HOW = words_of("how")
_REFUND = words_of("refund")
_GOODS = frozenset({"product", "variant", "line"})
_NO_GOODS = frozenset({"discount", "shipping", "tax", "payment"})
_LINE = word_set("is line item")
_CHARGES = words_of("charge")
_NAMED = 6.0
_MOST = 0.8
_CLOSE = 0.011


@dataclass(frozen=True, slots=True)
class Standing:
    """Which rows of the orders' table are orders of customers.

    Attributes:
        where: Conditions, with `{alias}.` before each column.
        doubts: What they leave open.
    """

    where: tuple[str, ...]
    doubts: tuple[str, ...] = ()


def gone(table: Table) -> Iterator[str]:
    """Write the conditions under which a row stands: no soft delete, draft or test."""
    for column in table.columns:
        concepts = column.meaning.concepts
        if concepts & {"history", "user", "customer", "email", "number", "status"}:
            continue
        name = column.aliased
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
        if not _is_kind(column):
            continue
        kinds = named_values(catalogue, samples, orders, column)
        others = _no_orders(kinds.names)
        name = orders.path(column.name)
        if others and len(others) < len(kinds.names):
            where.append(f"({kinds.is_one_of(others)}) IS NOT TRUE")
            doubts.append(f"without those whose {name} is {listed(others)}")
        elif len(kinds.names or samples.values(orders, column.name)) > 1:
            doubts.append(f"{name} has several kinds, and all are taken for orders")
    return Standing(tuple(where), tuple(doubts))


def _is_kind(column: Column, more: frozenset[str] = frozenset()) -> bool:
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


@dataclass(frozen=True)
class LineConditions:
    """Finds which rows of a table are lines of what was bought.

    Attributes:
        rows: Sampled lines.
        reference: Column that names the order.
    """

    table: Table
    samples: Samples
    rows: Sequence[Row]
    reference: str

    def where(self) -> Iterator[tuple[str, str]]:
        """Write the conditions, each with its reason."""
        for condition in gone(self.table):
            yield condition, "no row that was deleted"
        yield from self._no_charges()
        yield from self._no_headings()
        for column in self._parents:
            if self._are_parts(column.name):
                yield f"{column.aliased} IS NULL", "no part of another line"
        for column in self.table.of_kind(Kind.TEXT, Kind.ENUM):
            if not _is_kind(column, _GOODS):
                continue
            values = column.labels or self.samples.values(self.table, column.name)
            others = [value for value in values if _is_charge(value)]
            if others and len(others) < len(values):
                texts = ", ".join(map(literal, others))
                condition = f"({column.aliased} IN ({texts})) IS NOT TRUE"
                yield condition, "goods only, no shipping or discount"

    def doubts(self) -> Iterator[str]:
        """List what may count goods twice: lines with parts, both with prices."""
        for column in self._parents:
            if self._parts(column.name) and not self._are_parts(column.name):
                name = quoted(column.name)
                yield f"lines that have {name} have a price, as the line that it names"

    def _no_charges(self) -> Iterator[tuple[str, str]]:
        """Write that a line is no charge, where a flag shows it: is_delivery."""
        for column in self.table.of_kind(Kind.BOOLEAN):
            parts = set(words(column.name))
            if "is" not in parts or not parts & _CHARGES or parts - _CHARGES - _LINE:
                continue
            flagged = [row for row in self.rows if row.get(column.name) == "true"]
            if len(flagged) * 2 <= len(self.rows):
                condition = f"{column.aliased} IS NOT TRUE"
                yield condition, "goods only, no shipping or deposit"

    def _no_headings(self) -> Iterator[tuple[str, str]]:
        """Write that a line has a quantity, where some are headings and notes."""
        counts = self.table.of_kind(Kind.INTEGER, Kind.NUMBER)
        best = max(counts, key=_as_quantity, default=None)
        if best is None or _as_quantity(best) < _NAMED:
            return
        empty = [row for row in self.rows if number(row.get(best.name)) == 0]
        if empty and len(empty) * 2 <= len(self.rows):
            condition = f"{best.aliased} IS DISTINCT FROM 0"
            yield condition, "no heading or note: these have no quantity"

    @cached_property
    def _parents(self) -> list[Column]:
        """The columns that name another line, of which a line may be a part."""
        return list(filter(self._is_parent, self.table.columns))

    def _is_parent(self, column: Column) -> bool:
        concepts = column.meaning.concepts
        if column.name == self.reference or concepts & {"old", "new", "refund", "edit"}:
            return False
        for each in self.table.references:
            if each.column == column.name and each.is_declared:
                return each.table == self.table.name
        is_of_line = "line" in concepts or concepts == {"parent", "id"}
        if "parent" in concepts and is_of_line:
            return True
        return "id" in concepts and self._names_lines(column.name)

    def _names_lines(self, column: str) -> bool:
        """Return whether the values of a column are keys of lines of the same order."""
        key = self.table.key
        if len(key) != 1 or column in key:
            return False
        places = {(row.get(key[0]), row.get(self.reference)) for row in self.rows}
        some = self._parts(column)
        named = [1 for r in some if (r.get(column), r.get(self.reference)) in places]
        is_rule = len(named) >= _MOST * len(some)
        return bool(some) and len(some) < len(self.rows) and is_rule

    def _are_parts(self, parent: str) -> bool:
        """Return whether lines with a parent are parts of it: it has their price."""
        prices = [
            column.name
            for column in self.table.of_kind(Kind.NUMBER, Kind.INTEGER, Kind.MONEY)
            if "price" in column.meaning.concepts
        ]
        children = self._parts(parent)
        amounts = [
            [number(row.get(price)) or 0 for price in prices] for row in children
        ]
        priced = [1 for each in amounts if any(amount > 0 for amount in each)]
        if len(priced) * 2 < len(children) or not children:
            return True
        return any(self._adds_up(parent, price) for price in prices)

    def _parts(self, parent: str) -> list[Row]:
        return [row for row in self.rows if row.get(parent) not in {None, "", "0"}]

    def _adds_up(self, parent: str, price: str) -> bool:
        """Return whether the price of a line with parts is the sum of theirs."""
        if len(self.table.key) != 1:
            return False
        own = {row.get(self.table.key[0]): number(row.get(price)) for row in self.rows}
        sums: dict[str | None, float] = defaultdict(float)
        for row in self._parts(parent):
            sums[row.get(parent)] += number(row.get(price)) or 0.0
        known = [(whole, sums[key]) for key in sums if (whole := own.get(key))]
        agreeing = [1 for whole, parts in known if abs(whole - parts) <= _CLOSE]
        return bool(known) and len(agreeing) >= _MOST * len(known)


def _is_charge(kind: str) -> bool:
    concepts = meaning_of(kind).concepts
    is_charge = bool(concepts & _NO_GOODS or set(words(kind)) & _CHARGES)
    return is_plain(kind) and is_charge


def _as_quantity(column: Column) -> float:
    return ROLES["quantity"].named(column.meaning, frozenset())
