"""Orders read on a hot standby: replay lag, transactions of the primary, promotion."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.postgres import Cluster, cluster, standby, wait_until
from support.shop import Shop

from syncd.capture.poll import PollCapture
from syncd.capture.tuning import PollTuning
from syncd.core.errors import DatabaseUnavailableError
from syncd.demo.sandbox import Sandbox
from syncd.ledger.batches import Ledger
from syncd.ledger.feed import FeedStore
from syncd.postgres.database import Database
from syncd.postgres.statements import statements
from syncd.source.connections import Connections
from syncd.source.orders import Source
from syncd.source.transactions import Transactions

pytestmark = [pytest.mark.db, pytest.mark.slow]

LOOKBACK = timedelta(milliseconds=50)


def test_a_promoted_standby_has_all_acknowledged_commits() -> None:
    """A standby of the tests replays every commit before its acknowledgement."""
    with cluster() as primary, standby(primary) as second:
        primary.sql("CREATE TABLE kept AS SELECT 1")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            second.sql("INSERT INTO kept VALUES (2)")
        assert second.holds("SELECT count(*) = 1 FROM kept")
        primary.stop("immediate")
        second.promote()
        second.sql("INSERT INTO kept VALUES (3)")
        assert second.holds("SELECT count(*) = 2 FROM kept")


@dataclass
class Pair:
    """A shop on a primary, its hot standby, and a ledger on a third server."""

    primary: Cluster
    second: Cluster
    shop: Shop

    @property
    def standby_dsn(self) -> str:
        return self.second.dsn("shop", self.shop.role)

    def catch_up(self) -> None:
        """Wait until the standby has replayed all that the primary has written."""
        written = self.shop.value(statements()["written"])
        wait_until(
            lambda: self.second.holds(f"SELECT pg_last_wal_replay_lsn() >= '{written}'")
        )

    def pause(self) -> None:
        """Pause the standby's replay; the primary goes on."""
        self.second.sql("SELECT pg_wal_replay_pause()")
        wait_until(
            lambda: self.second.holds("SELECT pg_get_wal_replay_pause_state()='paused'")
        )

    def resume(self) -> None:
        self.second.sql("SELECT pg_wal_replay_resume()")


@pytest.fixture
def pair() -> Iterator[Pair]:
    with cluster() as primary, cluster() as ledgers:
        primary.sql("CREATE DATABASE shop")
        ledgers.sql("CREATE DATABASE shop")
        ledgers.sql("CREATE ROLE role_shop LOGIN")
        shop = Shop.open(primary.dsn("shop"), state=ledgers.dsn("shop"))
        with cluster({}, primary=primary) as second:
            made = Pair(primary, second, shop)
            made.catch_up()
            yield made
        shop.close()


@contextmanager
def polling(pair: Pair, *, with_primary: bool = True) -> Iterator["Reader"]:
    reader = Reader(pair, with_primary=with_primary)
    try:
        yield reader
    finally:
        reader.connections.close()


class Reader:
    """A poll on the standby, in this process."""

    def __init__(self, pair: Pair, *, with_primary: bool) -> None:
        self.pair = pair
        self.connections = Connections(
            Database(pair.standby_dsn),
            Database(pair.shop.state_dsn or ""),
            Database(pair.shop.dsn) if with_primary else None,
        )
        names = ("syncd.confirmed_orders", "syncd.purchases")
        source = Source(self.connections.source, *names, beside_ledger=False)
        feed = FeedStore(self.connections, "shop").start(source, LOOKBACK)
        self.ledger = Ledger(self.connections.ledger, feed.feed_id)
        self.transactions = Transactions(
            self.connections.source, self.connections.primary
        )
        self._poll = PollCapture(
            self.transactions,
            source,
            self.ledger,
            lookback=LOOKBACK,
            size=100,
            tuning=PollTuning(step=timedelta(0)),
        )

    def poll(self, times: int = 1) -> int:
        return sum(self._poll.poll().orders for _ in range(times))

    def taken(self) -> list[str]:
        return [order.order_key for order in self.pair.shop.rows_of("ledger")]


def confirm_in(connection: psycopg.Connection) -> str:
    row = connection.execute(
        "INSERT INTO orders (confirmed_at) VALUES (now()) RETURNING id::text"
    ).fetchone()
    assert row
    return str(row[0])


def test_the_watermark_waits_for_the_replay_of_finished_transactions(
    pair: Pair,
) -> None:
    """It does not pass a commit that the standby does not show yet."""
    with polling(pair) as reader, psycopg.connect(pair.shop.owner) as session:
        reader.poll(3)
        pair.pause()
        key = confirm_in(session)
        stamp = session.execute("SELECT now()").fetchone()
        session.commit()
        assert stamp
        later = stamp[0] + 2 * LOOKBACK
        wait_until(lambda: reader.transactions.clock() > later)
        reader.poll(10)
        assert reader.taken() == []
        assert reader.ledger.watermark() < stamp[0]
        pair.resume()
        wait_until(lambda: reader.poll() >= 0 and reader.ledger.watermark() > stamp[0])
        assert reader.taken() == [key]


def test_a_position_at_the_end_of_a_wal_segment_is_reached(pair: Pair) -> None:
    """An idle standby has caught up without further writes."""
    pair.shop.sql("SELECT pg_switch_wal()")
    pair.catch_up()
    raw = pair.shop.value("SELECT pg_current_wal_insert_lsn()::text")
    assert not pair.second.holds(f"SELECT pg_last_wal_replay_lsn() >= '{raw}'")


def test_an_open_transaction_of_the_primary_holds_the_watermark(pair: Pair) -> None:
    """The standby does not show a transaction that has written nothing yet."""
    with polling(pair) as reader, psycopg.connect(pair.shop.owner) as session:
        stamp = session.execute("SELECT now()").fetchone()
        assert stamp
        later = stamp[0] + 4 * LOOKBACK
        wait_until(lambda: reader.poll() >= 0 and reader.transactions.clock() > later)
        reader.poll(5)
        assert reader.ledger.watermark() < stamp[0]
        key = confirm_in(session)
        session.commit()
        wait_until(lambda: reader.poll() >= 0 and reader.ledger.watermark() > stamp[0])
        assert reader.taken() == [key]


def test_without_the_primary_the_watermark_stays_behind_the_replay(pair: Pair) -> None:
    """It follows the time of the last replayed commit, less the lookback."""
    with polling(pair, with_primary=False) as reader:
        assert reader.transactions.primary_unknown
        pair.pause()
        stamp = pair.shop.value("SELECT clock_timestamp()")
        pair.shop.confirm(1)
        reader.poll(5)
        assert reader.ledger.watermark() < stamp  # type: ignore[operator]
        pair.resume()
        pair.catch_up()
        assert reader.poll(3) == 1


def test_a_promotion_restarts_the_grace_period(pair: Pair) -> None:
    """The old primary's transactions say nothing about the new one's."""
    with polling(pair) as reader, closing(psycopg.connect(pair.shop.owner)) as session:
        confirm_in(session)
        reader.poll(3)  # a window is open, held by a session of the shop
        pair.primary.stop("immediate")
        pair.second.promote()
        with psycopg.connect(pair.second.dsn("shop")) as new_till:
            key = confirm_in(new_till)
            reader.poll(5)
            stamp = new_till.execute("SELECT now()").fetchone()
            assert stamp
            assert reader.ledger.watermark() < stamp[0]
            new_till.commit()
        wait_until(lambda: reader.poll() >= 0 and reader.ledger.watermark() > stamp[0])
        assert reader.taken() == [key]


def test_a_position_that_was_never_replayed_is_dropped_at_a_promotion(
    pair: Pair,
) -> None:
    """What the old primary wrote and the standby never received does not come."""
    with polling(pair) as reader:
        pair.pause()
        pair.shop.sql("SELECT txid_current()")
        before = reader.ledger.watermark()
        reader.poll(5)  # the window waits for a position
        assert reader.ledger.watermark() == before
        pair.primary.stop("immediate")
        pair.second.promote()
        wait_until(lambda: reader.poll() >= 0 and reader.ledger.watermark() > before)


def test_an_unreachable_primary_is_waited_for(pair: Pair) -> None:
    """Without it the running transactions are unknown, so the poll fails."""
    with polling(pair) as reader:
        pair.primary.stop()
        before = reader.ledger.watermark()
        with pytest.raises(DatabaseUnavailableError):
            reader.poll()
        pair.primary.start()
        pair.shop.confirm(2)
        wait_until(lambda: reader.poll() >= 0 and len(reader.taken()) == 2)
        wait_until(lambda: reader.poll() >= 0 and reader.ledger.watermark() > before)


def test_the_daemon_keeps_running_through_a_promotion_of_its_standby(
    pair: Pair, tmp_path: Path
) -> None:
    """Orders of the old primary and of the new one arrive, each once."""
    with Sandbox() as sandbox:
        both = f"{pair.primary.folder},{pair.second.folder}"
        primary = make_conninfo(
            pair.shop.dsn, host=both, target_session_attrs="read-write"
        )
        reading = {"dsn": pair.standby_dsn, "primary_dsn": primary}
        config = pair.shop.configure(tmp_path, sandbox.endpoint, reading)
        daemon = pair.shop.start(config)
        log = config.with_suffix(".log")
        wait_until(lambda: "daemon.started" in log.read_text())
        orders = pair.shop.confirm(20)
        wait_until(lambda: sandbox.received.totals.orderids == 20)
        pair.primary.stop("immediate")
        pair.second.promote()
        pair.shop.owner = pair.second.dsn("shop")
        orders += pair.shop.confirm(20)
        wait_until(lambda: sandbox.received.totals.orderids == 40)
        daemon.terminate()
        assert daemon.wait(60) == 0
        assert {sandbox.received.posts(order) for order in orders} == {1}
    assert "source.unverified" not in log.read_text()


def test_the_daemon_listens_on_the_primary_and_reads_the_standby(
    pair: Pair, tmp_path: Path
) -> None:
    """Outbox rows are deleted on the primary, once the standby shows their orders."""
    pair.shop.listen("orders:id")
    pair.catch_up()
    with Sandbox() as sandbox:
        reading = {
            "capture": "listen",
            "dsn": pair.standby_dsn,
            "primary_dsn": pair.shop.dsn,
        }
        config = pair.shop.configure(tmp_path, sandbox.endpoint, reading)
        daemon = pair.shop.start(config)
        log = config.with_suffix(".log")
        wait_until(lambda: "daemon.started" in log.read_text())
        pair.shop.confirm(1)
        wait_until(lambda: sandbox.received.totals.orderids == 1)
        orders = pair.shop.confirm(30)
        wait_until(lambda: sandbox.received.totals.orderids == 31)
        wait_until(lambda: pair.shop.in_outbox() == 0)
        daemon.terminate()
        assert daemon.wait(60) == 0
        assert {sandbox.received.posts(order) for order in orders} == {1}
    assert pair.shop.captured("listen") >= 30
