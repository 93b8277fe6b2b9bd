"""The ledger's tables, read and changed as rows with named columns."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import chain
from types import SimpleNamespace as Row

import psycopg
from psycopg.abc import Buffer
from psycopg.rows import kwargs_row
from psycopg.sql import SQL, Composed, Identifier
from psycopg.types.datetime import TimestamptzLoader
from typing_extensions import override

__all__ = ["Row", "Tables"]

Columns = Mapping[str, object]
"""Values of columns by their names."""

INFINITE = {
    b"-infinity": datetime.min.replace(tzinfo=UTC),
    b"infinity": datetime.max.replace(tzinfo=UTC),
}


class Tables(ABC):
    """Reads and changes the tables of a ledger, as their owner.

    `where` names columns and the value that a row must have there: None for NULL, for a
    list any of its values. Without it, all rows match.
    """

    @property
    @abstractmethod
    def ledger_owner(self) -> str:
        """Return the connection string of the owner of the ledger's database."""

    def rows_of(self, table: str, /, **where: object) -> list[Row]:
        """Return rows ordered by all columns, beginning with the primary key."""
        which, values = _condition(where)
        select = SQL("SELECT * FROM {} AS t WHERE {} ORDER BY t")
        return self._run(select.format(_name(table), which), values)

    def row_of(self, table: str, /, **where: object) -> Row:
        """Return the only row; fail unless there is exactly one."""
        (row,) = self.rows_of(table, **where)
        return row

    def count(self, table: str, /, **where: object) -> int:
        """Count rows, of which there may be millions."""
        which, values = _condition(where)
        select = SQL("SELECT count(*) AS number FROM {} WHERE {}")
        (row,) = self._run(select.format(_name(table), which), values)
        return int(row.number)

    def insert(self, table: str, /, **columns: object) -> Row:
        """Insert a row; return it with the columns that the database filled."""
        insert = SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING *").format(
            _name(table),
            SQL(", ").join(map(Identifier, columns)),
            SQL(", ").join([SQL("%s")] * len(columns)),
        )
        (row,) = self._run(insert, list(columns.values()))
        return row

    def insert_many(self, table: str, rows: Iterable[Columns], /) -> None:
        """Insert rows, at least one, all with values for the same columns."""
        given = iter(rows)
        first = next(given)
        copy = SQL("COPY {} ({}) FROM STDIN").format(
            _name(table), SQL(", ").join(map(Identifier, first))
        )
        with (
            psycopg.connect(self.ledger_owner, autocommit=True) as connection,
            connection.cursor().copy(copy) as copying,
        ):
            for row in chain([first], given):
                copying.write_row([*row.values()])

    def update(self, table: str, columns: Columns, /, **where: object) -> None:
        """Set columns of rows."""
        self._update(table, SQL("{} = %s"), columns, where)

    def shift(
        self, table: str, span: timedelta, /, *columns: str, **where: object
    ) -> None:
        """Shift times of rows by a span; a negative one moves them into the past."""
        spans = dict.fromkeys(columns, span)
        self._update(table, SQL("{0} = {0} + %s"), spans, where)

    def delete(self, table: str, /, **where: object) -> None:
        """Delete rows."""
        which, values = _condition(where)
        self._run(SQL("DELETE FROM {} WHERE {}").format(_name(table), which), values)

    @contextmanager
    def without(self, table: str, /) -> Iterator[None]:
        """Hide a table, so that every statement that needs it fails."""
        with psycopg.connect(self.ledger_owner, autocommit=True) as connection:
            rename = SQL("ALTER TABLE {} RENAME TO missing")
            connection.execute(rename.format(_name(table)))
            try:
                yield
            finally:
                rename = SQL("ALTER TABLE {} RENAME TO {}")
                connection.execute(rename.format(_name("missing"), Identifier(table)))

    def _update(
        self, table: str, change: SQL, columns: Columns, where: Columns
    ) -> None:
        which, values = _condition(where)
        changes = [change.format(Identifier(name)) for name in columns]
        update = SQL("UPDATE {} SET {} WHERE {}")
        statement = update.format(_name(table), SQL(", ").join(changes), which)
        self._run(statement, [*columns.values(), *values])

    def _run(self, statement: Composed, values: list[object]) -> list[Row]:
        with psycopg.connect(self.ledger_owner, autocommit=True) as connection:
            connection.adapters.register_loader("timestamptz", _Times)
            cursor = connection.cursor(row_factory=kwargs_row(Row))
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []


class _Times(TimestamptzLoader):
    """Loads times that Python cannot represent as its first and last."""

    @override
    def load(self, data: Buffer) -> datetime:
        return INFINITE.get(bytes(data)) or super().load(data)


def _name(table: str) -> Identifier:
    return Identifier("syncd", table)


def _condition(where: Columns) -> tuple[Composed, list[object]]:
    """Return the condition that selects rows, and the values of its parameters."""
    tests = [_test(value).format(Identifier(name)) for name, value in where.items()]
    values = [value for value in where.values() if value is not None]
    return SQL(" AND ").join([SQL("true"), *tests]), values


def _test(value: object) -> SQL:
    if value is None:
        return SQL("{} IS NULL")
    return SQL("{} = ANY (%s)") if isinstance(value, list) else SQL("{} = %s")
