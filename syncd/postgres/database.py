"""The door to PostgreSQL: one connection, its settings, its named statements.

Drivers' errors are translated here, once; psycopg's connections are used in
`ledger`, `source` and `install` only, always through `Database`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import LiteralString, cast

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import tuple_row

from syncd.core.cause import Place
from syncd.core.encoding import ASCII, UTF8, codec_of, fits, fitted
from syncd.core.errors import (
    ReadOnlyNodeError,
    SchemaMismatchError,
    SyncdError,
    ViewError,
    ViewFailedError,
)
from syncd.core.progress import report_progress
from syncd.core.sql_name import SqlName
from syncd.postgres.deadline import DeadlineConnection, Row
from syncd.postgres.errors import LOCK_SECONDS, STATEMENT_SECONDS, refusal_of, translate

_CONNECT: dict[str, int | str] = {
    "client_encoding": "UTF8",  # whatever the server's, and PGCLIENTENCODING
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_SESSION = {
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "idle_in_transaction_session_timeout": "60s",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "row_security": "on",
    "plan_cache_mode": "force_custom_plan",  # a window is small, a generic plan not
    "jit": "off",
    "DateStyle": "ISO",  # times that go from one database to the other as text
}
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

_MARGIN = re.compile(r"^\s*(--.*)?\n?", re.MULTILINE)
_BRACES = {Place.CONFIRMED: "confirmed", Place.PURCHASES: "purchases"}
_LOCAL = frozenset({"", "localhost", "::1"})
_UNANSWERED = (psycopg.OperationalError, psycopg.InterfaceError)
_OVERFLOW = "22008"  # a time of the view's that no clock here shows


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection, as libpq sees it.

    Attributes:
        host: A name, an address, or the folder of a local socket.
        pid: Of the server's process; a pooler gives another number.
        sslmode: How far TLS is asked for and verified.
    """

    host: str
    pid: int
    sslmode: str

    @property
    def is_local(self) -> bool:
        """Whether no network lies between."""
        return self.host.startswith(("/", "@", "127.")) or self.host in _LOCAL


@cache
def statements() -> Mapping[str, str]:
    """The statements of `queries/` by name; `:one`, `:many` … say what comes back.

    Braces are identifiers that the code fills in, or another of the statements. Without
    comments and margins: psycopg keeps what it made of texts up to 4 kB only.
    """
    found: dict[str, str] = {}
    for file in (files("syncd.postgres") / "queries").iterdir():
        text = file.read_text(encoding="utf-8")
        parts = re.split(r"^-- name: (\w+) :\w+$", text, flags=re.MULTILINE)
        for name, statement in zip(parts[1::2], parts[2::2], strict=True):
            bare = _MARGIN.sub("", statement)
            if found.setdefault(name, bare) is not bare:
                raise ValueError(f"two statements are named {name}")
    return found


@dataclass(frozen=True, eq=False, slots=True)
class Statement:
    """SQL that may be run; made of files of the distribution and quoted names only."""

    text: bytes
    place: Place = Place.LEDGER

    @classmethod
    def of(cls, composed: sql.Composable, place: Place = Place.LEDGER) -> "Statement":
        """Take what was composed of vetted pieces; `place` is what it reads."""
        return cls(composed.as_bytes(), place)


@cache
def query(name: str) -> Statement:
    """Find the statement `name`, one without braces."""
    return composed(name)


@lru_cache(256)
def compose(name: str, **queries: Statement) -> Statement:
    """Put queries into the braces of the statement `name`.

    Whatever a statement may do without has a query of nothing then.
    """
    spare = {
        "taken": query("nothing_taken"),
        "rows": query("nothing_read"),
        "listings": query("no_listings"),
        "initial": query("was_listed_initially"),
        "sealed": query("is_unsealed"),
    }
    made = composed(
        name,
        **{
            brace: trusted_sql(q.text.decode())
            for brace, q in (spare | queries).items()
        },
    )
    places = [q.place for q in queries.values() if q.place.is_view]
    return Statement(made.text, places[0] if places else made.place)


def part(name: str, **identifiers: sql.Composable) -> sql.Composed:
    """Compose the statement `name` as a part of others: it has no end of its own."""
    return trusted_sql(statements()[name]).format(**identifiers)


def composed(name: str, **identifiers: sql.Composable) -> Statement:
    """Compose the statement `name` with quoted identifiers for its braces."""
    text = statements()[name]
    read = [place for place in Place if f"{{{_BRACES.get(place)}}}" in text]
    place = read[0] if read else Place.LEDGER
    return Statement.of(trusted_sql(text).format(**identifiers), place)


def trusted_sql(text: str) -> sql.SQL:
    """Take a statement from a file of the distribution as safe."""
    # basedpyright wants the cast, mypy sees a str in it
    return sql.SQL(cast("LiteralString", text))  # type: ignore[redundant-cast]


def quoted(name: str) -> sql.Identifier:
    """Quote one name, whatever is in it."""
    return sql.Identifier(name)


def identifier(name: str) -> sql.Identifier:
    """Quote a name of a table or view as SQL writes it, like `syncd.purchases`."""
    found = SqlName.parse(name)
    return sql.Identifier(*(found.parts if found else (name,)))


def _to_the_primary(dsn: str) -> dict[str, str]:
    """Return what lets libpq choose the primary among several hosts."""
    parts = conninfo_to_dict(dsn)
    hosts = f"{parts.get('host') or ''}{parts.get('hostaddr') or ''}"
    is_said = "target_session_attrs" in parts or "," not in hosts
    return {} if is_said else {"target_session_attrs": "primary"}


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
        way = _CONNECT | (_to_the_primary(dsn) if writes else {})
        self.dsn = make_conninfo(dsn, application_name=application_name, **way)
        self._session = _SESSION | ({"TimeZone": time_zone} if time_zone else {})
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
        """Let each statement take so long at most, once a connection is opened."""
        self._session["statement_timeout"] = f"{seconds}s"

    def on_doubt(self, action: Callable[[], None]) -> None:
        """Run `action` when a statement fails as if the views had been changed."""
        self._on_doubt.append(action)

    def all(self, statement: Statement, **params: object) -> list[Row]:
        """Run a statement and return its rows, in the statement's order."""
        with self.translated(statement.place):
            return _rows(self._execute(statement, params))

    def one(self, statement: Statement, **params: object) -> Row:
        """Run a statement that returns exactly one row."""
        (row,) = self.all(statement, **params)
        return row

    def run(self, statement: Statement, **params: object) -> int:
        """Run a statement; return the number of rows that it touched."""
        with self.translated(statement.place):
            return self._execute(statement, params).rowcount

    def together(
        self, *steps: tuple[Statement, Mapping[str, object]]
    ) -> list[list[Row]]:
        """Run statements as one READ COMMITTED transaction, all sent at once.

        Each has a snapshot of its own, as if it had waited for the one before. What a
        session of our own gets at once is one transaction without being told.

        Returns:
            The rows of each; a command's without rows are empty.
        """
        read = [statement.place for statement, _ in steps if statement.place.is_view]
        with self.translated(read[0] if read else Place.LEDGER):
            connection = self._open()
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            whole = nullcontext() if self._is_own else connection.transaction()
            with connection.pipeline(), whole:
                cursors = [self._execute(*step) for step in steps]
            return [_rows(cursor) for cursor in cursors]

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
        """Tell who is at the other end."""
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
        self, statement: Statement, params: Mapping[str, object]
    ) -> psycopg.Cursor[Row]:
        connection = self._open()
        if connection.prepare_threshold is not None:
            self._age += 1
            if self._age >= self._plans_kept:
                self._plans_kept = 2 * self._age
                connection.execute(query("discard_plans").text)
        return connection.execute(statement.text, self._fitted(params) or None)

    def _fitted(self, params: Mapping[str, object]) -> Mapping[str, object]:
        """Make text fit the server's encoding where it is only told."""
        told = _TOLD & params.keys()
        return {**params, **{name: self._fit(params[name]) for name in told}}

    def _fit(self, value: object) -> object:
        if isinstance(value, str):
            return fitted(value, self._codec)
        if isinstance(value, list):
            return [self._fit(each) for each in cast("list[object]", value)]
        return value

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
                in_recovery = _in_recovery(self._connection)
                if _is_lost(self._connection):
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


def _rows(cursor: psycopg.Cursor[Row]) -> list[Row]:
    """Fetch what came; a command without rows gives none."""
    result = cursor.pgresult
    return cursor.fetchall() if result is not None and result.nfields else []


def _is_lost(connection: psycopg.Connection[Row]) -> bool:
    """Whether a connection that failed is of no more use: one may not know it yet."""
    return connection.broken or bool(connection.pgconn.pipeline_status)


def _in_recovery(connection: psycopg.Connection[Row]) -> bool | None:
    """Return whether the server is a standby, as it reported; None: it did not."""
    if connection.closed:
        return None
    told = connection.info.parameter_status("in_hot_standby")
    return None if told is None else told == "on"
