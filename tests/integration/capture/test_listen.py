"""Capture by listening: what is taken out of the outbox, when, and what if not."""

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
from syncd.core.poll_schedule import PollSchedule
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
"""Seconds; the outbox is looked at unasked every 5."""


@dataclass
class Notes(Log):
    """Keeps what is logged."""

    lines: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__("shop")

    @override
    def emit(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    def of(self, event: str) -> list[Mapping[str, object]]:
        return [fields for name, fields in self.lines if name == event]


class CountingOutbox(Outbox):
    """Counts how often it was read."""

    looks = 0

    @override
    def read(self, limit: int) -> list[OutboxRow]:
        self.looks += 1
        return super().read(limit)


class ListenHarness:
    """A started feed that listens, in the test's own process."""

    def __init__(
        self,
        shop: Shop,
        *,
        hear: str | None = None,
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
        self.ear = Database(
            hear or shop.dsn, application_name="syncd/shop/notifications"
        )
        self.connections = Connections(source, ledger)
        self.source = Source(source, *NAMES, beside_ledger=self.connections.is_one)
        self.feed = FeedStore(self.connections, "shop").start(
            self.source, timedelta(seconds=5)
        )
        self.ledger = Ledger(ledger, self.feed.feed_id)
        self.notes = Notes()
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
                self.ear,
                self.connections.source,
                "shop",
                answer_seconds=self._answer_seconds,
                shut_seconds=self._shut_seconds,
            ),
            intake,
            self.notes,
            tuning=OutboxTuning(
                fallback_seconds=0.1,
                inspection_seconds=self._inspection_seconds,
                schedule=lambda: self.schedule,
                clock=self.clock,
            ),
        )

    def until(self, condition: Callable[[], object]) -> None:
        """Step until something holds."""

        def holds() -> bool:
            self.listen.step(0.05)
            return bool(condition())

        wait_until(holds)

    def first(self) -> StepResult:
        """Step until orders come; its own notification may end a step before them."""
        while not (result := self.listen.step(30)).orders:
            pass
        return result

    def take(self, orders: int) -> float:
        """Step until so many orders come at once; tell how long that took."""
        started = time.monotonic()
        wait_until(lambda: self.listen.step(0.05).orders == orders)
        return time.monotonic() - started

    def settle(self) -> None:
        """Step until nothing is in the outbox."""
        self.until(lambda: not self.outbox.count())

    def calm(self) -> None:
        """Step until the next look is far away, as if many had found nothing."""
        self.settle()
        self.put_off_next_look()

    def next_look_seconds(self) -> float:
        return self.schedule.seconds(self.clock())

    def put_off_next_look(self) -> None:
        """Do what looks that find nothing do: the next one is 6 s away."""
        for _ in range(8):
            self.schedule.found_nothing(self.clock(), 0.0, float("inf"))

    def taken(self) -> list[str]:
        orders = self.shop.rows_of("ledger", capture="listen")
        return sorted((order.order_key for order in orders), key=int)

    def close(self) -> None:
        self.listen.close()
        self.connections.close()
        self.ear.close()


@pytest.fixture
def ear(shop: Shop) -> Iterator[ListenHarness]:
    """On a server that may prepare transactions, so without notifications."""
    shop.listen("orders:id")
    made = ListenHarness(shop)
    yield made
    made.close()


@pytest.fixture
def hearing(notifying_shop: Shop) -> Iterator[ListenHarness]:
    notifying_shop.listen("orders:id")
    made = ListenHarness(notifying_shop)
    yield made
    made.close()


# Which orders


def test_what_the_shop_confirms_is_taken_and_the_outbox_is_empty(
    ear: ListenHarness,
) -> None:
    """Each once, also when its row is touched again."""
    ear.shop.confirm(250)
    ear.shop.sql("UPDATE orders SET total = 3 WHERE id < 20")
    ear.settle()
    assert len(ear.taken()) == 250
    ear.shop.sql("UPDATE orders SET total = 4")
    ear.settle()
    assert ear.shop.batch_orders() == 250


def test_more_than_a_page_is_taken(ear: ListenHarness) -> None:
    """Page after page, without a pause."""
    ear.shop.confirm(2 * listen.PAGE + 500)
    sizes = [len(ear.listen.step(0).keys) for _ in range(3)]
    assert sizes == [listen.PAGE, listen.PAGE, 500]
    assert len(ear.taken()) == 2500


def test_who_commits_late_is_taken(ear: ListenHarness) -> None:
    """There is no position that could have passed it."""
    with psycopg.connect(ear.shop.owner) as till:
        till.execute(ORDER.format("now()").encode())
        ear.shop.confirm(5)
        ear.settle()
        assert ear.taken() == ["2", "3", "4", "5", "6"]
        till.commit()
    wait_until(lambda: ear.listen.step(0.05).orders == 1)
    assert ear.taken() == ["1", "2", "3", "4", "5", "6"]


def test_any_clock_will_do(ear: ListenHarness) -> None:
    """A stamp years off is nothing to it: what the start did not list is new."""
    ear.shop.sql(ORDER.format("now() - interval '2 years'"))
    ear.shop.sql(ORDER.format("now() + interval '3 days'"))
    ear.settle()
    assert ear.taken() == ["1", "2"]


def test_the_change_that_confirms_an_order_brings_it(shop: Shop) -> None:
    """Wherever that is: here an order counts once it is paid."""
    shop.sql(
        "CREATE TABLE payments (order_id bigint, state text); "
        "DROP VIEW syncd.confirmed_orders; CREATE VIEW syncd.confirmed_orders AS "
        "SELECT o.id AS order_key, o.confirmed_at FROM orders AS o "
        "JOIN payments AS p ON p.order_id = o.id WHERE p.state = 'paid'; "
        f"GRANT SELECT ON syncd.confirmed_orders TO {shop.role}"
    )
    shop.listen("orders:id", "payments:order_id")
    with closing(ListenHarness(shop)) as ear:
        shop.confirm(2)
        shop.sql("INSERT INTO payments VALUES (1, 'begun'), (2, 'begun')")
        ear.settle()
        assert ear.taken() == []
        shop.sql("UPDATE payments SET state = 'paid' WHERE order_id = 2")
        ear.settle()
        assert ear.taken() == ["2"]


def test_one_order_that_cannot_be_read_holds_no_other_up(shop: Shop) -> None:
    """It stays in the outbox and is named, until its row or the view is mended."""
    shop.listen("orders:id")
    shop.sql(
        "DROP VIEW syncd.confirmed_orders; CREATE VIEW syncd.confirmed_orders AS "
        "SELECT id AS order_key, confirmed_at + (1 / (id - 3) * interval '0') "
        f"AS confirmed_at FROM orders; GRANT SELECT ON syncd.confirmed_orders "
        f"TO {shop.role}"
    )
    with closing(ListenHarness(shop)) as ear:
        shop.confirm(5)
        assert ear.listen.step(0).orders == 4
        assert ear.taken() == ["1", "2", "4", "5"]
        with pytest.raises(UnreadableRowError):
            wait_until(lambda: ear.listen.step(0.05).orders)
        shop.sql("UPDATE orders SET id = DEFAULT WHERE id = 3")
        ear.settle()
        assert ear.taken() == ["1", "2", "4", "5", "6"]


def test_a_touched_order_is_looked_up_by_its_key(ear: ListenHarness) -> None:
    """However many orders there are since the start, with a plan that is kept."""
    ear.shop.sql(
        "INSERT INTO orders (confirmed_at) "
        "SELECT clock_timestamp() FROM generate_series(1, 20000)"
    )
    ear.until(lambda: ear.shop.captured() == 20_000)
    ear.shop.sql("VACUUM ANALYZE")
    take = partial(ear.source.touched, Outbox.taking("shop", 100))
    for _ in range(PREPARE_AFTER + 1):
        ear.ledger.admit_touched(take(), 100)
    before = rows_read(ear, "orders", "ledger")
    ear.shop.confirm()
    assert ear.ledger.admit_touched(take(), 100).orders == 1
    assert rows_read(ear, "orders", "ledger") - before < 10


@pytest.mark.parametrize("way", ["at once", "as read"])
def test_a_page_costs_the_same_however_much_waits(ear: ListenHarness, way: str) -> None:
    """With a plan that was made while next to nothing did."""

    def take(rows: int) -> int:
        outbox = ear.outbox
        taking = Outbox.taking("shop", rows)
        if way == "as read":
            taking = outbox.taking_rows(outbox.read(rows))
        found = ear.source.touched(taking)
        return len(ear.ledger.admit_touched(found, 100).taken)

    for _ in range(PREPARE_AFTER + 1):
        ear.shop.confirm()
        assert take(10) == 1
    ear.shop.sql(
        "INSERT INTO orders (confirmed_at) "
        "SELECT clock_timestamp() FROM generate_series(1, 20000)"
    )
    before = rows_read(ear, "outbox")
    assert take(100) == 100
    assert rows_read(ear, "outbox") - before < 1000


def test_a_burst_is_not_looked_up_with_the_plan_of_a_small_ledger(
    ear: ListenHarness,
) -> None:
    """A plan may be kept for long, and read the ledger whole while that is small."""
    ear.shop.confirm(150)
    ear.until(lambda: len(ear.taken()) == 150)
    ear.shop.sql("VACUUM ANALYZE")
    take = partial(ear.source.touched, Outbox.taking("shop", 1000))
    for _ in range(200):
        ear.ledger.admit_touched(take(), 100)
    ear.shop.sql(
        "INSERT INTO orders (confirmed_at) "
        "SELECT clock_timestamp() FROM generate_series(1, 5000)"
    )
    pages = []
    for _ in range(4):
        before = rows_read(ear, "ledger")
        assert ear.ledger.admit_touched(take(), 100).orders == 1000
        pages.append(rows_read(ear, "ledger") - before)
    assert pages[0] > 100_000, "the plan that is to be renewed"
    assert max(pages[1:]) < 10_000, pages


def rows_read(ear: ListenHarness, *tables: str) -> int:
    """Count what was read of tables so far, by index or not."""
    ear.connections.source.run(Statement(b"SELECT pg_stat_force_next_flush()"))
    return ear.connections.source.value(
        int,
        Statement(
            b"SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint "
            b"FROM pg_stat_user_tables WHERE relname = ANY(%(tables)s)"
        ),
        tables=list(tables),
    )


# Crashes, and others at the same time


class Breaking(Outbox):
    """Breaks off before rows are deleted in the other database."""

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
"""Whoever wrote an order dies at the commit, with all of it done."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Cluster]:
    """A second server, for ledgers."""
    with cluster() as running:
        yield running


@pytest.mark.parametrize("apart", [False, True], ids=["beside", "apart"])
def test_a_crash_between_ledger_and_outbox_takes_an_order_once(
    database: str, elsewhere: Cluster, *, apart: bool
) -> None:
    """The ledger goes first; what is left in the outbox is known to it then."""
    name = str(conninfo_to_dict(database)["dbname"])
    state = None
    if apart:
        elsewhere.sql(f"CREATE DATABASE {name}")
        elsewhere.sql(f"CREATE ROLE role_{name} LOGIN")
        state = elsewhere.dsn(name)
    shop = Shop.open(database, state=state)
    shop.listen("orders:id")
    with closing(ListenHarness(shop)) as ear:
        shop.confirm(3)
        source = ear.connections.source
        if not apart:
            shop.sql(DIES)
        with pytest.raises(DatabaseUnavailableError):
            ear.make(Breaking(source, source, "shop")).step(0)
        if not apart:
            shop.sql("DROP FUNCTION die CASCADE")
        assert len(ear.taken()) == (3 if apart else 0)
        assert ear.outbox.count() == 3
        ear.settle()
        assert len(ear.taken()) == 3
        assert shop.batch_orders() == 3


def test_two_daemons_take_each_order_once(ear: ListenHarness) -> None:
    """None is lost between them, none counted twice."""
    with closing(ListenHarness(ear.shop)) as other, ThreadPoolExecutor() as pool:
        stop = threading.Event()

        def follow(each: ListenHarness) -> int:
            orders = 0
            while not stop.is_set():
                orders += each.listen.step(0.01).orders
            return orders

        follows = [pool.submit(follow, each) for each in (ear, other)]
        for _ in range(100):
            ear.shop.confirm(3)
        with closing(Database(ear.shop.owner)) as owner:
            waiting = Outbox(owner, owner, "shop")
            wait_until(lambda: not waiting.count())
        stop.set()
        assert sum(each.result() for each in follows) == 300
    assert len(ear.taken()) == 300
    assert ear.shop.batch_orders() == 300


def test_a_row_that_took_anothers_place_is_not_discarded(ear: ListenHarness) -> None:
    """Places are used again; who wrote the row tells."""
    ear.shop.confirm(1)
    (read,) = ear.outbox.read(10)
    ear.shop.sql("DELETE FROM syncd.outbox")
    ear.shop.sql("VACUUM syncd.outbox")
    ear.shop.confirm(1)
    (later,) = ear.outbox.read(10)
    assert later.place == read.place
    assert ear.outbox.discard([read]) == 0
    assert ear.outbox.discard([later]) == 1


def test_two_feeds_over_one_table_take_their_own(ear: ListenHarness) -> None:
    """The other's rows stay for the other."""
    ear.shop.listen("orders:id", feed="second")
    ear.shop.confirm(4)
    ear.settle()
    with closing(Database(ear.shop.dsn)) as database:
        assert len(Outbox(database, database, "second").read(10)) == 4


def test_rows_are_deleted_although_all_tables_are_published(ear: ListenHarness) -> None:
    """A publication of deletes needs to know which row; the outbox has no key."""
    ear.shop.sql("CREATE PUBLICATION everything FOR ALL TABLES")
    ear.shop.confirm(1)
    ear.settle()
    assert ear.taken() == ["1"]


# Notifications


def test_a_commit_wakes_it(hearing: ListenHarness) -> None:
    """Long before it would have looked by itself."""
    hearing.calm()
    with ThreadPoolExecutor() as pool:
        step = pool.submit(hearing.first)
        time.sleep(0.05)
        started = time.monotonic()
        hearing.shop.confirm(1)
        assert step.result().orders == 1
        assert time.monotonic() - started < SOON
    assert hearing.notes.of("listen.notifications_lost") == []


def test_the_work_is_measured_without_the_wait(hearing: ListenHarness) -> None:
    """What the line of captured orders calls its duration."""
    hearing.settle()
    began = time.monotonic()
    confirming = threading.Timer(0.5, hearing.shop.confirm)
    confirming.start()
    followed = hearing.first()
    assert 0 < followed.seconds <= time.monotonic() - began - 0.5
    confirming.join()


def test_a_commit_without_a_hint_is_found_soon_after_one_with(
    hearing: ListenHarness,
) -> None:
    """Two open transactions hold theirs back; the third order comes all the same."""
    hearing.calm()
    with (
        psycopg.connect(hearing.shop.owner) as first,
        psycopg.connect(hearing.shop.owner) as second,
    ):
        for till in (first, second):
            till.execute(ORDER.format("now()").encode())
        hearing.shop.confirm(1)
        assert hearing.take(1) < listen.INSPECTION_SECONDS + SOON


def test_rows_that_nobody_hinted_at_are_found_by_the_inspection(
    ear: ListenHarness,
) -> None:
    """However far away the next look is by then."""
    ear.settle()
    ear.shop.confirm(1)
    ear.put_off_next_look()
    assert ear.listen.step(0).orders == 0
    ear.clock.advance(listen.INSPECTION_SECONDS)
    # once the database has had its rest after the look before
    wait_until(lambda: ear.listen.step(0).orders == 1)


def test_an_idle_ear_asks_the_database_next_to_nothing(hearing: ListenHarness) -> None:
    """In two seconds of waiting, nothing at all."""
    hearing.calm()
    before = hearing.outbox.looks
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        hearing.listen.step(0.5)
    assert hearing.outbox.looks == before


def cut(ear: ListenHarness, application: str) -> None:
    ear.shop.sql(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        f"WHERE application_name = 'syncd/shop/{application}' "
        "AND datname = current_database()"
    )


def test_a_lost_ear_is_replaced_and_looks_at_once(hearing: ListenHarness) -> None:
    """Notifications sent meanwhile are gone; their orders are not."""
    hearing.calm()
    cut(hearing, "notifications")
    hearing.shop.confirm(1)
    assert hearing.take(1) < notifications.SHUT_SECONDS + SOON
    hearing.calm()
    hearing.shop.confirm(1)
    assert hearing.take(1) < SOON


def test_a_lost_database_loses_nothing(hearing: ListenHarness) -> None:
    """The step fails, the next one goes on."""
    hearing.calm()
    hearing.shop.confirm(2)
    cut(hearing, "listen")
    with pytest.raises(DatabaseUnavailableError):
        wait_until(lambda: hearing.listen.step(0.1).orders)
    hearing.settle()
    assert hearing.taken() == ["1", "2"]


def test_behind_a_transaction_pooler_it_says_so_once_and_goes_on(
    notifying_shop: Shop,
) -> None:
    """The probe is not heard; the outbox is looked at every poll_interval."""
    soon = {"inspection_seconds": 0.3, "answer_seconds": 0.1}
    notifying_shop.listen("orders:id")
    with (
        closing(Pooler(notifying_shop.dsn)) as pooler,
        closing(ListenHarness(notifying_shop, hear=pooler.dsn, **soon)) as ear,
    ):
        ear.until(lambda: ear.notes.of("listen.notifications_lost"))
        for _ in range(4):
            notifying_shop.confirm(1)
            assert ear.take(1) < SOON
        (said,) = ear.notes.of("listen.notifications_lost")
        assert "pooler" in str(said["reason"])


def test_without_listen_at_all_it_says_so_once_and_goes_on(
    notifying_shop: Shop,
) -> None:
    """No connection to be had for the ear."""
    notifying_shop.listen("orders:id")
    nowhere = make_conninfo(notifying_shop.dsn, host="/nowhere")
    with closing(ListenHarness(notifying_shop, hear=nowhere, shut_seconds=0.05)) as ear:
        ear.until(lambda: ear.notes.of("listen.notifications_lost"))
        notifying_shop.confirm(2)
        assert ear.take(2) < SOON
        assert len(ear.notes.of("listen.notifications_lost")) == 1


def test_where_transactions_may_be_prepared_it_looks_often(ear: ListenHarness) -> None:
    """No hint can come there; that is said once."""
    for _ in range(30):
        ear.listen.step(0.05)
    ear.until(lambda: ear.next_look_seconds() <= 0.1)
    for _ in range(3):
        ear.shop.confirm(1)
        assert ear.take(1) < SOON
    (said,) = ear.notes.of("listen.notifications_lost")
    assert "max_prepared_transactions" in str(said["reason"])


# Faults are seen


def test_faults_are_told_with_their_number(ear: ListenHarness) -> None:
    """Also those from before the start; then each rise."""
    ear.shop.sql("ALTER TABLE syncd.outbox ADD CHECK (order_key = '') NOT VALID")
    ear.shop.confirm(1)
    ear.shop.confirm(1)
    for orders in (0, 0, 1):
        if orders:
            ear.shop.confirm(orders)
        ear.clock.advance(listen.INSPECTION_SECONDS)
        ear.listen.step(0)
    assert ear.notes.of("outbox.failed") == [
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
def test_orders_that_no_trigger_noted_are_found_by_the_poll_which_says_so(
    notifying_shop: Shop, break_it: str
) -> None:
    """Two captures over one ledger: the second notices that the first is gone."""
    notifying_shop.listen("orders:id")
    with (
        closing(ListenHarness(notifying_shop)) as ear,
        closing(Database(notifying_shop.dsn)) as database,
    ):
        polled = Connections(database, database)
        source = Source(database, *NAMES)
        poll = PollCapture(
            Transactions(database),
            source,
            Ledger(polled.ledger, ear.feed.feed_id),
            lookback=timedelta(seconds=5),
            size=100,
        )
        reactions = ErrorPolicy(ear.notes)
        watching = CaptureLoop(
            poll, ear.listen, WakeUp(), reactions, ear.notes, patience_seconds=0.3
        )
        threads = watching.start()
        try:
            notifying_shop.confirm(2)
            wait_until(lambda: len(ear.taken()) == 2)
            time.sleep(0.4)
            watching.poll()
            assert ear.notes.of("capture.missed_changes") == []
            ear.put_off_next_look()  # or what is faulty may be met before the poll
            notifying_shop.sql(break_it)
            notifying_shop.confirm(2)
            watching.poll()
            time.sleep(0.4)
            watching.poll()
            (doubted,) = ear.notes.of("capture.missed_changes")
            assert doubted == {"capture": "listen", "orders": 2, "order_key": "3"}
        finally:
            reactions.stopping.set()
            for thread in threads:
                thread.join()
    assert notifying_shop.captured("poll") == 2


def test_an_order_that_the_poll_took_first_is_no_doubt(hearing: ListenHarness) -> None:
    """It was heard of, only later."""
    shop = hearing.shop
    with closing(Database(shop.dsn)) as database:
        poll = PollCapture(
            Transactions(database),
            Source(database, *NAMES),
            Ledger(database, hearing.feed.feed_id),
            lookback=timedelta(seconds=5),
            size=100,
        )
        reactions = ErrorPolicy(hearing.notes)
        watching = CaptureLoop(
            poll,
            hearing.listen,
            WakeUp(),
            reactions,
            hearing.notes,
            patience_seconds=0.2,
        )
        watching.step(hearing.listen, 0.0)
        time.sleep(0.3)
        shop.confirm(1)
        watching.poll()

        def is_emptied() -> bool:
            watching.step(hearing.listen, 0.1)
            return not hearing.outbox.count()

        wait_until(is_emptied)
        time.sleep(0.3)
        watching.poll()
    assert shop.row_of("ledger").capture == "poll"
    assert hearing.notes.of("capture.missed_changes") == []


# The daemon


def test_the_daemon_sends_what_it_heard_of(
    notifying_shop: Shop, tmp_path: Path
) -> None:
    """Long before the poll, which goes on underneath, would look again."""
    notifying_shop.listen("orders:id")
    with Sandbox() as sandbox:
        config = notifying_shop.configure(
            tmp_path, sandbox.endpoint, {"capture": "listen"}
        )
        daemon = notifying_shop.start(config)
        log = config.with_suffix(".log")
        wait_until(lambda: "daemon.started" in log.read_text())
        notifying_shop.confirm(1)
        wait_until(lambda: sandbox.book.totals.orderids == 1)
        time.sleep(1)  # the first poll is over, the next one is half a minute away
        orders = notifying_shop.confirm(50)
        wait_until(lambda: sandbox.book.totals.orderids == 51, 5)
        daemon.terminate()
        assert daemon.wait(60) == 0
        assert {sandbox.book.posts(order) for order in orders} == {1}
    text = log.read_text()
    assert "listen.notifications_lost" not in text
    assert "capture.missed_changes" not in text
    assert notifying_shop.captured("listen") >= 50


def test_one_pass_takes_what_is_in_the_outbox(
    notifying_shop: Shop, tmp_path: Path
) -> None:
    """`syncd run --once` too, also orders that the poll's window does not reach."""
    notifying_shop.listen("orders:id")
    with Sandbox() as sandbox:
        config = notifying_shop.configure(
            tmp_path, sandbox.endpoint, {"capture": "listen"}
        )
        assert notifying_shop.start(config, "--once").wait(60) == 0
        notifying_shop.confirm(3)
        assert notifying_shop.start(config, "--once").wait(60) == 0
        assert sandbox.book.totals.orderids == 3
    assert notifying_shop.in_outbox() == 0
    assert notifying_shop.captured("listen") == 3
