"""The lines of an order: where they are, and what the event's products hold of them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from syncd.core.sql_text import SqlName, quoted
from syncd.setup.views.draft import tax
from syncd.setup.views.draft.choice import Candidates, Certainty, Choice
from syncd.setup.views.draft.conditions import LineConditions
from syncd.setup.views.draft.fields import Field, fields, objects
from syncd.setup.views.draft.prices import Prices
from syncd.setup.views.draft.roles import ROLES
from syncd.setup.views.draft.samples import Row, Samples
from syncd.setup.views.draft.schema import (
    Catalogue,
    Column,
    Kind,
    Table,
    one_line,
)
from syncd.setup.views.draft.sources import Source, reach
from syncd.setup.views.draft.tables import lines_tables, table_choice
from syncd.setup.views.draft.words import meaning_of, words

COUNTED = "count(*)"
"""The quantity, where each row is one piece."""

_ROWS = 300
_MOST_TABLES = 6
_KEY = "\0key"  # of the order, where its lines do not hold it
_NAMED = 4.0
_SOLD = frozenset({"line", "product", "variant", "sku"})


@dataclass(frozen=True, slots=True)
class LineRows:
    """The rows of the lines, with what can be reached from them.

    Attributes:
        sources: Their own table, or what stands for it, comes first.
        key: SqlName under which each sampled row has the order's key.
        reference: Column that names the order; empty where the order holds its lines.
        to: Column of the order that it equals.
        where: Conditions on the rows that count, each with its reason.
        version: Column that numbers versions of a row.
        json: SQL of an array of JSON that holds them; None: a table does.
    """

    sources: Sequence[Source]
    key: str
    choice: Choice
    reference: str = ""
    to: str = ""
    where: Sequence[tuple[str, str]] = ()
    version: str | None = None
    json: str | None = None

    @property
    def table(self) -> Table:
        """Their own table."""
        return self.sources[0].table


def find_lines(
    catalogue: Catalogue, samples: Samples, own: Source, key: str
) -> LineRows | None:
    """Find the lines of the orders: a table, or JSON; None: there are none."""
    found = lines_tables(catalogue, own.table)
    for place, each in enumerate(found[:_MOST_TABLES]):
        table, reference = each.table, each.reference
        if reference is None:
            continue
        keys = [value for row in own.rows if row and (value := row.get(reference.to))]
        rows = samples.matching(table, reference.column, keys) if keys else []
        if keys and not rows and not reference.is_declared:
            continue
        conditions = LineConditions(table, samples, rows, reference.column)
        doubts = list(conditions.doubts())
        if not reference.is_declared:
            why = f"{quoted(reference.column)} is the order's {quoted(reference.to)}"
            doubts.append(f"no foreign key shows that {why}")
        choice = table_choice("lines", found[place:], doubts)
        lines = LineRows(
            reach(catalogue, samples, table, "i", rows[:_ROWS]),
            reference.column,
            choice,
            reference.column,
            reference.to,
            list(conditions.where()),
            _version(table),
        )
        return lines if reference.to == key else _rekeyed(lines, own, key)
    return _lines_in_json(own, key)


def _rekeyed(lines: LineRows, own: Source, key: str) -> LineRows:
    """Add to each line the key of its order, which it names by another column."""
    keys = {row.get(lines.to): row.get(key) for row in own.rows if row}
    base, *others = lines.sources
    rows = [
        {**row, _KEY: keys.get(row.get(lines.reference))} if row else None
        for row in base.rows
    ]
    return replace(lines, sources=[replace(base, rows=rows), *others], key=_KEY)


def _version(table: Table) -> str | None:
    for column in table.columns:
        if column.kind is Kind.INTEGER and set(words(column.name)) == {"version"}:
            return column.name
    return None


def _lines_in_json(own: Source, key: str) -> LineRows | None:
    """Find lines that an order holds itself, as an array of JSON objects."""
    for column in own.table.of_kind(Kind.JSON, Kind.TEXT):
        rows: list[Row] = []
        concepts: set[str] = set()
        for row in filter(None, own.rows):
            for item in objects(row.get(column.name)):
                concepts.update(*(meaning_of(name).concepts for name in item))
                rows.append({"line": json.dumps(item), _KEY: row.get(key)})
        if concepts & {"quantity", "price", "count"}:
            return _in_column(own.table, column, rows[:_ROWS])
    return None


def _in_column(orders: Table, column: Column, rows: Sequence[Row]) -> LineRows:
    array = f"o.{quoted(column.name)}"
    if column.kind is Kind.TEXT:
        array = f"(CASE WHEN {array} LIKE '[%' THEN {array}::jsonb END)"
    elif column.type != "jsonb":
        array += "::jsonb"
    name = SqlName(orders.name.schema, f"{orders.name.name}.{column.name}")
    table = Table(name, (Column("line", Kind.JSON, "jsonb"),))
    choice = Choice(
        "lines",
        Certainty.LIKELY,
        array,
        one_line(f"{orders.name}.{quoted(column.name)} holds arrays of objects"),
        ("within JSON",),
    )
    source = Source("i", table, None, frozenset({"line"}), 0, rows)
    return LineRows([source], _KEY, choice, json=array)


class Lines:
    """Chooses what describes a line."""

    def __init__(self, catalogue: Catalogue, samples: Samples, lines: LineRows) -> None:
        base = lines.sources[0]
        key = base.table.key if len(base.table.key) == 1 else ()
        # The lines' own key names no product, unless with another column.
        self._fields = [
            each
            for source in lines.sources
            for each in fields(source)
            if not (source.hops == 0 and each.column in {lines.key, *key})
        ]
        self._sources = lines.sources
        self._keys = base.values(lines.key)
        near = {source.alias for source in self._near}
        flags = [each for each in self._fields if each.source.alias in near]
        self._rates = list(
            tax.rates(catalogue, samples, lines.sources, self._fields, flags)
        )

    def choices(self, totals: dict[str, float], *, cents: bool | None) -> list[Choice]:
        """Choose product, name, quantity and price.

        Args:
            totals: The total of each sampled order, by key.
            cents: Whether the totals are in hundredths; None: not known.
        """
        quantity = self._find("quantity", self._near)
        prices = Prices(
            self._keys,
            totals,
            cents,
            quantity.best if quantity.is_enough else None,
            [f for f in self._fields if f.source.hops == 0],
            self._rates,
        )
        price = prices.choose(self._find("price", self._near))
        title = self._find("title", self._sold)
        name = title.as_text("products.name", "no column names it")
        return [self._product(), name, _quantity(quantity), price]

    @property
    def _near(self) -> list[Source]:
        """The lines, and rows that hold the rest of a line."""
        return [
            s
            for s in self._sources
            if s.hops == 0
            or s.keys
            or (s.hops == 1 and s.about & {"line"} and not s.about & {"group", "tax"})
        ]

    @property
    def _sold(self) -> list[Source]:
        return [s for s in self._sources if s.hops == 0 or s.keys or s.about & _SOLD]

    def _find(self, role: str, sources: Iterable[Source]) -> Candidates:
        return Candidates.of(ROLES[role], sources, self._fields)

    def _product(self) -> Choice:
        skus = self._find("sku", self._sold)
        ids = self._find("product_id", self._near)
        skus = Candidates(skus.role, [c for c in skus.ranked if c.score >= _NAMED])
        found = skus if skus.ranked else ids
        if not found.ranked:
            return found.gap("products.id", "no column names a product")
        sure, doubts = found.certainty()
        why = f"{found.best.where}: named like an article number"
        if found is ids:
            sure = Certainty.DOUBTFUL
            doubts = ["no article number was found: this is the shop's own id"]
            why = f"{found.best.where}: names the product"
        chosen = [found.best]
        if found.best.facts.filled < 1:
            named = [c.field for c in ids.ranked if c.score >= _NAMED]
            chosen += [each for each in named if each not in chosen][:2]
        texts = [_text(each) for each in chosen]
        both = Candidates(found.role, [*skus.ranked, *ids.ranked])
        return Choice(
            "products.id",
            sure,
            texts[0] if len(texts) == 1 else f"coalesce({', '.join(texts)})",
            why,
            tuple(doubts),
            both.others(*chosen),
            tuple(chosen),
        )


def _quantity(found: Candidates) -> Choice:
    if found.is_enough:
        return found.choice("products.quantity", found.best.number())
    return Choice(
        "products.quantity",
        Certainty.DOUBTFUL,
        COUNTED,
        "no column holds a quantity: each row is a piece, and rows are counted",
        ("rows of the same product, name and price are added up",),
        found.others(),
    )


def _text(field: Field) -> str:
    if field.kind is not Kind.TEXT:
        return field.text
    text = f"nullif({field.expression}, '')"
    return f"nullif({text}, '0')" if field.facts.zeros else text
