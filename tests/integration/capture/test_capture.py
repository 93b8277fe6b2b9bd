from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, Literal

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.feed_harness import ago
from support.poll_harness import INSERT, LOOKBACK, ConcurrentWriters, PollHarness
from support.postgres import Cluster, wait_until
from support.shop import Shop
from typing_extensions import override

from syncd.capture.poll import PollCapture
from syncd.capture.tuning import PollTuning
from syncd.core.errors import DatabaseUnavailableError
from syncd.core.window import Vxid, Window, Xid
from syncd.ledger.batches import Ledger
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement, compose
from syncd.source.orders import OrderQuery, Source

pytestmark = pytest.mark.db


@pytest.fixture
def writers(shop: Shop) -> Iterator[ConcurrentWriters]:
    opened = ConcurrentWriters(shop)
    yield opened
    opened.close()


@pytest.fixture
def capture(shop: Shop) -> Iterator[PollHarness]:
    started = PollHarness(shop)
    yield started
    started.database.close()


def pass_time(capture: PollHarness) -> None:
    """Advance the order database's clock by more than the lookback."""
    start = capture.source.clock()
    wait_until(lambda: capture.source.clock() > start + 2 * LOOKBACK)


# Known bugs: the same interleavings find each of them


@dataclass
class NaiveCursor:
    """The usual cursor: it captures what lies past the last row that it saw."""

    shop: Shop
    columns: str
    seen: set[object] = field(default_factory=set)
    last: tuple[object, ...] = ()

    def poll(self) -> None:
        rows = self.shop.rows(
            f"SELECT {self.columns}, id FROM orders WHERE confirmed_at IS NOT NULL"
        )
        fresh = [row for row in rows if row[:-1] > self.last]
        self.seen |= {row[-1] for row in fresh}
        self.last = max([self.last, *(row[:-1] for row in fresh)])

    def lost(self) -> set[object]:
        self.poll()
        return {row[0] for row in self.shop.rows("SELECT id FROM orders")} - self.seen


class NoGracePeriod(PollCapture):
    """Closes windows without waiting for any transaction."""

    @override
    def _advance(self, now: datetime, running: frozenset[Vxid]) -> None:
        super()._advance(now, running & frozenset())


class SimultaneousRead(PollCapture):
    """Reads prepared and running transactions at the same moment."""

    @override
    def _advance(self, now: datetime, running: frozenset[Vxid]) -> None:
        prepared: frozenset[Xid] = self._transactions.prepared()
        if self._window is None:
            self._window = Window(now - self._lookback, running, prepared)
        else:
            still = (self._window.prepared or frozenset()) & prepared
            self._window = Window(
                self._window.upper, self._window.running & running, still
            )


@pytest.mark.parametrize("columns", ["id", "confirmed_at, id"])
def test_a_naive_cursor_loses_an_order_that_commits_late(
    shop: Shop, writers: ConcurrentWriters, columns: str
) -> None:
    """Both usual kinds of cursor lose an order in this interleaving."""
    cursor = NaiveCursor(shop, columns)
    late = writers.begin()
    shop.confirm()
    cursor.poll()
    late.commit()
    assert len(cursor.lost()) == 1


def poll_repeatedly(capture: PollHarness, polls: int = 8) -> None:
    """Poll while the clock moves on, often enough to close an open window."""
    for _ in range(polls):
        pass_time(capture)
        capture.poll()


def commit_late(capture: PollHarness, writers: ConcurrentWriters) -> None:
    """Confirm an order that becomes visible after many later ones."""
    late = writers.begin()
    capture.shop.confirm()
    poll_repeatedly(capture)
    late.commit()


def prepare_during_grace_period(
    capture: PollHarness, writers: ConcurrentWriters
) -> None:
    """Prepare a transaction while a window waits for it."""
    late = writers.begin()
    pass_time(capture)
    poll_repeatedly(capture, 2)
    writers.prepare(late, "late")
    poll_repeatedly(capture)
    writers.finish("late")


def close(started: PollHarness) -> None:
    started.close_window()
    started.database.close()


@pytest.mark.parametrize(
    ("kind", "script"),
    [(NoGracePeriod, commit_late), (SimultaneousRead, prepare_during_grace_period)],
)
def test_a_poll_without_the_whole_grace_period_loses_orders(
    shop: Shop,
    writers: ConcurrentWriters,
    kind: type[PollCapture],
    script: Callable[[PollHarness, ConcurrentWriters], None],
) -> None:
    """Without one step of the grace period an order is lost, and `missed` finds it."""
    capture = PollHarness(shop, kind=kind)
    script(capture, writers)
    close(capture)
    assert len(capture.missed()) == 1


@pytest.mark.parametrize("script", [commit_late, prepare_during_grace_period])
def test_the_poll_loses_nothing_in_the_same_interleavings(
    capture: PollHarness,
    writers: ConcurrentWriters,
    script: Callable[[PollHarness, ConcurrentWriters], None],
) -> None:
    """The real poll captures what the incomplete variants lose."""
    script(capture, writers)
    capture.close_window()
    assert capture.missed() == []
    assert capture.admitted() == capture.confirmed()


# The watermark


def test_the_watermark_waits_for_the_oldest_open_transaction(
    capture: PollHarness, writers: ConcurrentWriters
) -> None:
    """Other orders are captured at once while the watermark stays below its stamp."""
    late = writers.begin()
    stamp = capture.source.clock()
    capture.shop.confirm(3)
    poll_repeatedly(capture)
    assert capture.admitted() == 3
    assert capture.ledger.watermark() < stamp
    late.commit()
    assert capture.poll() == 1


def test_the_watermark_waits_for_a_prepared_transaction(
    capture: PollHarness, writers: ConcurrentWriters
) -> None:
    """A window also waits for a transaction that was prepared before it opened."""
    writers.prepare(writers.begin(), "early")
    stamp = capture.source.clock()
    poll_repeatedly(capture)
    assert capture.ledger.watermark() < stamp
    writers.finish("early")
    capture.close_window()
    assert capture.admitted() == 1


@pytest.mark.parametrize("how", ["COMMIT", "ROLLBACK"])
def test_the_watermark_moves_on_when_a_transaction_ends(
    capture: PollHarness, writers: ConcurrentWriters, how: str
) -> None:
    """It moves whether the transaction added its order or was rolled back."""
    writers.begin().execute(how.encode())
    writers.prepare(writers.begin(), "both")
    writers.finish("both", how)
    capture.close_window()
    assert capture.admitted() == (2 if how == "COMMIT" else 0)


def test_only_orders_kept_by_a_savepoint_are_captured(
    capture: PollHarness, writers: ConcurrentWriters
) -> None:
    """An order rolled back to a savepoint is not captured; later ones are."""
    session = writers.begin(savepoint="before")
    poll_repeatedly(capture, 3)
    session.execute("ROLLBACK TO SAVEPOINT before")
    session.execute(INSERT.format("now()").encode())
    poll_repeatedly(capture, 3)
    session.commit()
    capture.close_window()
    assert capture.admitted() == 1
    assert capture.missed() == []


def test_other_databases_do_not_hold_the_watermark(
    capture: PollHarness, server: Cluster
) -> None:
    """A transaction in another database cannot add an order to this one."""
    with psycopg.connect(server.dsn()) as other:
        other.execute("SELECT 1")
        capture.close_window()


def test_a_future_stamp_does_not_move_the_watermark_into_the_future(
    capture: PollHarness,
) -> None:
    """An order dated tomorrow is captured at once; later orders of today, too."""
    capture.shop.sql(INSERT.format("now() + interval '1 day'"))
    assert capture.poll() == 1
    assert capture.close_window() <= capture.source.clock()
    capture.shop.confirm()
    assert capture.poll() == 1


def test_orders_with_equal_stamps_are_captured_once(
    capture: PollHarness, writers: ConcurrentWriters
) -> None:
    """Thousands of equal stamps, in two transactions, are all captured once."""
    many = "INSERT INTO orders (confirmed_at) SELECT {} FROM generate_series(1, 3000)"
    stamp = capture.source.clock().isoformat()
    late = writers.begin(f"'{stamp}'")
    late.execute(many.format(f"'{stamp}'").encode())
    capture.shop.sql(many.format(f"'{stamp}'::timestamptz"))
    poll_repeatedly(capture)
    assert capture.admitted() == 3000
    late.commit()
    capture.close_window()
    assert capture.admitted() == 6001
    assert capture.missed() == []


STAMPS = ["clock_timestamp()", "now()", "now() - interval '4 ms'"]


@dataclass(frozen=True)
class TransactionPlan:
    """A transaction, by the polls before which it begins, is prepared and ends."""

    stamp: str
    begins: int
    runs: int
    waits: int | None  # prepared for so many polls; None: never prepared
    how: str


PLANS = st.builds(
    TransactionPlan,
    st.sampled_from(STAMPS),
    st.integers(0, 3),
    st.integers(0, 3),
    st.none() | st.integers(0, 3),
    st.sampled_from(["COMMIT", "COMMIT", "ROLLBACK"]),
)


def run_plans(
    capture: PollHarness, writers: ConcurrentWriters, plans: list[TransactionPlan]
) -> None:
    """Run transactions concurrently, with a poll after each group of events."""
    sessions: dict[int, psycopg.Connection] = {}
    for now in range(10):
        for number, plan in enumerate(plans):
            ends = plan.begins + plan.runs
            if now == plan.begins:
                sessions[number] = writers.begin(plan.stamp)
            if now == ends and plan.waits is None:
                sessions[number].execute(plan.how.encode())
            if now == ends and plan.waits is not None:
                writers.prepare(sessions[number], f"life{number}")
            if plan.waits is not None and now == ends + plan.waits:
                writers.finish(f"life{number}", plan.how)
        assert capture.missed() == []
        pass_time(capture)
        capture.poll()
        assert capture.missed() == []


@settings(
    max_examples=10,
    phases=[Phase.generate],  # shrinking would take minutes
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(PLANS, min_size=1, max_size=4), st.sampled_from([1, 2, 10_000]))
def test_the_watermark_never_passes_an_order_that_is_not_in_the_ledger(
    shop: Shop, plans: list[TransactionPlan], page: int
) -> None:
    """Under any interleaving, every order at or below the watermark is in the ledger.

    The last scan may take any number of pages, each with a snapshot of its own.
    """
    shop.sql("TRUNCATE orders")
    shop.delete("feed")
    shop.delete("ledger")
    capture, writers = (
        PollHarness(shop, tuning=PollTuning(page=page)),
        ConcurrentWriters(shop),
    )
    try:
        run_plans(capture, writers, plans)
        close(capture)
    finally:
        writers.close()
    assert capture.missed() == []
    assert capture.admitted() == capture.confirmed()


# Which orders


def test_an_order_with_two_history_rows_is_captured_once(capture: PollHarness) -> None:
    """The view may list an order twice; its first confirmation counts."""
    capture.shop.sql(
        "CREATE OR REPLACE VIEW syncd.confirmed_orders AS "
        "SELECT id AS order_key, confirmed_at FROM orders UNION ALL "
        "SELECT id, confirmed_at + interval '1 ms' FROM orders"
    )
    capture.shop.confirm(5)
    capture.close_window()
    assert capture.admitted() == 5
    listed = capture.shop.rows("SELECT id::text, confirmed_at FROM orders ORDER BY id")
    taken = capture.shop.rows_of("ledger")
    assert [(order.order_key, order.confirmed_at) for order in taken] == listed


def test_an_order_is_captured_when_an_update_confirms_it(capture: PollHarness) -> None:
    """Before that update the order is not captured."""
    capture.shop.sql(INSERT.format("NULL"))
    capture.close_window()
    assert capture.admitted() == 0
    capture.shop.sql("UPDATE orders SET confirmed_at = now()")
    assert capture.poll() == 1


def test_orders_visible_at_the_first_start_are_not_sent(
    shop: Shop, writers: ConcurrentWriters
) -> None:
    """Orders that become visible after the start are."""
    late = writers.begin("now() - interval '30 s'")
    shop.sql(INSERT.format("now() - interval '1 hour'"))
    shop.confirm(4)
    capture = PollHarness(shop, lookback=timedelta(minutes=1))
    capture.poll()
    late.commit()
    shop.confirm(2)
    capture.clock.advance(PollTuning().whole_seconds)
    capture.poll()
    capture.database.close()
    assert {batch.state for batch in shop.rows_of("batch")} == {"pending"}
    assert shop.batch_orders() == 3


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("confirmed_at AT TIME ZONE 'America/New_York'", "o.confirmed_at"),
        (
            "(confirmed_at AT TIME ZONE 'America/New_York')::date",
            "date_trunc('day', o.confirmed_at, 'America/New_York')",
        ),
    ],
    ids=["timestamp", "date"],
)
def test_times_without_a_zone_are_read_in_the_configured_zone(
    shop: Shop, column: str, expected: str
) -> None:
    """A shop's local times become the instants that they denote."""
    shop.sql("DROP VIEW syncd.confirmed_orders")
    view = "CREATE VIEW syncd.confirmed_orders AS SELECT id AS order_key"
    shop.sql(f"{view}, {column} AS confirmed_at FROM orders")
    shop.sql(f"GRANT SELECT ON syncd.confirmed_orders TO {shop.role}")
    capture = PollHarness(
        shop, lookback=timedelta(days=2), time_zone="America/New_York"
    )
    shop.confirm(3)
    assert capture.poll() == 3
    capture.database.close()
    meant = shop.rows(f"SELECT id::text, {expected} FROM orders AS o ORDER BY id")
    taken = shop.rows_of("ledger")
    assert [(order.order_key, order.confirmed_at) for order in taken] == meant


# Concurrent instances


def test_concurrent_polls_capture_an_order_once(
    shop: Shop, writers: ConcurrentWriters
) -> None:
    """Two daemons share a ledger: each order is in one batch, and counted once."""
    captures = [PollHarness(shop), PollHarness(shop)]
    late = writers.begin()

    def poll_often(capture: PollHarness) -> int:
        return sum(capture.poll() for _ in range(60))

    with ThreadPoolExecutor() as pool:
        polls = [pool.submit(poll_often, capture) for capture in captures]
        for _ in range(60):
            shop.confirm(2)
        late.commit()
        taken = sum(future.result() for future in polls)
    taken += captures[0].poll() + captures[1].poll()
    for capture in captures:
        capture.close_window()
        capture.database.close()
    assert taken == captures[0].admitted() == 121
    assert shop.batch_orders() == 121


def terminate(shop: Shop) -> None:
    shop.sql(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name LIKE 'syncd/%'"
    )


def test_a_broken_connection_restarts_the_grace_period(
    capture: PollHarness, writers: ConcurrentWriters
) -> None:
    """After an outage the poll knows no transaction, and waits for all that run."""
    late = writers.begin()
    poll_repeatedly(capture, 2)
    terminate(capture.shop)
    with pytest.raises(DatabaseUnavailableError):
        capture.poll()
    poll_repeatedly(capture, 3)
    late.commit()
    capture.close_window()
    assert capture.missed() == []
    assert capture.admitted() == 1


def test_an_interrupted_admission_writes_nothing(capture: PollHarness) -> None:
    """Orders and watermark are written together or not at all."""
    capture.shop.confirm(3)
    before = capture.ledger.watermark()

    def admit_and_break() -> None:
        with capture.ledger.admission() as watermark:
            found = capture.source.between(watermark, "infinity")
            assert capture.ledger.admit(found, "poll", size=10).orders == 3
            capture.ledger.move_watermark(capture.source.clock())
            terminate(capture.shop)

    with pytest.raises(DatabaseUnavailableError):
        admit_and_break()
    assert capture.admitted() == 0
    assert capture.ledger.watermark() == before
    assert capture.poll() == 3


GATE = """
CREATE FUNCTION gate() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
    IF current_setting('application_name') = 'slow' THEN
        PERFORM pg_advisory_lock(77);
        PERFORM pg_advisory_unlock(77);
    END IF;
    RETURN true;
END $$;
ALTER TABLE syncd.batch ENABLE ROW LEVEL SECURITY;
CREATE POLICY gate ON syncd.batch USING (gate());
"""


@pytest.mark.parametrize("reads", [False, True], ids=["alone", "with rows"])
def test_a_batch_extended_during_its_claim_is_claimed_whole(
    capture: PollHarness, *, reads: bool
) -> None:
    """An order added between the claim's snapshot and its lock is sent as well.

    Its row is missing from the claim, which must not be taken for a deleted order.
    """
    shop = capture.shop
    reading = capture.source.reading_claimed() if reads else None
    shop.confirm()
    capture.poll()
    instance = shop.insert("instance", feed_id=1, host="here", pid=1)
    shop.sql(GATE)
    slow = Database(shop.dsn, application_name="slow")
    ledger = Ledger(slow, capture.ledger.feed_id)
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'"
    with ThreadPoolExecutor() as pool, psycopg.connect(shop.owner) as holder:
        holder.execute("SELECT pg_advisory_lock(77)")
        lease = timedelta(seconds=30)
        claiming = pool.submit(
            ledger.claim, instance.instance_id, "live", lease, reading
        )
        wait_until(lambda: shop.value(waits) == 1)
        shop.confirm()
        assert capture.poll() == 1
        holder.execute("SELECT pg_advisory_unlock(77)")
        claim = claiming.result()
    slow.close()
    assert claim is not None
    assert len(claim.orders) == max(batch.orders for batch in shop.rows_of("batch"))
    assert claim.rows is None


# Many orders


def nodes(plan: object) -> list[tuple[str, str]]:
    """Return node types with the relations that they read."""
    if isinstance(plan, list):
        return [node for part in plan for node in nodes(part)]
    if not isinstance(plan, dict):
        return []
    here = (str(plan.get("Node Type")), str(plan.get("Relation Name")))
    return [here, *(node for part in plan.values() for node in nodes(part))]


def test_an_import_is_split_into_batches_in_order_of_confirmation(shop: Shop) -> None:
    """20,000 orders at once fill batches, and the next poll stays cheap.

    The newest orders are admitted first, then the older ones in order.
    """
    capture = PollHarness(shop, lookback=timedelta(hours=1))
    shop.sql(
        "INSERT INTO orders (confirmed_at) SELECT clock_timestamp() "
        "- random() * interval '59 min' FROM generate_series(1, 20000)"
    )
    assert capture.poll_all() == 20_000
    assert [batch.orders for batch in shop.rows_of("batch")] == [100] * 200
    assert shop.counts_agree()
    stamps = defaultdict[int, list[datetime]](list)
    for order in shop.rows_of("ledger"):
        stamps[order.batch_id].append(order.confirmed_at)
    times = [time for _, of in sorted(stamps.items()) for time in (min(of), max(of))]
    few = PollTuning().page // 50
    newest, older = times[:few], times[few:]
    assert [*older, *newest] == sorted(times)
    found = capture.source.between(
        capture.source.clock() - timedelta(seconds=5), "infinity", to_admit=True
    )
    explained = capture.database.value(
        object,
        Statement(b"EXPLAIN (FORMAT JSON) " + compose("admit", **found.braces).text),
        feed=capture.ledger.feed_id,
        size=100,
        lane="live",
        state="pending",
        backfill=None,
        capture="poll",
        named=100,
        **found.params,
    )
    capture.database.close()
    scanned = {table for kind, table in nodes(explained) if kind == "Seq Scan"}
    assert not scanned & {"orders", "ledger"}, scanned


class LowerBoundRecorder(Source):
    """Records the lower bound of each read."""

    lowers: ClassVar[list[datetime]] = []

    @override
    def between(
        self,
        lower: datetime,
        upper: datetime | Literal["infinity"],
        *,
        to_admit: bool = False,
    ) -> OrderQuery:
        self.lowers.append(lower)
        return super().between(lower, upper, to_admit=to_admit)


@pytest.mark.parametrize("deep_seconds", [0.0, 30.0])
def test_a_window_held_open_for_hours_is_not_read_repeatedly(
    shop: Shop, writers: ConcurrentWriters, deep_seconds: float
) -> None:
    """Deep polls do not read it again either, beyond the lookback."""
    capture = PollHarness(
        shop,
        lookback=timedelta(minutes=5),
        source=LowerBoundRecorder,
        tuning=PollTuning(deep_seconds=deep_seconds),
    )
    writers.begin()
    shop.set_watermark(ago(hours=3))
    shop.sql(
        "INSERT INTO orders (confirmed_at) SELECT now() - interval '6 min' "
        "- n * interval '100 ms' FROM generate_series(1, 30000) AS n"
    )
    assert capture.poll_all() == 30_000
    LowerBoundRecorder.lowers.clear()
    shop.confirm(3)
    assert sum(capture.poll() for _ in range(20)) == 3
    lower = min(LowerBoundRecorder.lowers).isoformat()
    read = shop.value(f"SELECT count(*) FROM orders WHERE confirmed_at > '{lower}'")
    assert read == 3
    capture.database.close()


def test_a_stamp_as_old_as_the_lookback_is_captured_by_a_deep_poll(
    shop: Shop, writers: ConcurrentWriters
) -> None:
    """While a transaction holds the window open, an ordinary poll starts later."""
    capture = PollHarness(shop, lookback=timedelta(minutes=5))
    writers.begin()
    capture.poll()
    late = writers.begin("now() - interval '4 min'")
    capture.poll()
    late.commit()
    assert sum(capture.poll() for _ in range(5)) == 0
    capture.clock.advance(PollTuning().deep_seconds)
    assert capture.poll() == 1
    capture.database.close()
