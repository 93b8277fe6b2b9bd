"""Reads the catalogue and samples of a database, in the open transaction.

It is lazy and bounded: names of all tables, columns of those whose names promise most,
rows of those that matter.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from syncd.core.errors import SyncdError
from syncd.core.sql_text import SqlName
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement, composed, query, quoted
from syncd.setup.views.draft.samples import Row
from syncd.setup.views.draft.schema import (
    Catalogue,
    Column,
    Kind,
    Reference,
    Table,
)
from syncd.setup.views.draft.words import meaning_with_comment, word_set, words

MOST_TABLES = 1500
"""Tables whose columns are read; the least promising ones are left out."""

SAMPLE_ROWS = 200
MATCHING_ROWS = 1200
STATUS_ROWS = 20_000
MOST_VALUES = 200
LONGEST = 4000
"""Characters of a value that are read: JSON must be complete."""

_CATEGORIES = {"S": Kind.TEXT, "B": Kind.BOOLEAN, "E": Kind.ENUM}
_TYPES = {
    **dict.fromkeys(("int2", "int4", "int8"), Kind.INTEGER),
    **dict.fromkeys(("numeric", "float4", "float8"), Kind.NUMBER),
    **dict.fromkeys(("timestamp", "timestamptz"), Kind.TIME),
    **dict.fromkeys(("json", "jsonb"), Kind.JSON),
    "money": Kind.MONEY,
    "date": Kind.DATE,
    "uuid": Kind.UUID,
}
_TOPICS = word_set(
    """order sale purchase line customer user contact address currency product
    variant payment billing history status language shop total sku"""
)


@dataclass(frozen=True, slots=True)
class _Relation:
    oid: int
    schema: str
    table: str
    is_view: bool
    rows: float
    is_readable: bool
    comment: str

    @property
    def name(self) -> SqlName:
        return SqlName(self.schema, self.table)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column; `base` is its type's name, under any domain."""

    oid: int
    name: str
    category: str
    base: str
    type: str
    is_required: bool
    is_unique: bool
    is_indexed: bool
    labels: Sequence[str]
    comment: str

    @property
    def column(self) -> Column:
        return Column(
            self.name,
            _TYPES.get(self.base) or _CATEGORIES.get(self.category, Kind.OTHER),
            self.type,
            self.is_required,
            self.is_unique,
            self.is_indexed,
            tuple(self.labels),
            self.comment,
        )


@dataclass(frozen=True, slots=True)
class _Key:
    """A primary key (p), or a foreign one (f) and what it refers to."""

    kind: str
    table: int
    columns: Sequence[str]
    referred: int
    referred_columns: Sequence[str]


def read_catalogue(database: Database) -> Catalogue:
    """Read the tables that may have to do with orders."""
    found = database.rows(_Relation, query("draft_tables"))
    chosen = sorted((r for r in found if r.is_readable), key=_promise)[:MOST_TABLES]
    names = {relation.oid: relation.name for relation in chosen}
    columns: dict[int, list[Column]] = defaultdict(list)
    for each in database.rows(_Column, query("draft_columns"), tables=list(names)):
        columns[each.oid].append(each.column)
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
    return meaning_with_comment(relation.name.name, relation.comment).concepts & _TOPICS


def _promise(relation: _Relation) -> tuple[bool, bool, float, SqlName]:
    """Order tables by what their names promise: orders first, strangers last."""
    concepts = _topics(relation)
    length = len(words(relation.name.name))
    is_order = bool(concepts & {"order", "sale", "purchase"})
    return not is_order, not concepts, length - min(relation.rows, 1), relation.name


def _keys(
    database: Database, names: dict[int, SqlName]
) -> tuple[dict[int, tuple[str, ...]], dict[int, list[Reference]]]:
    keys: dict[int, tuple[str, ...]] = {}
    references: dict[int, list[Reference]] = defaultdict(list)
    for key in database.rows(_Key, query("draft_keys"), tables=list(names)):
        if key.kind == "p":
            keys[key.table] = tuple(key.columns)
        elif key.referred in names:
            pairs = list(zip(key.columns, key.referred_columns, strict=True))
            telling = [p for p in pairs if p[0] != p[1]] if len(pairs) > 1 else pairs
            references[key.table] += [
                Reference(mine, names[key.referred], their)
                for mine, their in telling[:1]
            ]
    return keys, references


class DatabaseSamples:
    """Samples of a database; a table that cannot be read in time has none.

    Attributes:
        failed: Tables whose sample could not be read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: dict[SqlName, Sequence[Row]] = {}
        self.failed: set[SqlName] = set()

    def rows(self, table: Table) -> Sequence[Row]:
        """Read some of the newest rows; none where it cannot be read."""
        if table.name not in self._rows:
            self._rows[table.name] = self._sampled(table)
        return self._rows[table.name]

    def _sampled(self, table: Table) -> Sequence[Row]:
        schema, name = map(quoted, table.name.parts)
        if len(table.key) == 1:
            key = quoted(table.key[0])
            statement = composed(
                "draft_newest_rows", schema=schema, table=name, key=key
            )
        else:
            statement = composed("draft_rows", schema=schema, table=name)
        return self._read(table, statement, rows=SAMPLE_ROWS)

    def matching(self, table: Table, column: str, keys: Sequence[str]) -> Sequence[Row]:
        """Read rows that have one of these values in a column; bounded."""
        schema, name = map(quoted, table.name.parts)
        at = quoted(column)
        statement = composed(
            "draft_matching_rows", schema=schema, table=name, column=at
        )
        keys = list(keys)
        return self._read(table, statement, name=column, keys=keys, rows=MATCHING_ROWS)

    def values(self, table: Table, column: str) -> Sequence[str]:
        """Read the different values of a column in many rows; none: too many."""
        schema, name = map(quoted, table.name.parts)
        at = quoted(column)
        statement = composed("draft_values", schema=schema, table=name, column=at)
        found = self._all(table, statement, rows=STATUS_ROWS, most=MOST_VALUES)
        return [str(value) for value in found] if len(found) < MOST_VALUES else []

    def _read(self, table: Table, statement: Statement, **params: object) -> list[Row]:
        found = self._all(table, statement, **params, longest=LONGEST)
        rows = (json.loads(r) if isinstance(r, str) else r for r in found if r)
        return [cast("Row", row) for row in rows]

    def _all(
        self, table: Table, statement: Statement, **params: object
    ) -> list[object]:
        """Run a statement within a savepoint: one that fails harms no other."""
        try:
            with self._database.transaction():
                return self._database.values(object, statement, **params)
        except SyncdError:
            self.failed.add(table.name)
            return []
