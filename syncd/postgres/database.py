"""Running named statements on PostgreSQL, and what they return.

psycopg's connections are used in `ledger`, `source` and `install` only, always through
`Database`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast, overload

import psycopg
from psycopg.rows import scalar_row, tuple_row

from syncd.core.cause import Place
from syncd.postgres.connection import Connection, Row
from syncd.postgres.errors import refusal_of
from syncd.postgres.statements import Statement, query

J = TypeVar("J")
K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """A statement to be run with others, and what reads its rows."""

    read: Callable[[psycopg.Cursor[Row]], T]
    statement: Statement
    params: Mapping[str, object]


def rows_of(kind: type[T]) -> Callable[[psycopg.Cursor[Row]], list[T]]:
    """Read rows as `kind`, whose fields are named as their columns."""

    def read(cursor: psycopg.Cursor[Row]) -> list[T]:
        names = _names(cursor)
        return [kind(**dict(zip(names, row, strict=True))) for row in _rows(cursor)]

    return read


def row_and_pairs_of(
    kind: type[T],
) -> Callable[[psycopg.Cursor[Row]], tuple[T, list[tuple[str, str]]]]:
    """Read the first row as `kind`, and two texts of each of the others.

    The fields of `kind` are named as the columns of the first row, without the last
    two; by which each of the other rows is a key and a value: tuples, as in `pairs`.
    """

    def read(cursor: psycopg.Cursor[Row]) -> tuple[T, list[tuple[str, str]]]:
        first, *others = _rows(cursor)
        names = _names(cursor)
        row = kind(**dict(zip(names[:-2], first[:-2], strict=True)))
        return row, cast("list[tuple[str, str]]", [o[-2:] for o in others])

    return read


class Database(Connection):
    """A connection, and its statements' rows by the names of their columns."""

    def rows(self, kind: type[T], statement: Statement, /, **params: object) -> list[T]:
        """Return a statement's rows as `kind`, whose fields are named as its columns.

        They come in the statement's order.
        """
        with self.translated(statement.place):
            return rows_of(kind)(self._execute(statement, params, tuple_row))

    def row(self, kind: type[T], statement: Statement, /, **params: object) -> T:
        """Return the one row of a statement as `kind`."""
        (row,) = self.rows(kind, statement, **params)
        return row

    def find(
        self, kind: type[T], statement: Statement, /, **params: object
    ) -> T | None:
        """Return the row of a statement as `kind`; None when there is none."""
        return next(iter(self.rows(kind, statement, **params)), None)

    def values(
        self, kind: type[T], statement: Statement, /, **params: object
    ) -> list[T]:
        """Return a statement's first column, each value of the type `kind`."""
        del kind  # for the type checker
        with self.translated(statement.place):
            return _rows(self._execute(statement, params, scalar_row))

    def value(self, kind: type[T], statement: Statement, /, **params: object) -> T:
        """Return the value of a statement with one row."""
        (value,) = self.values(kind, statement, **params)
        return value

    def find_value(
        self, kind: type[T], statement: Statement, /, **params: object
    ) -> T | None:
        """Return the value of a statement; None when it is null, or there is no row."""
        return next(iter(self.values(kind, statement, **params)), None)

    def mapping(
        self, keys: type[K], values: type[T], statement: Statement, /, **params: object
    ) -> dict[K, T]:
        """Return a statement's second column by its first one.

        For many rows: a tuple costs a third of what a row by its names does.
        """
        return dict(self.pairs(keys, values, statement, **params))

    def pairs(
        self, keys: type[K], values: type[T], statement: Statement, /, **params: object
    ) -> list[tuple[K, T]]:
        """Return a statement's two columns, also where the first one repeats."""
        del keys, values  # for the type checker
        with self.translated(statement.place):
            cursor = cast(
                "psycopg.Cursor[tuple[K, T]]",
                self._execute(statement, params, tuple_row),
            )
            return _rows(cursor)

    def row_and_pairs(
        self, kind: type[T], statement: Statement, /, **params: object
    ) -> tuple[T, list[tuple[str, str]]]:
        """Return the first row of a statement, and the others as `row_and_pairs_of`."""
        with self.translated(statement.place):
            return row_and_pairs_of(kind)(self._execute(statement, params, tuple_row))

    def run(self, statement: Statement, **params: object) -> int:
        """Run a statement; return the number of rows that it touched."""
        with self.translated(statement.place):
            return self._execute(statement, params, tuple_row).rowcount

    @overload
    def together(self, one: Step[J], two: Step[K], /) -> tuple[J, K]: ...

    @overload
    def together(
        self, one: Step[J], two: Step[K], three: Step[T], /
    ) -> tuple[J, K, T]: ...

    def together(self, *steps: Step[Any]) -> tuple[Any, ...]:
        """Run statements as one READ COMMITTED transaction, all of them sent at once.

        Each has a snapshot of its own, as if it had waited for those before. What a
        session of our own gets at once is one transaction anyway.

        Returns:
            What each reads.
        """
        places = [step.statement.place for step in steps]
        with self.translated(next((p for p in places if p.is_view), Place.LEDGER)):
            connection = self._open()
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            whole = nullcontext() if self._is_own else connection.transaction()
            with connection.pipeline(), whole:
                cursors = [
                    self._execute(step.statement, step.params, tuple_row)
                    for step in steps
                ]
            return tuple(
                step.read(cursor) for step, cursor in zip(steps, cursors, strict=True)
            )

    def notified(self, seconds: float) -> list[str]:
        """Wait for notifications, if it listens; give their payloads.

        Returns:
            As many as came together; empty when the time is over without any.
        """
        with self.translated():
            came = self._open().notifies(timeout=seconds, stop_after=1)
            return [notification.payload for notification in came]

    def define(self, text: str) -> None:
        """Run one statement that an operator wrote, with the session's search path.

        The extended protocol takes one only: what PostgreSQL reads as more than one is
        refused by itself.

        Raises:
            StatementRefusedError: PostgreSQL refuses it; in its own words.
        """
        with self.translated():
            try:
                self._open().execute(text.encode(), binary=True)
            except psycopg.Error as error:
                if (refusal := refusal_of(error)) is None:
                    raise
                raise refusal from error

    @contextmanager
    def patient_transaction(self, seconds: float) -> Iterator[None]:
        """Group statements into a transaction in which each may take so long."""
        with self.transaction():
            connection = self._open()
            self.run(query("be_patient"), limit=f"{seconds:.0f}s")
            usual = connection.answer_seconds
            connection.answer_seconds = self._step_seconds = seconds + usual
            try:
                yield
            finally:
                connection.answer_seconds, self._step_seconds = usual, None


def _names(cursor: psycopg.Cursor[T]) -> list[str]:
    """Return the columns' names; a description of each column would cost more."""
    if (result := cursor.pgresult) is None:
        return []
    return [(result.fname(n) or b"").decode() for n in range(result.nfields)]


def _rows(cursor: psycopg.Cursor[T]) -> list[T]:
    """Fetch what came; a command without rows gives none."""
    result = cursor.pgresult
    return cursor.fetchall() if result is not None and result.nfields else []
