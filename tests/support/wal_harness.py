"""A shop whose WAL is followed, in the test's own process."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg

from support.postgres import SETTINGS, Cluster, wait_until
from support.shop import Shop, target_of
from syncd.capture.follower import StepResult
from syncd.capture.tuning import WAL, WalTuning
from syncd.capture.wal.capture import WalCapture, follow_wal
from syncd.config.configuration import load
from syncd.ledger.batches import Ledger
from syncd.ledger.feed import FeedStore
from syncd.log import log as logging
from syncd.log.log import Log
from syncd.postgres.database import Database
from syncd.setup.install.install import Grantees, install
from syncd.setup.install.scripts import pinned
from syncd.setup.install.wal import follow, prepare, unfollow
from syncd.source.connections import Connections, connect, source_on

WAL_SETTINGS = SETTINGS | {
    "max_slot_wal_keep_size": "1GB",
    "synchronous_commit": "on",
    "autovacuum": "off",
}
QUICK = WalTuning(note_seconds=0.05)
"""The position is recorded at every step."""

SLOT = "SELECT {} FROM pg_replication_slots WHERE slot_name = 'syncd_shop'"
FREE = """
SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
 WHERE active AND database = '{name}'
"""
DROP = """
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
 WHERE database = '{name}'
"""


@contextmanager
def opened_shop(
    server: Cluster, name: str, *, views: bool = True, state: str | None = None
) -> Iterator[Shop]:
    """Open a shop in a database of its own; drop it with its slots afterwards."""
    server.create(name)
    shop = Shop.open(server.dsn(name), views=views, state=state)
    try:
        yield shop
    finally:
        shop.close()
        if server.runs():
            drop_database(server, name)


def drop_database(server: Cluster, name: str) -> None:
    """Drop a database with its slots."""
    active = SLOT.replace("slot_name = 'syncd_shop'", f"active AND database = '{name}'")
    server.sql(FREE.format(name=name))
    wait_until(lambda: not server.holds(f"SELECT EXISTS ({active.format(1)})"))
    server.sql(DROP.format(name=name))
    server.drop(name)


@contextmanager
def owners(shop: Shop) -> Iterator[Connections]:
    """Return connections as the owner of the shop's tables."""
    database = Database(shop.owner)
    try:
        yield Connections(database, database)
    finally:
        database.close()


def install_wal(shop: Shop, *tables: str, recreate: bool = False) -> list[str]:
    """Install as `syncd install --wal` does."""
    names = Grantees(shop.role, "syncd.confirmed_orders", "syncd.purchases")
    with owners(shop) as connections:
        with pinned(connections.source):
            following = prepare(
                connections,
                names,
                "shop",
                [target_of(table) for table in tables],
                lookback=timedelta(seconds=5),
                recreate=recreate,
            )
        install(connections, names, following.capture)
        return follow(connections, "shop", following)


def uninstall_wal(shop: Shop) -> list[str]:
    """Uninstall as `syncd uninstall` does before it drops the ledger."""
    with owners(shop) as connections:
        return unfollow(connections, "shop")


class WalHarness:
    """A started feed and its follower."""

    def __init__(
        self,
        shop: Shop,
        folder: Path,
        *,
        tables: Sequence[str] = ("orders:id",),
        tuning: WalTuning = WAL,
    ) -> None:
        self.shop = shop
        self._tuning = tuning
        self.lines = io.StringIO()
        logging.configure(style="json", stream=self.lines)
        config = shop.configure(folder, "http://127.0.0.1:9/x", {"capture": "wal"})
        self._settings = load(config, {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"})
        if tables:
            install_wal(shop, *tables)
        self._connections: list[Connections] = []
        self.wal = self.follower()

    def follower(self) -> WalCapture:
        """Build another follower of the same feed, as another daemon would."""
        connections = connect(self._settings, "wal")
        self._connections.append(connections)
        source = source_on(self._settings, connections)
        feed = FeedStore(connections, "shop").start(
            source, self._settings.source.lookback
        )
        self.ledger = Ledger(connections.ledger, feed.feed_id)
        return follow_wal(self._settings, feed, connections, Log("shop"), self._tuning)

    def retune(self, **changes: float) -> None:
        """Replace the follower by one with other tuning."""
        self.wal.close()
        self._tuning = replace(self._tuning, **changes)  # type: ignore[arg-type]
        self.wal = self.follower()

    def step(self, seconds: float = 0.2) -> StepResult:
        return self.wal.step(seconds)

    def step_until(
        self, condition: Callable[[], object], seconds: float = 0.05
    ) -> None:
        """Step, each time for some seconds, until a condition holds."""

        def holds() -> object:
            self.step(seconds)
            return condition()

        wait_until(holds)

    def step_until_admitted(self, orders: int) -> None:
        """Step until the ledger has so many orders."""
        self.step_until(lambda: self.admitted() == orders, 0.2)

    def step_until_read(self) -> None:
        """Step until everything written before this call was read and acknowledged."""
        end = self.value("SELECT (pg_current_wal_lsn() - '0/0')::bigint")
        assert isinstance(end, int)
        self.step_until(lambda: self.confirmed_position() >= end)

    def next_keys(self) -> list[str]:
        """Step until keys arrive; return them."""
        received: list[str] = []

        def has_keys() -> bool:
            received.extend(self.step().keys)
            return bool(received)

        wait_until(has_keys)
        return received

    def confirmed_position(self) -> int:
        """Return the position up to which the slot is acknowledged."""
        found = self.value(SLOT.format("(confirmed_flush_lsn - '0/0')::bigint"))
        assert isinstance(found, int)
        return found

    def reached(self) -> object:
        return self.value(
            "SELECT (reached - '0/0')::bigint FROM syncd.replication_position"
        )

    def admitted(self) -> object:
        return self.value("SELECT count(*) FROM syncd.ledger WHERE capture = 'wal'")

    def keys(self) -> list[str]:
        """Return the ledger's orders in the order of sending."""
        rows = self.shop.rows(
            "SELECT order_key FROM syncd.ledger JOIN syncd.batch USING (batch_id) "
            "ORDER BY batch_id, syncd.ledger.confirmed_at, order_key"
        )
        return [str(key) for (key,) in rows]

    def value(self, query: str) -> object:
        return self.shop.value(query)

    def events(self, name: str) -> list[dict[str, object]]:
        """Return the log lines of one event."""
        lines = [json.loads(line) for line in self.lines.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]

    def session(self, options: str = "") -> psycopg.Connection:
        """Open a session of the shop, not in autocommit."""
        return psycopg.connect(self.shop.owner, options=options)

    def held(self) -> int:
        """Return the number of received keys that are not in the ledger."""
        return self.wal.held

    def close(self) -> None:
        self.wal.close()
        for connections in self._connections:
            connections.close()
