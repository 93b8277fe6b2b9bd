"""Reading a replication slot: one connection that PostgreSQL sends changes over.

Only what the caller confirms is acknowledged. A slow reader is waited for;
the server keeps the rest in its WAL.
"""

import re
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.pq import ExecStatus

from syncd.capture.tuning import WAL, WalTuning
from syncd.capture.wal.slot import slot_name
from syncd.config.settings import Settings
from syncd.core.errors import (
    DatabaseUnavailableError,
    PermissionDeniedError,
    StreamBrokenError,
    SyncdError,
)
from syncd.core.pgoutput import (
    Keepalive,
    KeyMissingError,
    MalformedError,
    Message,
    Reader,
    read_frame,
    status,
)
from syncd.postgres.connection import DeadlineConnection
from syncd.postgres.errors import translate
from syncd.postgres.statements import composed
from syncd.source.connections import connect

FRAMES = 3000
"""How many frames are read at a time, at most."""

_BUSY = "55006"
_BROKEN = {"42704", "55000"}  # no such slot or publication; the slot was invalidated
_NOT_ALLOWED = re.compile("start (WAL sender|walsender)|REPLICATION attribute")


class ReplicationStream:
    """The changes of one publication, from one slot. For one thread.

    Args:
        dsn: The order database, as a role with REPLICATION.
        slot: Whose changes.
        publication: Of which tables.
        tuning: How long it, or the server, may be silent.
    """

    def __init__(
        self, dsn: str, slot: str, publication: str, tuning: WalTuning = WAL
    ) -> None:
        self._dsn = make_conninfo(dsn, replication="database", client_encoding="UTF8")
        self._slot = slot
        self._tuning = tuning
        self._publication = publication
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._confirmed = 0
        self._reader = Reader({})
        self._received_at = self._status_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether changes are coming."""
        return self._connection is not None

    def try_login(self) -> None:
        """Log in for replication, and out again.

        Raises:
            SyncdError: The role or the server does not allow it.
        """
        with self._translated():
            DeadlineConnection.connect(self._dsn, autocommit=True).close()

    def open(self, keys: Mapping[int, str], position: int) -> bool:
        """Begin to stream; False when another process does.

        What was sent before and not confirmed comes again. `keys` has the key column of
        each table, by its oid; `position` is what the slot has confirmed.
        """
        statement = composed(
            "start_replication",
            slot=sql.Identifier(self._slot),
            publications=sql.Literal(f'"{self._publication}"'),
        )
        with self._translated():
            connection = DeadlineConnection.connect(self._dsn, autocommit=True)
            try:
                connection.execute(statement.text)
            except psycopg.Error as error:
                connection.close()
                if error.sqlstate == _BUSY:
                    return False
                raise
        self._connection = connection
        self._confirmed = position
        self._reader = Reader(keys)
        self._received_at = self._status_at = time.monotonic()
        return True

    def close(self) -> None:
        """End the connection; what was not confirmed comes again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def receive(self, seconds: float) -> list[Message | Keepalive]:
        """Take what has arrived, in order; wait for the first of it at most `seconds`.

        Raises:
            StreamBrokenError: Its messages cannot be read, for good; without a hint.
            SyncdError: The connection ended.
        """
        with self._translated():
            messages = list(self._read())
            if not messages:
                self._wait(seconds)
                messages = list(self._read())
        self.keep_alive(received=bool(messages))
        return messages

    def keep_alive(self, *, received: bool = False) -> None:
        """Send keep-alives, now and then; notice when the server does not."""
        now = time.monotonic()
        if received:
            self._received_at = now
        if now - self._status_at < self._tuning.status_seconds:
            return
        longest = self._tuning.silence_seconds
        if now - self._received_at > longest:
            raise DatabaseUnavailableError(
                f"the slot {self._slot} has been silent for {longest:.0f} s",
                "syncd connects again by itself.",
            )
        self._send_status(ask=True)

    def confirm(self, position: int | None = None) -> None:
        """Acknowledge all up to `position`, or answer with what was confirmed last."""
        self._confirmed = max(self._confirmed, position or 0)
        self._send_status()

    def _send_status(self, *, ask: bool = False) -> None:
        with self._translated():
            wire = self._wire()
            wire.put_copy_data(status(self._confirmed, time.time(), ask=ask))
            wire.flush()
        self._status_at = time.monotonic()

    def _wire(self) -> psycopg.pq.abc.PGconn:
        if self._connection is None:
            raise psycopg.OperationalError("the stream is closed")
        return self._connection.pgconn

    def _wait(self, seconds: float) -> None:
        wire = self._wire()
        select.select([wire.socket], [], [], seconds)
        wire.consume_input()

    def _read(self) -> Iterator[Message | Keepalive]:
        wire = self._wire()
        for _ in range(FRAMES):
            size, data = wire.get_copy_data(1)
            if size == 0:
                return
            if size < 0:
                raise self._end(wire)
            frame = read_frame(bytes(data))
            message = (
                frame if isinstance(frame, Keepalive) else self._reader.read(frame)
            )
            if message is not None:
                yield message

    def _end(self, wire: psycopg.pq.abc.PGconn) -> psycopg.Error:
        result = wire.get_result()
        if result is None or result.status != ExecStatus.FATAL_ERROR:
            return psycopg.OperationalError("the server ended the stream")
        return psycopg.errors.error_from_result(result)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            self.close()
            raise self._meaning(error) from error
        except (MalformedError, KeyMissingError) as error:
            self.close()
            raise StreamBrokenError(
                f"the slot {self._slot} cannot be understood: {error}", ""
            ) from error

    def _meaning(self, error: psycopg.Error) -> SyncdError:
        reason = str(error).strip().splitlines()
        if error.sqlstate in _BROKEN:
            return StreamBrokenError(
                f"the slot {self._slot} cannot be read: {reason[0]}", ""
            )
        if any(_NOT_ALLOWED.search(line) for line in reason):
            return PermissionDeniedError(
                "the daemon's role may not read a replication slot",
                "Run `syncd install --wal …` as a superuser.",
            )
        return translate(error, self._dsn)


def stream_of(settings: Settings, tuning: WalTuning = WAL) -> ReplicationStream:
    """Make the reader of the feed's replication slot; it opens on request."""
    name = slot_name(settings.feed)
    dsn = connect(settings, "stream").source.dsn
    return ReplicationStream(dsn, name, name, tuning)
