"""Finds the rows of the lines: those of a table, or of JSON that an order holds."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from syncd.setup.views.draft.choice import Certainty, Choice
from syncd.setup.views.draft.fields import parsed
from syncd.setup.views.draft.line_conditions import counted_twice, of_lines
from syncd.setup.views.draft.samples import Row, Samples
from syncd.setup.views.draft.schema import (
    Catalogue,
    Column,
    Kind,
    Name,
    Table,
    one_line,
    quote,
)
from syncd.setup.views.draft.sources import Source, reach
from syncd.setup.views.draft.tables import Found, lines_tables, rivals
from syncd.setup.views.draft.words import meaning_of, words

_ROWS = 300
_CLEAR = 2.0
_MOST_TABLES = 6
_KEY = "\0key"  # of the order, where its lines do not hold it


@dataclass(frozen=True, slots=True)
class LinesPlan:
    """Where the lines are, and which of their rows count.

    Attributes:
        json: SQL of an array of JSON that holds them; None: a table does.
    """

    table: Table
    reference: str
    to: str
    where: Sequence[tuple[str, str]] = ()
    version: str | None = None
    json: str | None = None


@dataclass(frozen=True, slots=True)
class FoundLines:
    """The lines, with what can be reached from them.

    Attributes:
        reference: Name under which each sampled row has the order's key.
    """

    plan: LinesPlan
    sources: Sequence[Source]
    reference: str
    choice: Choice


def table_choice(name: str, found: Sequence[Found]) -> Choice:
    """Choose the first of some tables."""
    best = found[0]
    near = rivals(found)
    where = one_line(str(best.table.name))
    is_clear = not near or near[0].score < best.score - _CLEAR
    doubts = [] if is_clear else [f"{one_line(str(near[0].table.name))} is as likely"]
    namesakes = [f for f in found[1:] if f.table.name.name == best.table.name.name]
    doubts += [
        f"{one_line(str(f.table.name))} has the same name" for f in namesakes[:1]
    ]
    if best.table.rows == 0:
        doubts.append("it is empty")
    certainty = Certainty.LIKELY if doubts else Certainty.SURE
    return Choice(
        name,
        certainty,
        str(best.table.name),
        f"{where}, by its name, its columns and what refers to it",
        tuple(doubts),
        tuple(one_line(str(f.table.name)) for f in near),
    )


def lines_of(
    catalogue: Catalogue, samples: Samples, own: Source, key: str
) -> FoundLines | None:
    """Find the lines of the orders: a table, or JSON; None: there are none."""
    found = lines_tables(catalogue, own.table)
    for place, each in enumerate(found[:_MOST_TABLES]):
        reference = each.reference
        if reference is None:
            continue
        keys = [value for row in own.rows if row and (value := row.get(reference.to))]
        rows = samples.matching(each.table, reference.column, keys) if keys else []
        if keys and not rows and not reference.is_declared:
            continue
        sources = reach(catalogue, samples, each.table, "i", rows[:_ROWS])
        choice = table_choice("lines", found[place:])
        doubts = list(counted_twice(each.table, rows, reference.column))
        if not reference.is_declared:
            why = f"{quote(reference.column)} is the order's {quote(reference.to)}"
            doubts.append(f"no foreign key shows that {why}")
        if doubts:
            doubts = [*choice.doubts, *doubts]
            choice = replace(choice, certainty=Certainty.LIKELY, doubts=tuple(doubts))
        plan = LinesPlan(
            each.table,
            reference.column,
            reference.to,
            list(of_lines(each.table, samples, rows, reference.column)),
            _version(each.table),
        )
        if reference.to != key:
            sources = _rekeyed(sources, own, reference.column, reference.to, key)
            return FoundLines(plan, sources, _KEY, choice)
        return FoundLines(plan, sources, reference.column, choice)
    return _json_lines(own, key)


def _rekeyed(
    sources: list[Source], own: Source, column: str, to: str, key: str
) -> list[Source]:
    """Add to each line the key of its order, which it names by another column."""
    keys = {row.get(to): row.get(key) for row in own.rows if row}
    base = sources[0]
    rows = [
        {**row, _KEY: keys.get(row.get(column))} if row else None for row in base.rows
    ]
    return [Source(base.alias, base.table, None, base.about, 0, rows), *sources[1:]]


def _version(table: Table) -> str | None:
    for column in table.columns:
        if column.kind is Kind.INTEGER and set(words(column.name)) == {"version"}:
            return column.name
    return None


def _json_lines(own: Source, key: str) -> FoundLines | None:
    """Find lines that an order holds itself, as an array of JSON objects."""
    for column in own.table.of_kind(Kind.JSON, Kind.TEXT):
        rows: list[Row] = []
        for row in own.rows:
            array = parsed(row.get(column.name)) if row else None
            rows += [
                {"line": json.dumps(item), _KEY: row.get(key) if row else None}
                for item in (array if isinstance(array, list) else ())
                if isinstance(item, dict)
            ]
        concepts = {
            c for row in rows for name in _keys(row) for c in meaning_of(name).concepts
        }
        if not concepts & {"quantity", "price", "count"}:
            continue
        name = Name(own.table.name.schema, f"{own.table.name.name}.{column.name}")
        table = Table(name, (Column("line", Kind.JSON, "jsonb"),))
        json_text = f"o.{quote(column.name)}"
        if column.kind is Kind.TEXT:
            json_text = f"(CASE WHEN {json_text} LIKE '[%' THEN {json_text}::jsonb END)"
        elif column.type != "jsonb":
            json_text += "::jsonb"
        source = Source("i", table, None, frozenset({"line"}), 0, rows[:_ROWS])
        plan = LinesPlan(table, "", "", json=json_text)
        where = one_line(f"{own.table.name}.{quote(column.name)}")
        choice = Choice(
            "lines",
            Certainty.LIKELY,
            plan.json,
            f"{where} holds arrays of objects",
            ("within JSON",),
        )
        return FoundLines(plan, [source], _KEY, choice)
    return None


def _keys(row: Row) -> list[str]:
    item = parsed(row["line"])
    return list(item) if isinstance(item, dict) else []
