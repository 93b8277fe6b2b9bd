"""syncd's captures as subjects of the checker.

To add one, subclass `LedgerSubject` (`begin` must be repeatable; what the capture
needs in the shop goes into `install`) and name it in `CAPTURES`.
"""

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import ClassVar, cast

from typing_extensions import override

from proof.stepwise import Start, Stepwise
from proof.world import World
from syncd.capture.poll import PollCapture
from syncd.capture.tuning import PollTuning
from syncd.core.errors import Reaction, SyncdError
from syncd.ledger.batches import Ledger
from syncd.ledger.feed import Feed, FeedStore
from syncd.postgres.connection import DeadlineConnection
from syncd.postgres.database import Database
from syncd.source.connections import Connections, transactions_of
from syncd.source.orders import Source

WATERMARK = """
SELECT w.confirmed_at
  FROM syncd.watermark AS w JOIN syncd.feed AS f USING (feed_id)
 WHERE f.feed = %(feed)s
"""
TAKEN = """
SELECT l.order_key
  FROM syncd.ledger AS l JOIN syncd.feed AS f USING (feed_id)
 WHERE f.feed = %(feed)s
"""


class Stepped(Database):
    """syncd's connection, with a pause before each statement and each commit."""

    def __init__(self, dsn: str, pause: Callable[[], None], name: str) -> None:
        super().__init__(dsn, application_name=f"syncd/{name}")
        self._pause = pause

    @override
    def _open(self) -> DeadlineConnection:
        self._pause()
        return super()._open()

    @override
    @contextmanager
    def transaction(self, *, is_kept: bool = True) -> Iterator[None]:
        with super().transaction(is_kept=is_kept):
            yield
            self._pause()


class LedgerSubject(Stepwise):
    """A subject with syncd's ledger: each has a feed of its own."""

    apart: ClassVar[bool] = False
    """Whether the ledger is in another database than the orders."""

    _numbers = count(1)

    def __init__(self, world: World) -> None:
        self.feed = f"feed{next(self._numbers)}"
        self._connections: list[Connections] = []
        self._thread = threading.current_thread()
        self._pausing = False
        self.world = world
        self.install()
        self.renew()
        super().__init__(world)

    def install(self) -> None:
        """Install what the capture needs in the shop; once."""

    def uninstall(self) -> None:
        """Remove it."""

    @abstractmethod
    def begin(self) -> None:
        """Make the capture's objects from the database alone."""

    def connect(self, role: str) -> Connections:
        """Return connections that pause, to one database or several, for a capture."""
        connections = self.connections(role)
        self._connections.append(connections)
        return connections

    def connections(self, role: str) -> Connections:
        source = self.database(self.world.dsn, role)
        return Connections(source, source)

    def database(self, dsn: str, role: str) -> Database:
        return Stepped(dsn, self.pause, role)

    @override
    def pause(self) -> None:
        if self._pausing:
            super().pause()

    @override
    def renew(self) -> None:
        self._pausing = False
        self.disconnect()
        self.begin()
        self._pausing = True

    @override
    def one_cycle(self) -> None:
        try:
            self.capture()
        except SyncdError as error:
            if error.reaction is not Reaction.RETRY:
                raise

    @abstractmethod
    def capture(self) -> None:
        """Run one cycle."""

    def watermark(self) -> datetime | None:
        ((watermark,),) = self._read(WATERMARK)
        return cast("datetime", watermark)

    def taken(self) -> list[str]:
        return [str(key) for (key,) in self._read(TAKEN)]

    def _read(self, query: str, **params: object) -> list[tuple[object, ...]]:
        return self.world.rows(query, self.apart, feed=self.feed, **params)

    @override
    def is_settled(self, moment: datetime) -> bool:
        return (self.watermark() or moment) >= moment

    @override
    def close(self) -> None:
        super().close()
        self.disconnect()
        self.uninstall()

    def disconnect(self) -> None:
        """Close every connection."""
        for connections in self._connections:
            connections.close()
        self._connections.clear()

    def source_on(self, connections: Connections) -> Source:
        return Source(
            connections.source,
            "syncd.confirmed_orders",
            "syncd.purchases",
            beside_ledger=connections.is_one,
        )

    def start_feed(self, connections: Connections) -> Feed:
        feeds = FeedStore(connections, self.feed)
        return feeds.start(self.source_on(connections), self.world.lookback)

    def make_poll(self) -> PollCapture:
        connections = self.connect("capture")
        feed = self.start_feed(connections)
        return PollCapture(
            transactions_of(connections),
            self.source_on(connections),
            Ledger(connections.ledger, feed.feed_id),
            lookback=self.world.lookback,
            size=3,
            tuning=PollTuning(
                step=timedelta(0)
            ),  # windows follow each other without a pause
        )


class PollSubject(LedgerSubject):
    """`capture = "poll"`."""

    @override
    def begin(self) -> None:
        self.poll = self.make_poll()

    @override
    def capture(self) -> None:
        self.poll.poll()


class SeparateLedger(LedgerSubject):
    """`[ledger] dsn`: the ledger is in another database."""

    apart = True

    @override
    def connections(self, role: str) -> Connections:
        ledger = self.database(self.world.ledger_dsn, f"{role}-ledger")
        return Connections(self.database(self.world.dsn, role), ledger)


class PollApart(SeparateLedger, PollSubject):
    """`capture = "poll"`, the ledger in another database."""


class PollOnStandby(PollSubject):
    """`capture = "poll"` on a hot standby, whose replay may pause."""

    apart = True

    def __init__(self, world: World) -> None:
        world.hold_standby(held=False)
        world.await_standby()
        super().__init__(world)

    @override
    def connections(self, role: str) -> Connections:
        return Connections(
            self.database(self.world.standby_dsn, role),
            self.database(self.world.ledger_dsn, f"{role}-ledger"),
            self.database(self.world.dsn, f"{role}-primary"),
        )

    @override
    def disturb(self, *, broken: bool) -> None:
        self.world.hold_standby(held=broken)

    @override
    def settle(self) -> None:
        self.world.hold_standby(held=False)
        super().settle()


CAPTURES: dict[str, Start] = {"poll": PollSubject, "poll-apart": PollApart}
ON_STANDBY: dict[str, Start] = {"poll-standby": PollOnStandby}
