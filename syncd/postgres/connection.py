"""One connection to PostgreSQL: its deadlines, its transactions, its errors.

Nothing waits for ever: the server's own time-outs do not help when the server is not
there to keep them, as behind a pooler that hangs, or in a network that swallows
packets but keeps the connection. Drivers' errors are translated here, once.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import RowFactory, tuple_row
from typing_extensions import override

from syncd.core.cause import Place
from syncd.core.errors import (
    ReadOnlyNodeError,
    SchemaMismatchError,
    SyncdError,
    ViewError,
    ViewFailedError,
)
from syncd.core.progress import report_progress
from syncd.core.text import ASCII, UTF8, codec_of, fits, fitted_all
from syncd.postgres.errors import STATEMENT_SECONDS, translate
from syncd.postgres.session import CONNECT, SESSION, Peer, to_the_primary
from syncd.postgres.statements import Statement, query

ANSWER_SECONDS = 45.0
"""For one answer: longer than the server's own limit for a statement."""

PREPARE_AFTER = 2
"""A statement is prepared when it is run for the third time."""

PLANS_KEPT = 100
"""How old plans become, in statements and in orders: then they are renewed,
each time when twice as old as before.

The tables may have been empty before, and one transaction may bring many orders.
"""

_TEXTS = frozenset(
    {"reason", "reasons", "example", "host", "sentence", "orderids", "evidence"}
)
"""Parameters that people read: what the server cannot hold of them is replaced."""

_UNFIT = frozenset({"22P05", "22021"})
"""The server's encoding lacks a character, or forbids a byte."""

_UNANSWERED = (psycopg.OperationalError, psycopg.InterfaceError)

_OVERFLOW = "22008"  # a time of the view's that no clock here shows

T = TypeVar("T")
Row = tuple[object, ...]


class DeadlineConnection(psycopg.Connection[Row]):
    """A connection that closes itself when an answer does not come in time."""

    answer_seconds = ANSWER_SECONDS

    @property
    def is_lost(self) -> bool:
        """Whether it is of no more use after it failed: it may not know that yet."""
        return self.broken or bool(self.pgconn.pipeline_status)

    @property
    def in_recovery(self) -> bool | None:
        """Whether the server is a standby, as it reported; None: it did not."""
        if self.closed:
            return None
        status = self.info.parameter_status("in_hot_standby")
        return None if status is None else status == "on"

    @override
    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """Wait for an answer as psycopg does, until the deadline.

        Raises:
            psycopg.OperationalError: It did not come; the connection is closed.
        """
        bounded = self._until(gen, time.monotonic() + self.answer_seconds)
        return super().wait(bounded, *args, **kwargs)

    def _until(
        self, gen: Generator[Any, Any, T], deadline: float
    ) -> Generator[Any, Any, T]:
        """Pass on what psycopg's own generator waits for, and look at the clock.

        psycopg resumes it whenever something arrives, and several times a second.
        """
        try:
            awaited = next(gen)
            while True:
                ready = yield awaited
                if not ready and time.monotonic() > deadline:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(
                        f"no answer for {self.answer_seconds:.0f} s"
                    )
                awaited = gen.send(ready)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # the generator's T


class Connection:
    """One connection in autocommit, opened on first use and again after it broke.

    Not for use by two threads at once.

    Args:
        application_name: How it shows in `pg_stat_activity`.
        time_zone: Of times that the views give without one.
        keeps_plans: Statements are planned once, not for each of their values. For
            look-ups by key; a range of times has another plan when it is wide.
        writes: Of several hosts the primary is meant, unless `dsn` sets it.
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
        self.statement_seconds: float = STATEMENT_SECONDS
        self._age, self._plans_kept = 0, PLANS_KEPT
        if keeps_plans:
            self._session["plan_cache_mode"] = "force_generic_plan"
        self._connection: DeadlineConnection | None = None
        self._is_own = False  # the session, and not a pooler's
        self._is_stale = False  # another server is to be asked
        self._step_seconds: float | None = None
        self._codec = UTF8
        self._on_open: list[Callable[[], None]] = []
        self._on_schema_error: list[Callable[[], None]] = []

    def on_open(self, action: Callable[[], None]) -> None:
        """Run `action` each time that a connection has been opened."""
        self._on_open.append(action)

    def limit(self, seconds: float) -> None:
        """Limit each statement to take so long at most, once a connection is opened."""
        self.statement_seconds = seconds
        self._session["statement_timeout"] = f"{round(seconds * 1000)}ms"

    def on_schema_error(self, action: Callable[[], None]) -> None:
        """Run `action` when a statement fails as if the views had been changed."""
        self._on_schema_error.append(action)

    def age_plans(self, orders: int) -> None:
        """Note that a table has grown by so many orders since its plans were made."""
        self._age += orders

    @contextmanager
    def transaction(self, *, is_kept: bool = True) -> Iterator[None]:
        """Group statements into one READ COMMITTED transaction, or a part of one.

        Unless `is_kept`, all is rolled back at the end, also what succeeded.
        """
        with self.translated():
            connection = self._open()
            if connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
                connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            with connection.transaction(force_rollback=not is_kept):
                yield

    def peer(self) -> Peer:
        """Return the server at the other end."""
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
            connection.cursor_factory = psycopg.RawCursor
            self._connection = connection
            info = connection.info
            self._codec = codec_of(info.parameter_status("server_encoding"))
            report_progress()
            try:
                self._begin_session(connection)
                for action in self._on_open:
                    action()
            except BaseException:
                self._is_stale = True  # the next use opens another
                raise
        return self._connection

    def _begin_session(self, connection: psycopg.Connection[Row]) -> None:
        """Set the session up; keep plans, unless a pooler may change the session."""
        names, values = list(self._session), list(self._session.values())
        begin, order = query("begin_session").numbered
        given = {"names": names, "values": values}
        found = connection.execute(begin, [given[name] for name in order]).fetchone()
        self._is_own = found == (connection.info.backend_pid,)
        if self._keeps_plans and self._is_own:
            connection.prepare_threshold = PREPARE_AFTER
            self._age, self._plans_kept = 0, PLANS_KEPT

    @contextmanager
    def translated(self, place: Place = Place.LEDGER) -> Iterator[None]:
        """Turn the driver's errors into syncd's; `place` is what is read meanwhile.

        A connection to a node without writes is closed: the next use connects again.

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
            self._is_stale = self._is_stale or isinstance(fault, ReadOnlyNodeError)
            raise self._with_schema_error(fault) from error

    def _with_schema_error(self, error: SyncdError) -> SyncdError:
        if isinstance(error, SchemaMismatchError | ViewError):
            for action in self._on_schema_error:
                action()
        return error

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
        fit = {p: fitted_all(params[p], self._codec) for p in _TEXTS & params.keys()}
        cursor = connection.cursor(row_factory=row_factory)
        if not params:
            return cursor.execute(statement.text)
        text, names = statement.numbered
        values = {**params, **fit}
        return cursor.execute(text, [values[name] for name in names])
