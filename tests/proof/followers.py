"""The captures that follow changes, alone and with the poll beside them.

Alone, nothing but the follower can find an order: it alone is tested. Its pages and
waits are so short that faults at their ends are soon reached.
"""

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import cast

import psycopg
from support.shop import target_of
from typing_extensions import override

from proof.stepwise import Start
from proof.subjects import LedgerSubject, SeparateLedger
from proof.world import World
from syncd.capture.listen.capture import AdmissionContext, OutboxCapture, OutboxTuning
from syncd.capture.listen.notify import NotifyListener
from syncd.capture.listen.outbox import Outbox
from syncd.capture.tuning import WalTuning
from syncd.capture.wal.capture import WalCapture
from syncd.capture.wal.monitor import SlotMonitor
from syncd.capture.wal.slot import SlotPositionStore, slot_name
from syncd.capture.wal.stream import ReplicationStream
from syncd.core.pgoutput import Commit, Keepalive, Message
from syncd.core.schedule import PollSchedule
from syncd.ledger.batches import Ledger
from syncd.log.log import Log
from syncd.postgres.database import Database
from syncd.setup.install.install import Grantees, install
from syncd.setup.install.removal import stop_listening
from syncd.setup.install.scripts import pinned
from syncd.setup.install.wal import follow, prepare, unfollow
from syncd.source.connections import Connections

TABLES = ("orders:id", "payments:order_id")
FEW = 3
"""Rows or keys that are read at once."""

CHUNK = 20
"""Messages that are read at once; with fewer, late commits are seen too late."""

POLLS = 3
"""The poll beside a follower runs every so many of its cycles."""

WRITTEN = "SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint"
WAITING = "SELECT 1 FROM syncd.outbox WHERE feed = %(feed)s LIMIT 1"
ACTIVE = "SELECT 1 FROM pg_replication_slots WHERE slot_name = %(slot)s AND active"
REACHED = """
SELECT 1 FROM syncd.replication_position JOIN syncd.feed AS f USING (feed_id)
 WHERE f.feed = %(feed)s AND (reached - '0/0')::bigint >= %(position)s
"""


class NullLog(Log):
    """Discards all events."""

    @override
    def emit(self, event: str, **fields: object) -> None:
        pass

    @override
    def emit_folded(self, event: str, kind: object, **fields: object) -> None:
        pass


class AlwaysDue(PollSchedule):
    """The next poll is always due."""

    @override
    def seconds(self, now: float) -> float:
        return 0.0


class OverPoll(LedgerSubject):
    """A follower as the daemon runs it: the poll beside it finds what it misses."""

    _cycles_of_both = 0

    @override
    def renew(self) -> None:
        super().renew()
        self._pausing = False
        self.poll = self.make_poll()
        self._pausing = True

    @override
    def capture(self) -> None:
        self._cycles_of_both += 1
        if self._cycles_of_both % POLLS:
            super().capture()  # type: ignore[safe-super]  # the follower's
        else:
            self.poll.poll()

    @override
    def is_settled(self, moment: datetime) -> bool:
        return LedgerSubject.is_settled(self, moment)

    @override
    def disturb(self, *, broken: bool) -> None:
        """Do it unless a transaction of the shop is in the way."""
        statements = self.breaking() if broken else self.repairing()
        with suppress(psycopg.errors.LockNotAvailable):
            self.world.rows(f"SET lock_timeout = '2ms'; {statements}")
        self.world.rows("RESET lock_timeout")

    @abstractmethod
    def breaking(self) -> str:
        """Return the SQL that makes the follower miss changes."""

    @abstractmethod
    def repairing(self) -> str:
        """Return the SQL that reverts that; the follower may be intact."""


class ListenSubject(LedgerSubject):
    """`capture = "listen"`, without the poll."""

    @override
    def install(self) -> None:
        self.world.shop.listen(*TABLES, owner=self.world.owner, feed=self.feed)

    @override
    def uninstall(self) -> None:
        with owner_of(self.world) as connections:
            stop_listening(connections.source, self.feed)

    @override
    def begin(self) -> None:
        connections, listening = self.connect("listen"), self.connect("notifications")
        feed = self.start_feed(connections)
        intake = AdmissionContext(
            self.source_on(connections),
            Ledger(connections.ledger, feed.feed_id),
            FEW,
            spans_outbox=connections.is_one,
        )
        self.listen = OutboxCapture(
            Outbox(connections.source, connections.source, self.feed),
            NotifyListener(listening.source, connections.source, self.feed),
            intake,
            NullLog(self.feed),
            tuning=OutboxTuning(fallback_seconds=0, page=FEW, schedule=AlwaysDue),
        )

    @override
    def capture(self) -> None:
        while self.listen.step(0.0).keys:
            pass

    @override
    def is_settled(self, moment: datetime) -> bool:
        """Return whether the outbox is empty, when no session writes any more."""
        return not self.world.rows(WAITING, feed=self.feed)


class ListenApart(SeparateLedger, ListenSubject):
    """`capture = "listen"`, the ledger in another database."""


class ListenOverPoll(OverPoll, ListenSubject):
    """`capture = "listen"`, with its triggers sometimes disabled."""

    @override
    def breaking(self) -> str:
        return self._triggers("DISABLE")

    @override
    def repairing(self) -> str:
        return self._triggers("ENABLE ALWAYS")

    def _triggers(self, how: str) -> str:
        return ";".join(
            f"ALTER TABLE {table} {how} TRIGGER syncd_{event}_{self.feed}"
            for table in ("orders", "payments")
            for event in ("insert", "update")
        )


class SteppedStream(ReplicationStream):
    """A stream that pauses where syncd calls the server, and returns nothing early.

    Its messages do not depend on the speed of the network: all that the server had
    written when it was called, a few messages at a time.
    """

    def __init__(
        self, dsn: str, name: str, pause: Callable[[], None], written: Callable[[], int]
    ) -> None:
        super().__init__(dsn, name, name)
        self._pause = pause
        self._written = written
        self._arrived = deque[Message | Keepalive]()

    @override
    def open(self, keys: object, position: int) -> bool:
        self._pause()
        self._arrived.clear()
        return super().open(keys, position)  # type: ignore[arg-type]  # as it was given

    @override
    def receive(self, seconds: float) -> list[Message | Keepalive]:
        self._pause()
        if not self._arrived:
            self._arrived.extend(self._all_written())
        given: list[Message | Keepalive] = []
        while self._arrived and sum(not is_quiet(m) for m in given) < CHUNK:
            given.append(self._arrived.popleft())
        return given

    @override
    def confirm(self, position: int | None = None) -> None:
        self._pause()
        super().confirm(position)

    def _all_written(self) -> list[Message | Keepalive]:
        goal, received = self._written(), 0
        messages: list[Message | Keepalive] = []
        while received < goal:
            self._send_status(ask=True)
            for message in super().receive(0.01):
                if is_quiet(message) and messages and is_quiet(messages[-1]):
                    messages.pop()
                messages.append(message)
                received = max(received, position_of(message))
        return messages


def is_quiet(message: Message | Keepalive) -> bool:
    return isinstance(message, Keepalive)


def position_of(message: Message | Keepalive) -> int:
    """Return the position up to which everything was received with this message."""
    match message:
        case Keepalive(position, _) | Commit(position):
            return position
        case _:
            return 0


class WalSubject(LedgerSubject):
    """`capture = "wal"`, without the poll."""

    wal: WalCapture | None = None

    @override
    def install(self) -> None:
        names = Grantees(
            self.world.shop.role, "syncd.confirmed_orders", "syncd.purchases"
        )
        with owner_of(self.world) as connections:
            with pinned(connections.source):
                following = prepare(
                    connections,
                    names,
                    self.feed,
                    [target_of(table) for table in TABLES],
                    lookback=self.world.lookback,
                )
            install(connections, names, following.capture)
            follow(connections, self.feed, following)
        # Paused, it cannot respond to a server that waits for it before its shutdown.
        self.world.before_stop = lambda: self.world.drop("syncd/stream")

    @override
    def uninstall(self) -> None:
        self.world.before_stop = lambda: None
        with owner_of(self.world) as connections:
            unfollow(connections, self.feed)

    @override
    def begin(self) -> None:
        connections = self.connect("wal")
        feed = self.start_feed(connections)
        ledger = Ledger(connections.ledger, feed.feed_id)
        guard = SlotMonitor(
            connections.source,
            SlotPositionStore(ledger.database, feed.feed_id),
            feed,
            self.feed,
            NullLog(self.feed),
            self.world.lookback,
        )
        dsn = self.database(self.world.dsn, "stream").dsn
        name = slot_name(self.feed)
        stream = SteppedStream(dsn, name, self.pause, self._written)
        source = self.source_on(connections)
        self.wal = WalCapture(
            stream, guard, source, ledger, FEW, WalTuning(page=FEW, note_seconds=0)
        )

    @override
    def capture(self) -> None:
        assert self.wal is not None
        while self.wal.step(0.0).keys:
            pass

    @override
    def disconnect(self) -> None:
        """Close every connection; the slot is free when this returns."""
        super().disconnect()
        if self.wal is not None:
            self.wal.close()
        while self.world.rows(ACTIVE, slot=slot_name(self.feed)):
            pass

    @override
    def settle(self) -> None:
        self._goal = self._written()
        super().settle()

    @override
    def is_settled(self, moment: datetime) -> bool:
        """Return whether it reports that it has read everything written."""
        return bool(self._read(REACHED, position=self._goal))

    def _written(self) -> int:
        return cast("int", self.world.rows(WRITTEN)[0][0])


class WalApart(SeparateLedger, WalSubject):
    """`capture = "wal"`, the ledger in another database."""


class WalOverPoll(OverPoll, WalSubject):
    """`capture = "wal"`, with a table sometimes removed from its publication."""

    @override
    def breaking(self) -> str:
        name = slot_name(self.feed)
        return f"ALTER PUBLICATION {name} SET TABLE ONLY payments (id, order_id)"

    @override
    def repairing(self) -> str:
        both = "ONLY orders (id), ONLY payments (id, order_id)"
        return f"ALTER PUBLICATION {slot_name(self.feed)} SET TABLE {both}"


@contextmanager
def owner_of(world: World) -> Iterator[Connections]:
    """Return connections as the owner of the shop's tables."""
    database = Database(world.owner)
    try:
        yield Connections(database, database)
    finally:
        database.close()


LISTEN: dict[str, Start] = {
    "listen": ListenSubject,
    "listen-apart": ListenApart,
    "listen-over-poll": ListenOverPoll,
}
WAL: dict[str, Start] = {
    "wal": WalSubject,
    "wal-apart": WalApart,
    "wal-over-poll": WalOverPoll,
}
