from dataclasses import replace
from datetime import datetime, timedelta

import psycopg

from support.clock import Clock
from support.postgres import wait_until
from support.shop import Shop
from syncd.capture.poll import PollCapture
from syncd.capture.tuning import DEFAULTS, PollTuning
from syncd.ledger.batches import Ledger
from syncd.ledger.feed import FeedStore
from syncd.postgres.database import Database
from syncd.source.connections import Connections
from syncd.source.orders import Source
from syncd.source.transactions import Transactions

LOOKBACK = timedelta(milliseconds=5)
INSERT = "INSERT INTO orders (confirmed_at) VALUES ({}) RETURNING id"


class ConcurrentWriters:
    """Sessions of the shop, each with a transaction that the test controls."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._open: list[psycopg.Connection] = []
        self._prepared: list[str] = []

    def begin(self, stamp: str = "now()", savepoint: str = "") -> psycopg.Connection:
        """Open a transaction that has confirmed one order."""
        connection = psycopg.connect(self._shop.owner)
        self._open.append(connection)
        if savepoint:
            connection.execute(f"SAVEPOINT {savepoint}".encode())
        connection.execute(INSERT.format(stamp).encode())
        return connection

    def prepare(self, connection: psycopg.Connection, name: str) -> None:
        """Turn an open transaction into a prepared one; its session stays open."""
        connection.execute(f"PREPARE TRANSACTION '{name}'".encode())
        connection.rollback()
        self._prepared.append(name)

    def finish(self, name: str, how: str = "COMMIT") -> None:
        self._shop.sql(f"{how} PREPARED '{name}'")
        self._prepared.remove(name)

    def close(self) -> None:
        for connection in self._open:
            connection.close()
        for name in list(self._prepared):
            self.finish(name, "ROLLBACK")


class PollHarness:
    """A started feed and its poll, in the test's own process.

    Its windows follow each other without a pause.
    """

    def __init__(
        self,
        shop: Shop,
        *,
        lookback: timedelta = LOOKBACK,
        time_zone: str | None = None,
        kind: type[PollCapture] = PollCapture,
        size: int = 100,
        source: type[Source] = Source,
        tuning: PollTuning = DEFAULTS,
    ) -> None:
        self.shop = shop
        self.clock = Clock()
        self.database = Database(
            shop.dsn, application_name="syncd/shop/capture", time_zone=time_zone
        )
        self.source = source(self.database, "syncd.confirmed_orders", "syncd.purchases")
        feed = FeedStore(Connections(self.database, self.database), "shop").start(
            self.source, lookback
        )
        self.ledger = Ledger(self.database, feed.feed_id)
        self._poll = kind(
            Transactions(self.database),
            self.source,
            self.ledger,
            lookback=lookback,
            size=size,
            tuning=replace(tuning, step=timedelta(0), clock=self.clock),
        )

    def poll(self) -> int:
        return self._poll.poll().orders

    def poll_all(self) -> int:
        """Poll until no page is left."""
        orders = self.poll()
        while self._poll.is_behind:
            orders += self.poll()
        return orders

    @property
    def is_behind(self) -> bool:
        return self._poll.is_behind

    def close_window(self) -> datetime:
        """Poll until the watermark has passed every order stamped before this call."""
        now = self.source.clock()
        wait_until(lambda: self.poll() >= 0 and self.ledger.watermark() >= now)
        return self.ledger.watermark()

    def missed(self) -> list[tuple[object, ...]]:
        """Return orders at or below the watermark that the ledger lacks."""
        return self.shop.rows(
            "SELECT o.id FROM orders AS o, syncd.watermark AS w "
            "WHERE o.confirmed_at <= w.confirmed_at AND NOT EXISTS "
            "(SELECT FROM syncd.ledger AS l WHERE l.order_key = o.id::text)"
        )

    def admitted(self) -> object:
        return self.shop.value("SELECT count(*) FROM syncd.ledger")

    def confirmed(self) -> object:
        return self.shop.value("SELECT count(*) FROM orders WHERE confirmed_at < 'now'")
