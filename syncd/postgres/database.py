"""The door to PostgreSQL: one connection, its settings, its named statements.

Drivers' errors are translated here, once; psycopg's connections are used in
`ledger`, `source` and `install` only, always through `Database`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import RowFactory, class_row, scalar_row, tuple_row

from syncd.core.cause import Place
from syncd.core.encoding import ASCII, UTF8, codec_of, fits, fitted_all
from syncd.core.errors import (
    ReadOnlyNodeError,
    SchemaMismatchError,
    SyncdError,
    ViewError,
    ViewFailedError,
)
from syncd.core.progress import report_progress
from syncd.postgres.deadline import DeadlineConnection, Row
from syncd.postgres.errors import refusal_of, translate
from syncd.postgres.session import CONNECT, SESSION, Peer, to_the_primary
from syncd.postgres.statements import Statement, query

K = TypeVar("K")
T = TypeVar("T")

PREPARE_AFTER = 2
"""A statement is prepared when it is run for the third time."""

PLANS_KEPT = 100
"""How old plans become, in statements and in orders that came: then they are made anew,
each time when twice as old as before.

The tables may have been empty before, and one transaction may bring many orders.
"""

_TOLD = frozenset(
    {"reason", "reasons", "example", "host", "sentence", "orderids", "evidence"}
)
"""Parameters that people read: what the server cannot hold of them is replaced."""

_UNFIT = frozenset({"22P05", "22021"})
"""The server's encoding lacks a character, or forbids a byte."""

_UNANSWERED = (psycopg.OperationalError, psycopg.InterfaceError)
_OVERFLOW = "22008"  # a time of the view's that no clock here shows


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """A statement to be run with another; its rows are `kind`."""

    kind: type[T]
    statement: Statement
    params: Mapping[str, object]

    @property
    def by_name(self) -> RowFactory[T]:
        """What makes rows of it."""
        return class_row(self.kind)


class Database:
    """One connection in autocommit, opened on first use and again after it broke.

    Not for use by two threads at once.

    Args:
        dsn: Where to.
        application_name: How it shows in `pg_stat_activity`.
        time_zone: Of times that the views give without one.
        keeps_plans: Statements are planned once, not for each of their values. For
            look-ups by key; a range of times has another plan when it is wide.
        writes: Of several hosts it is the primary that is meant, unless `dsn` says.
    """

    def __init__(
        self,
        dsn: str,
        *,
        application_name: str = "syncd",
        time_zone: str | None = None,
        keeps_plans: bool = False,
        writes: bool = False,
    ) -> None:
        way = CONNECT | (to_the_primary(dsn) if writes else {})
        self.dsn = make_conninfo(dsn, application_name=application_name, **way)
        self._session = SESSION | ({"TimeZone": time_zone} if time_zone else {})
        self._keeps_plans = keeps_plans
        self._age, self._plans_kept = 0, PLANS_KEPT
        if keeps_plans:
            self._session["plan_cache_mode"] = "force_generic_plan"
        self._connection: DeadlineConnection | None = None
        self._is_own = False  # the session, and not a pooler's
        self._is_stale = False  # another server is to be asked
        self._step_seconds: float | None = None
        self._codec = UTF8
        self._on_open: list[Callable[[], None]] = []
        self._on_doubt: list[Callable[[], None]] = []

    def on_open(self, action: Callable[[], None]) -> None:
        """Run `action` each time that a connection has been opened."""
        self._on_open.append(action)

    def limit(self, seconds: int) -> None:
        """Limit each statement to take so long at most, once a connection is opened."""
        self._session["statement_timeout"] = f"{seconds}s"

    def on_doubt(self, action: Callable[[], None]) -> None:
        """Run `action` when a statement fails as if the views had been changed."""
        self._on_doubt.append(action)

    def all(self, statement: Statement, **params: object) -> list[Row]:
        """Run a statement and return its rows, in the statement's order."""
        with self.translated(statement.place):
            return _rows(self._execute(statement, params, tuple_row))

    def one(self, statement: Statement, **params: object) -> Row:
        """Run a statement that returns exactly one row."""
        (row,) = self.all(statement, **params)
        return row

    def rows(self, kind: type[T], statement: Statement, /, **params: object) -> list[T]:
        """Return a statement's rows as `kind`, whose fields are named as its columns.

        They come in the statement's order.
        """
        with self.translated(statement.place):
            return _rows(self._execute(statement, params, class_row(kind)))

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
        del keys, values  # for the type checker
        with self.translated(statement.place):
            cursor = cast(
                "psycopg.Cursor[tuple[K, T]]",
                self._execute(statement, params, tuple_row),
            )
            return dict(_rows(cursor))

    def row_and_pairs(
        self, kind: type[T], statement: Statement, /, **params: object
    ) -> tuple[T, dict[str, str]]:
        """Return the first row of a statement, and two texts of each of the others.

        Args:
            kind: Its fields are named as the columns of the first row, without the last
                two; by which each of the other rows is a key and a value: tuples, as in
                `mapping`.
            statement: It returns at least one row.
            params: Its parameters.
        """
        with self.translated(statement.place):
            cursor = self._execute(statement, params, tuple_row)
            first, *others = _rows(cursor)
            names = [column.name for column in cursor.description or ()]
        row = kind(**dict(zip(names[:-2], first[:-2], strict=True)))
        pairs = cast("list[tuple[str, str]]", [other[-2:] for other in others])
        return row, dict(pairs)

    def run(self, statement: Statement, **params: object) -> int:
        """Run a statement; return the number of rows that it touched."""
        with self.translated(statement.place):
            return self._execute(statement, params, tuple_row).rowcount

    def together(self, first: "Step[K]", then: "Step[T]") -> tuple[list[K], list[T]]:
        """Run two statements as one READ COMMITTED transaction, both sent at once.

        Each has a snapshot of its own, as if it had waited for the one before. What a
        session of our own gets at once is one transaction without being told.

        Returns:
            The rows of each; a command's without rows are empty.
        """
        places = first.statement.place, then.statement.place
        with self.translated(next((p for p in places if p.is_view), Place.LEDGER)):
            connection = self._open()
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            whole = nullcontext() if self._is_own else connection.transaction()
            with connection.pipeline(), whole:
                one = self._execute(first.statement, first.params, first.by_name)
                two = self._execute(then.statement, then.params, then.by_name)
            return _rows(one), _rows(two)

    def age_plans(self, orders: int) -> None:
        """Note that a table has grown by so many orders since its plans were made."""
        self._age += orders

    def notified(self, seconds: float) -> list[str]:
        """Wait for notifications, if it listens; give their payloads.

        Returns:
            As many as came together; empty when the time is over without any.
        """
        with self.translated():
            came = self._open().notifies(timeout=seconds, stop_after=1)
            return [notification.payload for notification in came]

    @contextmanager
    def transaction(self, *, is_kept: bool = True) -> Iterator[None]:
        """Group statements into one READ COMMITTED transaction, or a part of one.

        Args:
            is_kept: False rolls everything back at the end, also what succeeded.
        """
        with self.translated():
            connection = self._open()
            if connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
                connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            with connection.transaction(force_rollback=not is_kept):
                yield

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
            self.one(query("be_patient"), limit=f"{seconds:.0f}s")
            usual = connection.answer_seconds
            connection.answer_seconds = self._step_seconds = seconds + usual
            try:
                yield
            finally:
                connection.answer_seconds, self._step_seconds = usual, None

    def peer(self) -> Peer:
        """Return who is at the other end."""
        with self.translated():
            info = self._open().info
            sslmode = info.get_parameters().get("sslmode", "prefer")
            return Peer(info.host, info.backend_pid, sslmode)

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        connection, self._connection = self._connection, None
        self._is_stale = False
        if connection is not None:
            connection.close()

    def _execute(
        self,
        statement: Statement,
        params: Mapping[str, object],
        row_factory: RowFactory[T],
    ) -> psycopg.Cursor[T]:
        connection = self._open()
        if connection.prepare_threshold is not None:
            self._age += 1
            if self._age >= self._plans_kept:
                self._plans_kept = 2 * self._age
                connection.execute(query("discard_plans").text)
        fit = {p: fitted_all(params[p], self._codec) for p in _TOLD & params.keys()}
        cursor = connection.cursor(row_factory=row_factory)
        return cursor.execute(statement.text, {**params, **fit} or None)

    def holds(self, text: str) -> bool:
        """Return whether the server can hold a text: no key is one that it cannot."""
        with self.translated():
            self._open()
        return fits(text, self._codec)

    def _open(self) -> DeadlineConnection:
        if self._connection is None or self._connection.broken or self._is_stale:
            self.close()
            connection = DeadlineConnection.connect(
                self.dsn, autocommit=True, row_factory=tuple_row, prepare_threshold=None
            )
            self._connection = connection
            info = connection.info
            self._codec = codec_of(info.parameter_status("server_encoding"))
            report_progress()
            self._begin_session(connection)
            for action in self._on_open:
                action()
        return self._connection

    def _begin_session(self, connection: psycopg.Connection[Row]) -> None:
        """Set the session up; keep plans, unless a pooler may change the session."""
        names, values = list(self._session), list(self._session.values())
        found = connection.execute(
            query("begin_session").text, {"names": names, "values": values}
        ).fetchone()
        self._is_own = found == (connection.info.backend_pid,)
        if self._keeps_plans and self._is_own:
            connection.prepare_threshold = PREPARE_AFTER
            self._age, self._plans_kept = 0, PLANS_KEPT

    @contextmanager
    def translated(self, place: Place = Place.LEDGER) -> Iterator[None]:
        """Turn the driver's errors into syncd's; `place` is what is read meanwhile.

        A node that takes no writes is left: the next use connects anew.

        Raises:
            SyncdError: One of its kinds (`core/cause.py`).
        """
        report_progress(self._step_seconds)
        try:
            yield
        except psycopg.Error as error:
            in_recovery = None
            if self._connection is not None:
                in_recovery = self._connection.in_recovery
                if self._connection.is_lost:
                    self.close()
            if error.sqlstate is None and not isinstance(error, _UNANSWERED):
                if isinstance(error, psycopg.DataError) and place.is_view:
                    raise ViewFailedError(_OVERFLOW, place.value) from error
                raise
            if error.sqlstate in _UNFIT and not place.is_view:
                self._codec = ASCII  # whatever it was: the next try holds it
            fault = translate(error, self.dsn, place, in_recovery=in_recovery)
            self._is_stale = isinstance(fault, ReadOnlyNodeError)
            raise self._doubted(fault) from error

    def _doubted(self, error: SyncdError) -> SyncdError:
        if isinstance(error, SchemaMismatchError | ViewError):
            for action in self._on_doubt:
                action()
        return error


def _rows(cursor: psycopg.Cursor[T]) -> list[T]:
    """Fetch what came; a command without rows gives none."""
    result = cursor.pgresult
    return cursor.fetchall() if result is not None and result.nfields else []
