"""Reads the catalogue and samples of a database, in one transaction that only reads.

It is lazy and bounded: names of all tables, columns of those whose names promise most,
rows of those that matter, each statement for a few seconds.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from syncd.core.errors import SyncdError
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement, composed, query, quoted
from syncd.setup.views.draft.samples import Row
from syncd.setup.views.draft.schema import (
    Catalogue,
    Column,
    Kind,
    Name,
    Reference,
    Table,
)
from syncd.setup.views.draft.words import said_by, word_set, words

STATEMENT_SECONDS = 5
MOST_TABLES = 1500
"""Tables whose columns are read; the least promising ones are left out."""

SAMPLE_ROWS = 200
MATCHING_ROWS = 1200
STATUS_ROWS = 20_000
MOST_VALUES = 200
LONGEST = 4000
"""Characters of a value that are looked at: JSON is to be whole."""

_CATEGORIES = {"S": Kind.TEXT, "B": Kind.BOOLEAN, "E": Kind.ENUM}
_TYPES = {
    "int2": Kind.INTEGER,
    "int4": Kind.INTEGER,
    "int8": Kind.INTEGER,
    "numeric": Kind.NUMBER,
    "float4": Kind.NUMBER,
    "float8": Kind.NUMBER,
    "money": Kind.MONEY,
    "date": Kind.DATE,
    "timestamp": Kind.TIME,
    "timestamptz": Kind.TIME,
    "uuid": Kind.UUID,
    "json": Kind.JSON,
    "jsonb": Kind.JSON,
}
_TOPICS = word_set(
    """order sale purchase line customer user contact address currency product
    variant payment billing history status language shop total sku"""
)


@dataclass(frozen=True, slots=True)
class _Relation:
    oid: int
    name: Name
    is_view: bool
    rows: float
    is_readable: bool
    comment: str


@contextmanager
def reading(database: Database) -> Iterator[None]:
    """Read only, in one transaction, each statement for a few seconds."""
    with database.transaction():
        database.one(query("begin_draft"), limit=f"{STATEMENT_SECONDS}s")
        yield


def read_catalogue(database: Database) -> Catalogue:
    """Read the tables that may have to do with orders."""
    found = [
        _Relation(oid, Name(schema, name), is_view, rows, is_readable, comment)
        for oid, schema, name, is_view, rows, is_readable, comment in cast(
            "list[tuple[int, str, str, bool, float, bool, str]]",
            database.all(query("draft_tables")),
        )
    ]
    chosen = sorted((r for r in found if r.is_readable), key=_promise)[:MOST_TABLES]
    names = {relation.oid: relation.name for relation in chosen}
    columns = _columns(database, list(names))
    keys, references = _keys(database, names)
    tables = [
        Table(
            r.name,
            tuple(columns[r.oid]),
            keys.get(r.oid, ()),
            r.rows,
            r.is_view,
            r.comment,
            tuple(references[r.oid]),
        )
        for r in sorted(chosen, key=lambda r: r.name)
    ]
    hidden = [r.name for r in found if not r.is_readable and _topics(r)]
    return Catalogue(tables, len(found), hidden)


def _topics(relation: _Relation) -> frozenset[str]:
    return said_by(relation.name.name, relation.comment).concepts & _TOPICS


def _promise(relation: _Relation) -> tuple[bool, bool, float, Name]:
    """Order tables by what their names promise: orders first, strangers last."""
    said = _topics(relation)
    length = len(words(relation.name.name))
    is_order = bool(said & {"order", "sale", "purchase"})
    return not is_order, not said, length - min(relation.rows, 1), relation.name


def _columns(database: Database, tables: Sequence[int]) -> dict[int, list[Column]]:
    columns: dict[int, list[Column]] = defaultdict(list)
    rows = database.all(query("draft_columns"), tables=tables)
    for (
        oid,
        name,
        category,
        base,
        kind,
        required,
        unique,
        first,
        labels,
        comment,
    ) in cast(
        "list[tuple[int, str, str, str, str, bool, bool, bool, list[str], str]]", rows
    ):
        found = _TYPES.get(base) or _CATEGORIES.get(category, Kind.OTHER)
        columns[oid].append(
            Column(name, found, kind, required, unique, first, tuple(labels), comment)
        )
    return columns


def _keys(
    database: Database, names: dict[int, Name]
) -> tuple[dict[int, tuple[str, ...]], dict[int, list[Reference]]]:
    keys: dict[int, tuple[str, ...]] = {}
    references: dict[int, list[Reference]] = defaultdict(list)
    rows = database.all(query("draft_keys"), tables=list(names))
    for kind, oid, own, other, theirs in cast(
        "list[tuple[str, int, list[str], int, list[str]]]", rows
    ):
        if kind == "p":
            keys[oid] = tuple(own)
        elif other in names:
            pairs = list(zip(own, theirs, strict=True))
            telling = [p for p in pairs if p[0] != p[1]] if len(pairs) > 1 else pairs
            references[oid] += [
                Reference(mine, names[other], their) for mine, their in telling[:1]
            ]
    return keys, references


class DatabaseSamples:
    """Samples of a database; a table that cannot be read in time has none.

    Attributes:
        failed: Tables whose sample could not be read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: dict[Name, Sequence[Row]] = {}
        self.failed: set[Name] = set()

    def rows(self, table: Table) -> Sequence[Row]:
        """Read some of the newest rows; none where it cannot be read."""
        if table.name not in self._rows:
            self._rows[table.name] = self._sampled(table)
        return self._rows[table.name]

    def _sampled(self, table: Table) -> Sequence[Row]:
        place = {"schema": quoted(table.name.schema), "table": quoted(table.name.name)}
        if len(table.key) == 1:
            key = quoted(table.key[0])
            statement = composed("draft_newest_rows", key=key, **place)
        else:
            statement = composed("draft_rows", **place)
        return self._read(table, statement, rows=SAMPLE_ROWS, longest=LONGEST)

    def matching(self, table: Table, column: str, keys: Sequence[str]) -> Sequence[Row]:
        """Read rows that have one of these values in a column; bounded."""
        statement = composed(
            "draft_matching_rows",
            schema=quoted(table.name.schema),
            table=quoted(table.name.name),
            column=quoted(column),
        )
        return self._read(
            table,
            statement,
            name=column,
            keys=list(keys),
            rows=MATCHING_ROWS,
            longest=LONGEST,
        )

    def values(self, table: Table, column: str) -> Sequence[str]:
        """Read the different values of a column in many rows; none: too many."""
        statement = composed(
            "draft_values",
            schema=quoted(table.name.schema),
            table=quoted(table.name.name),
            column=quoted(column),
        )
        rows = self._all(table, statement, rows=STATUS_ROWS, most=MOST_VALUES)
        values = [str(value) for (value,) in rows]
        return values if len(values) < MOST_VALUES else []

    def _read(self, table: Table, statement: Statement, **params: object) -> list[Row]:
        rows = self._all(table, statement, **params)
        return [_row(row) for (row,) in rows if row]

    def _all(
        self, table: Table, statement: Statement, **params: object
    ) -> list[tuple[object, ...]]:
        """Run a statement within a savepoint: one that fails harms no other."""
        try:
            with self._database.transaction():
                return self._database.all(statement, **params)
        except SyncdError:
            self.failed.add(table.name)
            return []


def _row(value: object) -> Row:
    row = json.loads(value) if isinstance(value, str) else value
    return cast("Row", row)
