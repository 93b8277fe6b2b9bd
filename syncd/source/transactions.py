"""What writes to the shop's orders now: the clock and the running transactions.

Each is read by a statement of its own, in autocommit: the poll's grace period rests
on their order (ADR-0003). Where the source is a hot standby, they are read on its
primary, and the standby is waited for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, NewType

from syncd.core.window import Vxid, Xid
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement, query

Lsn = NewType("Lsn", str)
"""A position in the write-ahead log."""


@dataclass(frozen=True, slots=True)
class _Clock:
    now: datetime
    is_standby: bool
    replayed_at: datetime
    prepares: bool


class Holder(NamedTuple):
    """A transaction; a prepared one has no session: its name is the application's.

    What only `pg_read_all_stats` may see is None.
    """

    pid: int | None = None
    application_name: str | None = None
    xact_start: datetime | None = None
    query_start: datetime | None = None


class Transactions:
    """The transactions of the server where the shop writes.

    Args:
        source: The server whose views are read.
        primary: Where the shop writes, should the source be a hot standby; None when
            that cannot be asked: then no transaction is seen, and the clock is the
            time of what was replayed last.
    """

    def __init__(self, source: Database, primary: Database | None = None) -> None:
        self._source = source
        self._primary = primary
        self._is_standby: bool | None = None
        self._prepares = True
        self._on_move: list[Callable[[], None]] = []

    def on_restart(self, action: Callable[[], None]) -> None:
        """Run `action` when what was seen of transactions means nothing any more.

        At each new connection, since their ids may be reused; and when the shop writes
        elsewhere from now on (a promotion).
        """
        self._on_move.append(action)
        for database in (self._source, self._primary):
            if database is not None:
                database.on_open(action)

    def clock(self) -> datetime:
        """Read the clock; notices first whether the source is a standby."""
        clock = self._source.row(_Clock, query("clock"))
        moved = self._is_standby is not None and clock.is_standby != self._is_standby
        self._is_standby = clock.is_standby
        if moved:
            for action in self._on_move:
                action()
        if clock.is_standby and self._primary is None:
            return clock.replayed_at
        if clock.is_standby and self._primary is not None:
            clock = self._primary.row(_Clock, query("clock"))
        self._prepares = clock.prepares
        return clock.now

    def running(self) -> frozenset[Vxid]:
        """Read the transactions that run now, one's own excepted."""
        return frozenset(map(Vxid, self._values(query("running"))))

    def prepared(self) -> frozenset[Xid]:
        """Read the prepared transactions of now."""
        if not self._prepares:
            return frozenset()
        return frozenset(map(Xid, self._values(query("prepared"))))

    def holders(self) -> list[Holder]:
        """Name the oldest transactions."""
        writer = self._writer
        return [] if writer is None else writer.rows(Holder, query("holders"))

    def written(self) -> Lsn | None:
        """Return the primary's position; None when there is nothing to await."""
        if not self._is_standby or self._primary is None:
            return None
        return Lsn(self._primary.value(str, query("written")))

    def has_arrived(self, position: Lsn | None) -> bool:
        """Return whether the source shows everything up to a position of the primary's.

        False as well when the source is no standby any more: what was seen of the
        old primary's transactions is useless then.
        """
        if position is None:
            return True
        return bool(
            self._source.find_value(bool, query("has_replayed"), position=position)
        )

    @property
    def primary_unknown(self) -> bool:
        """Whether the source is a standby whose primary cannot be asked."""
        self.clock()
        return self._writer is None

    @property
    def _writer(self) -> Database | None:
        if self._is_standby is None:
            self.clock()
        return self._primary if self._is_standby else self._source

    def _values(self, statement: Statement) -> list[str]:
        writer = self._writer
        return [] if writer is None else writer.values(str, statement)
