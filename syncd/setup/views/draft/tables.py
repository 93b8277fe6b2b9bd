"""Which tables hold the orders and their lines, and which column is the orders' key."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

from syncd.core.sql_text import quoted
from syncd.setup.views.draft.choice import Certainty, Choice
from syncd.setup.views.draft.roles import ROLES
from syncd.setup.views.draft.samples import Samples
from syncd.setup.views.draft.schema import (
    Catalogue,
    Column,
    Kind,
    Reference,
    Table,
)
from syncd.setup.views.draft.sources import key_and_value
from syncd.setup.views.draft.words import meaning_of, word_set, words

_NOT_ORDERS = word_set(
    """cart line status history payment address refund shipping tax discount meta
    edit supplier archive draft test version reserved price product variant
    currency language email time company key count quantity contact
    parent confirmed canceled subtotal total amount base deleted group ip weight
    point code old new phone country"""
)
_NOT_LINES = word_set(
    """discount tax refund shipping history status payment address reserved cart
    meta edit supplier archive draft test price user email time canceled new old
    group currency confirmed subtotal total deleted base"""
)
_OTHER_WORDS = word_set("log queue gift message export surcharge modification")
_PEOPLE = frozenset({"customer", "user", "contact"})
_NAMED = (
    ({"purchase", "order"}, 3.0),  # what is bought from suppliers, as a rule
    ({"order"}, 6.0),
    ({"sale"}, 4.0),
    ({"purchase"}, 4.0),
    ({"billing"}, 1.5),  # invoices, where nothing is called an order
    ({"placed"}, 1.5),
)
_PLAUSIBLE = 4.0
_HALF = 0.5
_LEAST = 3.5
_NEAR = 3.0
_CLEAR = 2.0
_NO_KEYS = frozenset({Kind.TIME, Kind.JSON, Kind.BOOLEAN, Kind.NUMBER, Kind.DATE})


@dataclass(frozen=True, slots=True)
class Found:
    """A table that may be the one searched for.

    Attributes:
        score: Above `_PLAUSIBLE`: it may well be.
    """

    table: Table
    score: float
    reference: Reference | None = None


def _best_named(name: str, table: Table) -> float:
    """Return how well the best named column of a table fits a role (0 to 10)."""
    role, about = ROLES[name], table.meaning.concepts
    columns = table.of_kind(*role.kinds)
    return max((role.named(c.meaning, about) for c in columns), default=0.0)


def orders_tables(catalogue: Catalogue) -> list[Found]:
    """List the tables that may hold the orders, the likeliest first."""
    found = [
        Found(table, score)
        for table in catalogue.tables
        if (score := _own_score(table)) > 0
    ]
    found.sort(key=lambda f: -f.score)
    whole = []
    for each in found[:40]:
        lines = lines_tables(catalogue, each.table)
        extra = min(lines[0].score, 9.0) * _HALF if lines else 0.0
        whole.append(Found(each.table, each.score + extra + _size(each.table)))
    whole.sort(key=lambda f: (-f.score, f.table.is_view, f.table.name))
    return [f for f in whole if f.score >= _PLAUSIBLE]


def _size(table: Table) -> float:
    if table.rows < 0:
        return 0.0
    return min(log10(table.rows + 1), 5.0) * 0.4 if table.rows else -1.5


def _own_score(table: Table) -> float:
    meaning = table.meaning
    score = _name_score(meaning.concepts) - 0.8 * max(0, meaning.unknown - 1)
    if _OTHER_WORDS & set(words(table.name.name)):
        score -= 4
    score -= 3 * ("archive" in meaning_of(table.name.schema or "").concepts)
    score += 0.25 * _best_named("totalvalue", table)
    score += 0.12 * _best_named("orderid", table)
    score += 0.12 * _best_named("currency", table)
    score += 0.15 * _best_named("email", table)
    score += 1.2 * any(
        meaning_of(r.column).concepts & _PEOPLE for r in table.references
    )
    score += 0.5 * bool(table.of_kind(Kind.TIME, Kind.DATE))
    score += 0.5 * any("status" in c.meaning.concepts for c in table.columns)
    score -= 3 * (not table.key and not table.is_view)
    score -= 3 * any("supplier" in c.meaning.concepts for c in table.columns)
    referring = {reference.column for reference in table.references}
    is_junction = len(table.key) > 1 and referring >= set(table.key)
    return score - 5 * is_junction - 0.5 * table.is_view


def _name_score(concepts: frozenset[str]) -> float:
    against = len(concepts & _NOT_ORDERS)
    for known, score in _NAMED:
        if known <= concepts:
            return score - 4.0 * against
    return 0.2 - 3.0 * against


def lines_tables(catalogue: Catalogue, orders: Table) -> list[Found]:
    """List the tables that may hold the lines of the orders, the likeliest first."""
    children = catalogue.children(orders)
    declared = {table.name for table, reference in children if reference.is_declared}
    found = [
        Found(table, score, reference)
        for table, reference in children
        if table.name != orders.name
        and (reference.is_declared or table.name not in declared)
        and (score := _line_score(catalogue, orders, table, reference)) > _LEAST
    ]
    found.sort(key=lambda f: (-f.score, f.table.is_view, f.table.name))
    return found


def _line_score(
    catalogue: Catalogue, orders: Table, table: Table, reference: Reference
) -> float:
    named = table.meaning.concepts
    column = meaning_of(reference.column).concepts
    own = orders.meaning.concepts
    score = 3.0 * ("line" in named) + 1.5 * bool(named & {"product", "variant"})
    score += 1.5 * bool(named & own & {"order", "sale", "purchase", "billing"})
    score -= 3.5 * len((named - own) & _NOT_LINES)
    score -= 2.0 * bool(_OTHER_WORDS & set(words(table.name.name)))
    score -= 3.0 * bool(column & {"parent", "refund", "old", "new", "cart"})
    quantity, price = _best_named("quantity", table), _best_named("price", table)
    product = max(_best_named("sku", table), _best_named("product_id", table))
    if any(key_and_value(child) for child, _ in catalogue.children(table)):
        quantity, price, product = (max(v, 6.0) for v in (quantity, price, product))
    for other in (catalogue.get(each.table) for each in table.references):
        is_behind = other and other.name not in {orders.name, table.name}
        if other and is_behind and "line" in other.meaning.concepts:
            product = max(product, _best_named("sku", other))
    score += 0.3 * quantity + 0.25 * price + 0.3 * product
    score += 0.1 * _best_named("title", table)
    score += 0.5 * reference.is_declared
    return score - 2.5 * (not product) - 1.5 * (not quantity) + _size(table) * _HALF


def table_choice(
    column: str, found: Sequence[Found], more_doubts: Sequence[str] = ()
) -> Choice:
    """Choose the first of some tables."""
    best, *rest = found
    near = [f for f in rest[:3] if f.score > best.score - _NEAR]
    likely = [f.table.title for f in near[:1] if f.score >= best.score - _CLEAR]
    name = best.table.name
    namesakes = [f.table.title for f in rest if f.table.name.name == name.name]
    doubts = [f"{each} is as likely" for each in likely]
    doubts += [f"{each} has the same name" for each in namesakes[:1]]
    doubts += ["it is empty"] if best.table.rows == 0 else []
    doubts += more_doubts
    return Choice(
        column,
        Certainty.LIKELY if doubts else Certainty.SURE,
        str(name),
        f"{best.table.title}, by its name, its columns and what refers to it",
        tuple(doubts),
        tuple(f.table.title for f in near),
    )


def key_choice(orders: Table, samples: Samples) -> tuple[str, Choice]:
    """Choose the column that is the order's key."""
    if len(orders.key) == 1:
        name = orders.key[0]
        return name, Choice(
            "order_key",
            Certainty.SURE,
            f"o.{quoted(name)}",
            f"{quoted(name)} is the primary key",
        )
    ranked = sorted(orders.columns, key=lambda c: _key_rank(orders, samples, c))
    name = ranked[0].name
    why = "the primary key has several columns" if orders.key else "no primary key"
    return name, Choice(
        "order_key",
        Certainty.DOUBTFUL,
        f"o.{quoted(name)}",
        f"{quoted(name)} by its name: {why}",
        ("it must be unique, never change, and have an index",),
    )


def _key_rank(orders: Table, samples: Samples, column: Column) -> tuple[bool, ...]:
    concepts = column.meaning.concepts
    values = [row.get(column.name) for row in samples.rows(orders)]
    repeats = len(set(values)) < len(values)
    refers = any(r.column == column.name and r.is_declared for r in orders.references)
    return (
        repeats,
        refers,
        column.kind in _NO_KEYS,
        not column.is_unique,
        set(words(column.name)) not in ({"id"}, {"rowid"}),
        not concepts <= {"id", "order", "sale"},
        not concepts <= {"id", "order", "sale", "number"},
    )
