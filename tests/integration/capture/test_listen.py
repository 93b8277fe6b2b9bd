"""Capture `listen`: which orders are read from the outbox, when, and after faults."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from support.clock import Clock
from support.pooler import Pooler
from support.postgres import Cluster, cluster, wait_until
from support.shop import Shop
from typing_extensions import override

from syncd.capture.follower import StepResult
from syncd.capture.listen import capture as listen
from syncd.capture.listen import notify as notifications
from syncd.capture.listen.capture import (
    AdmissionContext,
    OutboxCapture,
    OutboxTuning,
)
from syncd.capture.listen.notify import NotifyListener
from syncd.capture.listen.outbox import Outbox, OutboxRow
from syncd.capture.poll import PollCapture
from syncd.core.errors import DatabaseUnavailableError, UnreadableRowError
from syncd.core.schedule import PollSchedule
from syncd.daemon.capture_log import CaptureLog
from syncd.daemon.capture_loop import CaptureLoop
from syncd.daemon.error_policy import ErrorPolicy
from syncd.daemon.wakeup import WakeUp
from syncd.demo.sandbox import Sandbox
from syncd.ledger.batches import Ledger
from syncd.ledger.feed import FeedStore
from syncd.log.log import Log
from syncd.postgres.connection import PREPARE_AFTER
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement
from syncd.source.connections import Connections
from syncd.source.orders import Source
from syncd.source.transactions import Transactions

pytestmark = pytest.mark.db

NAMES = ("syncd.confirmed_orders", "syncd.purchases")
ORDER = "INSERT INTO orders (confirmed_at) VALUES ({}) RETURNING id::text"
SOON = 1.0
"""Seconds; without a notification the outbox is read every 5."""


@dataclass
class LogRecorder(Log):
    """Records what is logged."""

    lines: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__("shop")

    @override
    def emit(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    def of(self, event: str) -> list[Mapping[str, object]]:
        return [fields for name, fields in self.lines if name == event]


class CountingOutbox(Outbox):
    """Counts its reads."""

    reads = 0

    @override
    def read(self, limit: int) -> list[OutboxRow]:
        self.reads += 1
        return super().read(limit)


class ListenHarness:
    """A started feed that captures by `listen`, in the test's own process."""

    def __init__(
        self,
        shop: Shop,
        *,
        notifications_dsn: str | None = None,
        inspection_seconds: float = listen.INSPECTION_SECONDS,
        answer_seconds: float = notifications.ANSWER_SECONDS,
        shut_seconds: float = notifications.SHUT_SECONDS,
    ) -> None:
        self.shop = shop
        self.clock = Clock()
        self.schedule = PollSchedule()
        self._inspection_seconds = inspection_seconds
        self._answer_seconds, self._shut_seconds = answer_seconds, shut_seconds
        source = Database(
            shop.dsn, application_name="syncd/shop/listen", keeps_plans=True
        )
        ledger = Database(shop.state_dsn) if shop.state_dsn else source
        self.notifications = Database(
            notifications_dsn or shop.dsn, application_name="syncd/shop/notifications"
        )
        self.connections = Connections(source, ledger)
        self.source = Source(source, *NAMES, beside_ledger=self.connections.is_one)
        self.feed = FeedStore(self.connections, "shop").start(
            self.source, timedelta(seconds=5)
        )
        self.ledger = Ledger(ledger, self.feed.feed_id)
        self.log = LogRecorder()
        self.outbox = CountingOutbox(source, source, "shop")
        self.listen = self.make(self.outbox)

    def make(self, outbox: Outbox) -> OutboxCapture:
        intake = AdmissionContext(
            self.source,
            self.ledger,
            100,
            spans_outbox=self.connections.is_one,
        )
        return OutboxCapture(
            outbox,
            NotifyListener(
                self.notifications,
                self.connections.source,
                "shop",
                answer_seconds=self._answer_seconds,
                shut_seconds=self._shut_seconds,
            ),
            intake,
            self.log,
            tuning=OutboxTuning(
                fallback_seconds=0.1,
                inspection_seconds=self._inspection_seconds,
                schedule=lambda: self.schedule,
                clock=self.clock,
            ),
        )

    def until(self, condition: Callable[[], object]) -> None:
        """Step until a condition holds."""

        def holds() -> bool:
            self.listen.step(0.05)
            return bool(condition())

        wait_until(holds)

    def first(self) -> StepResult:
        """Step until orders come; its own notification may end a step before that."""
        while not (result := self.listen.step(30)).orders:
            pass
        return result

    def take(self, orders: int) -> float:
        """Step until so many orders come at once; return the seconds that it took."""
        started = time.monotonic()
        wait_until(lambda: self.listen.step(0.05).orders == orders)
        return time.monotonic() - started

    def settle(self) -> None:
        """Step until the outbox is empty."""
        self.until(lambda: not self.outbox.count())

    def become_idle(self) -> None:
        """Step until the next poll is far away, as after many that found nothing."""
        self.settle()
        self.postpone_poll()

    def seconds_until_poll(self) -> float:
        return self.schedule.seconds(self.clock())

    def postpone_poll(self) -> None:
        """Record empty polls, so that the next one is 6 s away."""
        for _ in range(8):
            self.schedule.found_nothing(self.clock(), 0.0, float("inf"))

    def taken(self) -> list[str]:
        orders = self.shop.rows_of("ledger", capture="listen")
        return sorted((order.order_key for order in orders), key=int)

    def close(self) -> None:
        self.listen.close()
        self.connections.close()
        self.notifications.close()


@pytest.fixture
def listen_feed(shop: Shop) -> Iterator[ListenHarness]:
    """A feed on a server that allows prepared transactions, so without NOTIFY."""
    shop.listen("orders:id")
    made = ListenHarness(shop)
    yield made
    made.close()


@pytest.fixture
def notified_feed(notifying_shop: Shop) -> Iterator[ListenHarness]:
    notifying_shop.listen("orders:id")
    made = ListenHarness(notifying_shop)
    yield made
    made.close()


# Which orders are captured


def test_confirmed_orders_are_captured_and_the_outbox_is_emptied(
    listen_feed: ListenHarness,
) -> None:
    """Each is captured once, also when its row is changed again."""
    listen_feed.shop.confirm(250)
    listen_feed.shop.sql("UPDATE orders SET total = 3 WHERE id < 20")
    listen_feed.settle()
    assert len(listen_feed.taken()) == 250
    listen_feed.shop.sql("UPDATE orders SET total = 4")
    listen_feed.settle()
    assert listen_feed.shop.batch_orders() == 250


def test_more_orders_than_a_page_are_captured(listen_feed: ListenHarness) -> None:
    """Pages follow each other without a pause."""
    listen_feed.shop.confirm(2 * listen.PAGE + 500)
    sizes = [len(listen_feed.listen.step(0).keys) for _ in range(3)]
    assert sizes == [listen.PAGE, listen.PAGE, 500]
    assert len(listen_feed.taken()) == 2500


def test_an_order_that_commits_late_is_captured(listen_feed: ListenHarness) -> None:
    """The outbox has no position that could have passed the order."""
    with psycopg.connect(listen_feed.shop.owner) as session:
        session.execute(ORDER.format("now()").encode())
        listen_feed.shop.confirm(5)
        listen_feed.settle()
        assert listen_feed.taken() == ["2", "3", "4", "5", "6"]
        session.commit()
    wait_until(lambda: listen_feed.listen.step(0.05).orders == 1)
    assert listen_feed.taken() == ["1", "2", "3", "4", "5", "6"]


def test_the_confirmation_time_does_not_matter(listen_feed: ListenHarness) -> None:
    """An order stamped years off is captured unless the start listed it."""
    listen_feed.shop.sql(ORDER.format("now() - interval '2 years'"))
    listen_feed.shop.sql(ORDER.format("now() + interval '3 days'"))
    listen_feed.settle()
    assert listen_feed.taken() == ["1", "2"]


def test_the_change_that_confirms_an_order_captures_it(shop: Shop) -> None:
    """It may be in any table: here an order counts once it is paid."""
    shop.sql(
        "CREATE TABLE payments (order_id bigint, state text); "
        "DROP VIEW syncd.confirmed_orders; CREATE VIEW syncd.confirmed_orders AS "
        "SELECT o.id AS order_key, o.confirmed_at FROM orders AS o "
        "JOIN payments AS p ON p.order_id = o.id WHERE p.state = 'paid'; "
        f"GRANT SELECT ON syncd.confirmed_orders TO {shop.role}"
    )
    shop.listen("orders:id", "payments:order_id")
    with closing(ListenHarness(shop)) as listen_feed:
        shop.confirm(2)
        shop.sql("INSERT INTO payments VALUES (1, 'begun'), (2, 'begun')")
        listen_feed.settle()
        assert listen_feed.taken() == []
        shop.sql("UPDATE payments SET state = 'paid' WHERE order_id = 2")
        listen_feed.settle()
        assert listen_feed.taken() == ["2"]


def test_an_unreadable_order_does_not_block_others(shop: Shop) -> None:
    """It stays in the outbox and is named, until its row or the view is fixed."""
    shop.listen("orders:id")
    shop.sql(
        "DROP VIEW syncd.confirmed_orders; CREATE VIEW syncd.confirmed_orders AS "
        "SELECT id AS order_key, confirmed_at + (1 / (id - 3) * interval '0') "
        f"AS confirmed_at FROM orders; GRANT SELECT ON syncd.confirmed_orders "
        f"TO {shop.role}"
    )
    with closing(ListenHarness(shop)) as listen_feed:
        shop.confirm(5)
        assert listen_feed.listen.step(0).orders == 4
        assert listen_feed.taken() == ["1", "2", "4", "5"]
        with pytest.raises(UnreadableRowError):
            wait_until(lambda: listen_feed.listen.step(0.05).orders)
        shop.sql("UPDATE orders SET id = DEFAULT WHERE id = 3")
        listen_feed.settle()
        assert listen_feed.taken() == ["1", "2", "4", "5", "6"]


def test_a_touched_order_is_looked_up_by_its_key(listen_feed: ListenHarness) -> None:
    """It reads few rows, however many orders there are, with a cached plan."""
    listen_feed.shop.sql(
        "INSERT INTO orders (confirmed_at) "
        "SELECT clock_timestamp() FROM generate_series(1, 20000)"
    )
    listen_feed.until(lambda: listen_feed.shop.captured() == 20_000)
    listen_feed.shop.sql("VACUUM ANALYZE")
    take = partial(listen_feed.source.touched, Outbox.taking("shop", 100))
    for _ in range(PREPARE_AFTER + 1):
        listen_feed.ledger.admit_touched(take(), 100)
    before = rows_read(listen_feed, "orders", "ledger")
    listen_feed.shop.confirm()
    assert listen_feed.ledger.admit_touched(take(), 100).orders == 1
    assert rows_read(listen_feed, "orders", "ledger") - before < 10


@pytest.mark.parametrize("way", ["at once", "as read"])
def test_the_cost_of_a_page_is_independent_of_the_outbox_size(
    listen_feed: ListenHarness, way: str
) -> None:
    """The cached plan was made while the outbox was almost empty."""

    def take(rows: int) -> int:
        outbox = listen_feed.outbox
        taking = Outbox.taking("shop", rows)
        if way == "as read":
            taking = outbox.taking_rows(outbox.read(rows))
        found = listen_feed.source.touched(taking)
        return len(listen_feed.ledger.admit_touched(found, 100).taken)

    for _ in range(PREPARE_AFTER + 1):
        listen_feed.shop.confirm()
        assert take(10) == 1
    listen_feed.shop.sql(
        "INSERT INTO orders (confirmed_at) "
        "SELECT clock_timestamp() FROM generate_series(1, 20000)"
    )
    before = rows_read(listen_feed, "outbox")
    assert take(100) == 100
    assert rows_read(listen_feed, "outbox") - before < 1000


def test_a_burst_is_not_admitted_with_the_plan_of_a_small_ledger(
    listen_feed: ListenHarness,
) -> None:
    """A cached plan that scans the whole ledger suits only a small one."""
    listen_feed.shop.confirm(150)
    listen_feed.until(lambda: len(listen_feed.taken()) == 150)
    listen_feed.shop.sql("VACUUM ANALYZE")
    take = partial(listen_feed.source.touched, Outbox.taking("shop", 1000))
    for _ in range(200):
        listen_feed.ledger.admit_touched(take(), 100)
    listen_feed.shop.sql(
        "INSERT INTO orders (confirmed_at) "
        "SELECT clock_timestamp() FROM generate_series(1, 5000)"
    )
    pages = []
    for _ in range(4):
        before = rows_read(listen_feed, "ledger")
        assert listen_feed.ledger.admit_touched(take(), 100).orders == 1000
        pages.append(rows_read(listen_feed, "ledger") - before)
    assert pages[0] > 100_000, "the plan that is to be renewed"
    assert max(pages[1:]) < 10_000, pages


def rows_read(listen_feed: ListenHarness, *tables: str) -> int:
    """Count the rows read from tables so far, by index or not."""
    listen_feed.connections.source.run(Statement(b"SELECT pg_stat_force_next_flush()"))
    return listen_feed.connections.source.value(
        int,
        Statement(
            b"SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint "
            b"FROM pg_stat_user_tables WHERE relname = ANY(%(tables)s)"
        ),
        tables=list(tables),
    )


# Crashes and concurrent instances


class FailingDiscard(Outbox):
    """Fails before rows are deleted in the other database."""

    @override
    def discard(self, touches: object) -> int:
        raise DatabaseUnavailableError("gone", "")


DIES = """
CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_terminate_backend(pg_backend_pid());
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON syncd.ledger
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()
"""
"""The session that wrote an order is terminated at its commit."""


@pytest.fixture(scope="module")
def ledger_server() -> Iterator[Cluster]:
    """Run a second server, for ledgers."""
    with cluster() as running:
        yield running


@pytest.mark.parametrize("apart", [False, True], ids=["beside", "apart"])
def test_a_crash_between_ledger_and_outbox_admits_an_order_once(
    database: str, ledger_server: Cluster, *, apart: bool
) -> None:
    """The ledger is written first, and recognises what is left in the outbox."""
    name = str(conninfo_to_dict(database)["dbname"])
    state = None
    if apart:
        ledger_server.sql(f"CREATE DATABASE {name}")
        ledger_server.sql(f"CREATE ROLE role_{name} LOGIN")
        state = ledger_server.dsn(name)
    shop = Shop.open(database, state=state)
    shop.listen("orders:id")
    with closing(ListenHarness(shop)) as listen_feed:
        shop.confirm(3)
        source = listen_feed.connections.source
        if not apart:
            shop.sql(DIES)
        with pytest.raises(DatabaseUnavailableError):
            listen_feed.make(FailingDiscard(source, source, "shop")).step(0)
        if not apart:
            shop.sql("DROP FUNCTION die CASCADE")
        assert len(listen_feed.taken()) == (3 if apart else 0)
        assert listen_feed.outbox.count() == 3
        listen_feed.settle()
        assert len(listen_feed.taken()) == 3
        assert shop.batch_orders() == 3


def test_two_daemons_admit_each_order_once(listen_feed: ListenHarness) -> None:
    """No order is lost between them, and none is counted twice."""
    with (
        closing(ListenHarness(listen_feed.shop)) as other,
        ThreadPoolExecutor() as pool,
    ):
        stop = threading.Event()

        def follow(each: ListenHarness) -> int:
            orders = 0
            while not stop.is_set():
                orders += each.listen.step(0.01).orders
            return orders

        follows = [pool.submit(follow, each) for each in (listen_feed, other)]
        for _ in range(100):
            listen_feed.shop.confirm(3)
        with closing(Database(listen_feed.shop.owner)) as owner:
            waiting = Outbox(owner, owner, "shop")
            wait_until(lambda: not waiting.count())
        stop.set()
        assert sum(each.result() for each in follows) == 300
    assert len(listen_feed.taken()) == 300
    assert listen_feed.shop.batch_orders() == 300


def test_a_row_at_a_reused_ctid_is_not_discarded(listen_feed: ListenHarness) -> None:
    """PostgreSQL reuses row positions; the row's transaction id tells them apart."""
    listen_feed.shop.confirm(1)
    (read,) = listen_feed.outbox.read(10)
    listen_feed.shop.sql("DELETE FROM syncd.outbox")
    listen_feed.shop.sql("VACUUM syncd.outbox")
    listen_feed.shop.confirm(1)
    (later,) = listen_feed.outbox.read(10)
    assert later.place == read.place
    assert listen_feed.outbox.discard([read]) == 0
    assert listen_feed.outbox.discard([later]) == 1


def test_two_feeds_on_one_table_read_their_own_rows(listen_feed: ListenHarness) -> None:
    """The other feed's rows stay in the outbox."""
    listen_feed.shop.listen("orders:id", feed="second")
    listen_feed.shop.confirm(4)
    listen_feed.settle()
    with closing(Database(listen_feed.shop.dsn)) as database:
        assert len(Outbox(database, database, "second").read(10)) == 4


def test_outbox_rows_are_deleted_although_all_tables_are_published(
    listen_feed: ListenHarness,
) -> None:
    """A published DELETE needs a replica identity; the outbox has no key."""
    listen_feed.shop.sql("CREATE PUBLICATION everything FOR ALL TABLES")
    listen_feed.shop.confirm(1)
    listen_feed.settle()
    assert listen_feed.taken() == ["1"]


# Notifications


def test_a_notification_wakes_the_capture(notified_feed: ListenHarness) -> None:
    """The order is captured long before the next poll is due."""
    notified_feed.become_idle()
    with ThreadPoolExecutor() as pool:
        step = pool.submit(notified_feed.first)
        time.sleep(0.05)
        started = time.monotonic()
        notified_feed.shop.confirm(1)
        assert step.result().orders == 1
        assert time.monotonic() - started < SOON
    assert notified_feed.log.of("listen.notifications_lost") == []


def test_the_measured_duration_excludes_the_wait(notified_feed: ListenHarness) -> None:
    """This is the duration that `orders.captured` logs."""
    notified_feed.settle()
    began = time.monotonic()
    confirming = threading.Timer(0.5, notified_feed.shop.confirm)
    confirming.start()
    followed = notified_feed.first()
    assert 0 < followed.seconds <= time.monotonic() - began - 0.5
    confirming.join()


def test_a_commit_without_notification_is_captured_soon_after_one_with(
    notified_feed: ListenHarness,
) -> None:
    """Two open transactions delay theirs; the third order is captured all the same."""
    notified_feed.become_idle()
    with (
        psycopg.connect(notified_feed.shop.owner) as first,
        psycopg.connect(notified_feed.shop.owner) as second,
    ):
        for session in (first, second):
            session.execute(ORDER.format("now()").encode())
        notified_feed.shop.confirm(1)
        assert notified_feed.take(1) < listen.INSPECTION_SECONDS + SOON


def test_the_inspection_finds_rows_without_a_notification(
    listen_feed: ListenHarness,
) -> None:
    """It does so however far away the next poll is."""
    listen_feed.settle()
    listen_feed.shop.confirm(1)
    listen_feed.postpone_poll()
    assert listen_feed.listen.step(0).orders == 0
    listen_feed.clock.advance(listen.INSPECTION_SECONDS)
    # once the pause after the previous poll has ended
    wait_until(lambda: listen_feed.listen.step(0).orders == 1)


def test_an_idle_listener_sends_no_queries(notified_feed: ListenHarness) -> None:
    """In two seconds of waiting it does not read the outbox once."""
    notified_feed.become_idle()
    before = notified_feed.outbox.reads
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        notified_feed.listen.step(0.5)
    assert notified_feed.outbox.reads == before


def terminate(listen_feed: ListenHarness, application: str) -> None:
    listen_feed.shop.sql(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        f"WHERE application_name = 'syncd/shop/{application}' "
        "AND datname = current_database()"
    )


def test_a_lost_connection_is_replaced_and_the_outbox_is_read_at_once(
    notified_feed: ListenHarness,
) -> None:
    """Notifications sent meanwhile are lost; their orders are not."""
    notified_feed.become_idle()
    terminate(notified_feed, "notifications")
    notified_feed.shop.confirm(1)
    assert notified_feed.take(1) < notifications.SHUT_SECONDS + SOON
    notified_feed.become_idle()
    notified_feed.shop.confirm(1)
    assert notified_feed.take(1) < SOON


def test_a_lost_database_loses_nothing(notified_feed: ListenHarness) -> None:
    """The step fails, the next one succeeds."""
    notified_feed.become_idle()
    notified_feed.shop.confirm(2)
    terminate(notified_feed, "listen")
    with pytest.raises(DatabaseUnavailableError):
        wait_until(lambda: notified_feed.listen.step(0.1).orders)
    notified_feed.settle()
    assert notified_feed.taken() == ["1", "2"]


def test_a_transaction_pooler_is_reported_once_and_polled_around(
    notifying_shop: Shop,
) -> None:
    """The probe does not arrive, so the outbox is polled every poll_interval."""
    soon = {"inspection_seconds": 0.3, "answer_seconds": 0.1}
    notifying_shop.listen("orders:id")
    with (
        closing(Pooler(notifying_shop.dsn)) as pooler,
        closing(
            ListenHarness(notifying_shop, notifications_dsn=pooler.dsn, **soon)
        ) as listen_feed,
    ):
        listen_feed.until(lambda: listen_feed.log.of("listen.notifications_lost"))
        for _ in range(4):
            notifying_shop.confirm(1)
            assert listen_feed.take(1) < SOON
        (line,) = listen_feed.log.of("listen.notifications_lost")
        assert "pooler" in str(line["reason"])


def test_a_missing_notification_connection_is_reported_once(
    notifying_shop: Shop,
) -> None:
    """No connection for notifications is available; capture goes on by polling."""
    notifying_shop.listen("orders:id")
    nowhere = make_conninfo(notifying_shop.dsn, host="/nowhere")
    with closing(
        ListenHarness(notifying_shop, notifications_dsn=nowhere, shut_seconds=0.05)
    ) as listen_feed:
        listen_feed.until(lambda: listen_feed.log.of("listen.notifications_lost"))
        notifying_shop.confirm(2)
        assert listen_feed.take(2) < SOON
        assert len(listen_feed.log.of("listen.notifications_lost")) == 1


def test_prepared_transactions_make_the_capture_poll_often(
    listen_feed: ListenHarness,
) -> None:
    """Triggers send no notifications on such a server, which is logged once."""
    for _ in range(30):
        listen_feed.listen.step(0.05)
    listen_feed.until(lambda: listen_feed.seconds_until_poll() <= 0.1)
    for _ in range(3):
        listen_feed.shop.confirm(1)
        assert listen_feed.take(1) < SOON
    (line,) = listen_feed.log.of("listen.notifications_lost")
    assert "max_prepared_transactions" in str(line["reason"])


# Faults


def test_trigger_faults_are_logged_with_their_number(
    listen_feed: ListenHarness,
) -> None:
    """Those from before the start first, then each increase."""
    listen_feed.shop.sql(
        "ALTER TABLE syncd.outbox ADD CHECK (order_key = '') NOT VALID"
    )
    listen_feed.shop.confirm(1)
    listen_feed.shop.confirm(1)
    for orders in (0, 0, 1):
        if orders:
            listen_feed.shop.confirm(orders)
        listen_feed.clock.advance(listen.INSPECTION_SECONDS)
        listen_feed.listen.step(0)
    assert listen_feed.log.of("outbox.failed") == [
        {"missed_changes": 2},
        {"missed_changes": 1},
    ]


@pytest.mark.parametrize(
    "break_it",
    [
        "ALTER TABLE orders DISABLE TRIGGER USER",
        "SELECT 1; DROP TABLE syncd.outbox CASCADE",
    ],
    ids=["disabled", "faulty"],
)
def test_the_poll_reports_orders_that_no_trigger_recorded(
    notifying_shop: Shop, break_it: str
) -> None:
    """The poll runs beside `listen` as a cross-check of its changes."""
    notifying_shop.listen("orders:id")
    with (
        closing(ListenHarness(notifying_shop)) as listen_feed,
        closing(Database(notifying_shop.dsn)) as database,
    ):
        polled = Connections(database, database)
        source = Source(database, *NAMES)
        poll = PollCapture(
            Transactions(database),
            source,
            Ledger(polled.ledger, listen_feed.feed.feed_id),
            lookback=timedelta(seconds=5),
            size=100,
        )
        reactions = ErrorPolicy(listen_feed.log)
        capture_log = CaptureLog(listen_feed.log, patience_seconds=0.3)
        watching = CaptureLoop(
            poll, listen_feed.listen, WakeUp(), reactions, capture_log
        )
        threads = watching.start()
        try:
            notifying_shop.confirm(2)
            wait_until(lambda: len(listen_feed.taken()) == 2)
            time.sleep(0.4)
            watching.poll()
            assert listen_feed.log.of("capture.missed_changes") == []
            listen_feed.postpone_poll()  # the fault has to come first
            notifying_shop.sql(break_it)
            notifying_shop.confirm(2)
            watching.poll()
            time.sleep(0.4)
            watching.poll()
            (missed,) = listen_feed.log.of("capture.missed_changes")
            assert missed == {"capture": "listen", "orders": 2, "order_key": "3"}
        finally:
            reactions.stopping.set()
            for thread in threads:
                thread.join()
    assert notifying_shop.captured("poll") == 2


def test_an_order_that_the_poll_captured_first_is_not_missed(
    notified_feed: ListenHarness,
) -> None:
    """The trigger recorded it; `listen` was only slower."""
    shop = notified_feed.shop
    with closing(Database(shop.dsn)) as database:
        poll = PollCapture(
            Transactions(database),
            Source(database, *NAMES),
            Ledger(database, notified_feed.feed.feed_id),
            lookback=timedelta(seconds=5),
            size=100,
        )
        reactions = ErrorPolicy(notified_feed.log)
        watching = CaptureLoop(
            poll,
            notified_feed.listen,
            WakeUp(),
            reactions,
            CaptureLog(notified_feed.log, patience_seconds=0.2),
        )
        watching.step(notified_feed.listen, 0.0)
        time.sleep(0.3)
        shop.confirm(1)
        watching.poll()

        def is_emptied() -> bool:
            watching.step(notified_feed.listen, 0.1)
            return not notified_feed.outbox.count()

        wait_until(is_emptied)
        time.sleep(0.3)
        watching.poll()
    assert shop.row_of("ledger").capture == "poll"
    assert notified_feed.log.of("capture.missed_changes") == []


# The daemon


def test_the_daemon_sends_orders_from_the_outbox(
    notifying_shop: Shop, tmp_path: Path
) -> None:
    """Long before the poll, which runs as a cross-check, is due again."""
    notifying_shop.listen("orders:id")
    with Sandbox() as sandbox:
        config = notifying_shop.configure(
            tmp_path, sandbox.endpoint, {"capture": "listen"}
        )
        daemon = notifying_shop.start(config)
        log = config.with_suffix(".log")
        wait_until(lambda: "daemon.started" in log.read_text())
        notifying_shop.confirm(1)
        wait_until(lambda: sandbox.received.totals.orderids == 1)
        time.sleep(1)  # the first poll is over, the next one is half a minute away
        orders = notifying_shop.confirm(50)
        wait_until(lambda: sandbox.received.totals.orderids == 51, 5)
        daemon.terminate()
        assert daemon.wait(60) == 0
        assert {sandbox.received.posts(order) for order in orders} == {1}
    text = log.read_text()
    assert "listen.notifications_lost" not in text
    assert "capture.missed_changes" not in text
    assert notifying_shop.captured("listen") >= 50


def test_run_once_captures_the_outbox(notifying_shop: Shop, tmp_path: Path) -> None:
    """`syncd run --once` also captures orders that the poll's window does not reach."""
    notifying_shop.listen("orders:id")
    with Sandbox() as sandbox:
        config = notifying_shop.configure(
            tmp_path, sandbox.endpoint, {"capture": "listen"}
        )
        assert notifying_shop.start(config, "--once").wait(60) == 0
        notifying_shop.confirm(3)
        assert notifying_shop.start(config, "--once").wait(60) == 0
        assert sandbox.received.totals.orderids == 3
    assert notifying_shop.in_outbox() == 0
    assert notifying_shop.captured("listen") == 3
