"""Every confirmed order is accounted for once, and missing orders are captured."""

import io
import json
import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest
from support.feed_harness import Begin, FeedHarness, ago
from support.ledger_rows import delivered_batch
from support.postgres import Cluster
from support.shop import Shop
from typing_extensions import override

from syncd.capture.reconciliation import Reconciliation
from syncd.capture.reconciliation_run import (
    ALL,
    HOURS,
    PROMOTION,
    ReconciliationRun,
    Scope,
)
from syncd.core.errors import SlowViewError
from syncd.core.tally import ReconciliationTally
from syncd.daemon.jobs import ReconciliationJob
from syncd.daemon.wakeup import WakeUp
from syncd.ledger.stats import read_stats
from syncd.log import log
from syncd.postgres.statements import Statement, compose, query
from syncd.source.orders import OrderQuery, Source
from syncd.source.position import Position, Stretch

pytestmark = pytest.mark.db


INSERT = "INSERT INTO orders (confirmed_at) SELECT {} FROM generate_series(1, {})"


@pytest.fixture
def begin_past(begin: Begin) -> Begin:
    """Returns a function that makes feeds that began ten days ago."""

    def make(**options: Any) -> FeedHarness:  # noqa: ANN401  # those of Started
        started = begin(**options)
        started.backdate("10 days")
        return started

    return make


def confirm(feed: FeedHarness, stamp: str, orders: int = 1) -> None:
    feed.shop.sql(INSERT.format(stamp, orders))


def capture(feed: FeedHarness) -> None:
    """Poll everything from the floor on."""
    feed.shop.set_watermark(ago(days=10))
    feed.poll(whole=True)
    feed.shop.set_watermark(ago())


def test_every_order_is_counted_by_its_state(feed: FeedHarness) -> None:
    """The counts of the states add up to the confirmed orders."""
    confirm(feed, "now() - interval '3 hours'", 800)
    capture(feed)
    claimed = {"lease_until": ago(), "instance_id": 1, "claim_token": UUID(int=1)}
    states: list[dict[str, object]] = [
        {"state": "delivered", "settled_at": ago(), "is_pruned": True},
        {"state": "sending", **claimed},
        {"state": "adopted", "settled_at": ago()},
        {"state": "held"},
    ]
    first, *batches = feed.shop.rows_of("batch")
    for batch, state in zip(batches, states, strict=False):
        feed.shop.update("batch", state, batch_id=batch.batch_id)
    orders = feed.shop.rows_of("ledger", batch_id=first.batch_id)
    for order, aside in zip(orders, ("rejected", "discarded"), strict=False):
        exception = {"state": aside, "reason": "x"}
        feed.shop.update("ledger", exception, order_key=order.order_key)
    assert feed.tally() == ReconciliationTally(
        delivered=100, pending=498, adopted=100, rejected=1, held=100, discarded=1
    )


@pytest.mark.parametrize("page", [1, 7, 1000])
def test_an_order_that_no_capture_found_is_captured_and_reported(
    begin_past: Begin, page: int
) -> None:
    """A stamp three hours old is beyond the lookback, out of reach for the poll."""
    feed = begin_past(page=page)
    confirm(feed, "now() - generate_series * interval '1 minute'", 5)
    capture(feed)
    confirm(feed, "now() - interval '3 hours'", 3)
    assert feed.poll(whole=True) == 0
    first = feed.reconcile()
    again = feed.reconcile()
    assert first.account == ReconciliationTally(pending=5, missing=3, captured=3)
    assert "8 confirmed, 0 delivered, 5 pending, 3 missing (3 captured now), " in (
        first.sentence
    )
    assert again.account == ReconciliationTally(pending=8)
    assert again.sentence.endswith("8 confirmed, 0 delivered, 8 pending, 0 unexplained")
    assert feed.captures() == [("poll", 5), ("reconcile", 3)]


def test_an_order_captured_meanwhile_is_not_missing(begin_past: Begin) -> None:
    """After a wait it is counted again, under the lock of admissions."""
    feed = begin_past()
    other = begin_past()

    def wait() -> bool:
        capture(other)
        return False

    reconciliation = Reconciliation(feed.source, feed.ledger, size=100, wait=wait)
    confirm(feed, "now() - interval '3 hours'", 2)
    run = reconciliation.ask(None, None)
    (page,) = reconciliation.pages(run)
    assert page.account == ReconciliationTally(pending=2)
    assert feed.captures() == [("poll", 2)]


@pytest.mark.parametrize("is_deleted", [True, False])
def test_an_order_whose_batch_is_deleted_is_unexplained(
    feed: FeedHarness, *, is_deleted: bool
) -> None:
    """It is in the ledger, but would never be sent: the sentence reports it."""
    confirm(feed, "now() - interval '3 hours'", 2)
    capture(feed)
    if is_deleted:
        feed.shop.delete("batch")
    else:
        emptied = {"orders": 0, "state": "emptied", "settled_at": ago()}
        feed.shop.update("batch", emptied)
    finished = feed.reconcile()
    assert finished.account == ReconciliationTally(missing=2)
    assert finished.sentence.endswith("2 missing, 2 unexplained")
    stats = read_stats(feed.ledger.database, feed.ledger.feed_id)
    assert stats.unexplained == 2
    assert stats.reconciled_seconds is not None


def test_a_withdrawn_order_that_is_confirmed_again_becomes_pending(
    feed: FeedHarness,
) -> None:
    """It is not missing; an order that stays unconfirmed is counted as withdrawn."""
    confirm(feed, "now() - interval '3 hours'", 5)
    capture(feed)
    withdrawn = {"state": "withdrawn", "reason": "x"}
    feed.shop.update("ledger", withdrawn, order_key=["1", "2"])
    feed.shop.update("batch", {"orders": 3})
    feed.shop.sql("UPDATE orders SET confirmed_at = NULL WHERE id = 2")
    assert feed.tally() == ReconciliationTally(pending=4, withdrawn=1)
    assert feed.tally() == ReconciliationTally(pending=4, withdrawn=1)


# Listed more than once


def history(shop: Shop, times: dict[int, list[datetime]]) -> None:
    """Create a view that lists each order at several times."""
    rows = [
        f"({order}::bigint, '{time.isoformat()}'::timestamptz)"
        for order, listed in times.items()
        for time in listed
    ]
    shop.sql(
        "CREATE OR REPLACE VIEW syncd.confirmed_orders AS "
        "SELECT order_key, confirmed_at FROM "
        f"(VALUES {', '.join(rows)}) AS v (order_key, confirmed_at)"
    )


def insert_delivered(feed: FeedHarness, order: int, time: datetime) -> None:
    """Insert a delivered order into the ledger, confirmed at a time."""
    batch = feed.shop.insert("batch", **delivered_batch(ago(), 1)).batch_id
    key = {"feed_id": 1, "order_key": str(order)}
    feed.shop.insert("ledger", **key, confirmed_at=time, batch_id=batch)


@pytest.mark.parametrize("page", [1, 2, 3, 1000])
def test_an_order_that_is_listed_twice_is_counted_once(
    shop: Shop, begin_past: Begin, page: int
) -> None:
    """The ledger may have it at a listed time, at none of them, or at another."""
    feed = begin_past(page=page)
    base = ago(days=1)
    t = [base + timedelta(minutes=n) for n in range(9)]
    listed = {
        1: [t[0], t[4]],  # ledger: the first
        2: [t[1], t[5]],  # ledger: the second
        3: [t[2], t[6]],  # ledger: between, where it is no longer listed
        4: [t[7]],  # ledger: earlier; stamped anew
        5: [t[3]],  # ledger: later
        6: [t[1], t[8]],  # ledger: weeks before, so that it is another order
        7: [t[0], t[3], t[8]],  # missing
    }
    history(shop, listed)
    entered = {1: t[0], 2: t[5], 3: t[4], 4: t[0], 5: t[6], 6: ago(days=20)}
    for order, time in entered.items():
        insert_delivered(feed, order, time)
    first, again = feed.tally(), feed.tally()
    assert first == ReconciliationTally(delivered=5, reused=1, missing=1, captured=1)
    assert again == ReconciliationTally(delivered=5, reused=1, pending=1)


def test_an_initial_order_that_is_listed_twice_is_counted_once(
    shop: Shop, begin_past: Begin
) -> None:
    """The ledger has no time by which it would belong to one page."""
    base = ago(days=1)
    t = [base + timedelta(minutes=n) for n in range(9)]
    history(shop, {1: [t[0], t[4]], 2: [t[2]], 3: [t[1], t[2], t[8]]})
    for page in (1, 2, 3, 1000):
        feed = begin_past(page=page)
        assert feed.tally() == ReconciliationTally(initial=3)


# All that the view lists


def test_initial_orders_are_counted_separately_whatever_their_time(shop: Shop) -> None:
    """An order that appeared after the start is missing, whatever its stamp."""
    shop.sql(INSERT.format("now() - generate_series * interval '9 days'", 10))
    with closing(FeedHarness(shop, page=3)) as feed:
        capture(feed)
        for days in (50, 30, 3):
            confirm(feed, f"now() - interval '{days} days'")
        finished = feed.reconcile()
        assert finished.account == ReconciliationTally(
            initial=10, missing=3, captured=3
        )
        assert "13 confirmed, 0 delivered, 10 from before the start, " in (
            finished.sentence
        )
        assert feed.tally() == ReconciliationTally(initial=10, pending=3)


def test_an_order_above_the_watermark_is_not_missing(feed: FeedHarness) -> None:
    """The poll will find it; one that was delivered counts as delivered."""
    feed.backdate("10 days", "1 hour")
    confirm(feed, "now() - interval '2 minutes'")
    feed.poll(whole=True)
    confirm(feed, "now() - interval '1 minute'")
    finished = feed.reconcile()
    assert finished.account == ReconciliationTally(pending=1, arriving=1)
    assert "1 yet to be captured, 0 unexplained" in finished.sentence


def test_a_range_without_orders_is_accounted_for(feed: FeedHarness) -> None:
    """The sentence says that there were none; also in a shop without any order."""
    for bounds in ((None, None), (ago(days=40), ago(days=30)), (None, ago(days=9))):
        assert feed.reconcile(*bounds).account == ReconciliationTally()
    confirm(feed, "now()")
    assert feed.reconcile(None, ago(days=9)).account == ReconciliationTally()


@pytest.mark.parametrize("hours", [1, 2, 5, 10, 15])
def test_orders_with_shifted_stamps_are_found_by_the_hourly_reconciliation(
    feed: FeedHarness, hours: int
) -> None:
    """Nothing stays unexplained, and repeated findings make the feed degraded."""
    for number in range(3):
        confirm(feed, f"now() - interval '{hours} hours'", 2)
        lines = run_due(feed)
        assert scopes(lines, "orders.missed") == ["hours"]
        stats = read_stats(feed.ledger.database, feed.ledger.feed_id)
        assert stats.missed == (0 if number == 0 else 2 * (number + 1))
        age(feed, minutes=6)
    assert feed.captures() == [("reconcile", 6)]


NO_TIMES = (
    "CREATE OR REPLACE VIEW syncd.confirmed_orders AS "
    "SELECT id AS order_key, confirmed_at FROM orders"
)


def test_orders_without_a_usable_time_are_counted_and_named(shop: Shop) -> None:
    """Initial ones too: once they have a time, all of them are captured."""
    shop.sql(NO_TIMES + "; " + INSERT.format("NULL", 2))
    with closing(FeedHarness(shop)) as feed:
        feed.backdate("10 days")
        for stamp in ("NULL", "'infinity'", "'-infinity'", "'0044-03-15 BC'"):
            confirm(feed, stamp)
        finished = feed.reconcile()
        assert finished.account == ReconciliationTally()
        assert finished.without_time == 6
        assert finished.sentence.endswith(
            "; 6 confirmed without a usable time, and not sent"
        )
        stats = read_stats(feed.ledger.database, feed.ledger.feed_id)
        assert stats.without_time == 6
        shop.sql("UPDATE orders SET confirmed_at = now() - interval '3 hours'")
        again = feed.reconcile()
        assert (again.account, again.without_time) == (
            ReconciliationTally(missing=6, captured=6),
            0,
        )


def test_a_reconciliation_ends_when_orders_without_time_are_slow_to_find(
    begin_past: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It skips them, and the next reconciliation of the hours does not search."""
    feed = begin_past()
    confirm(feed, "now() - interval '3 hours'")
    calls: list[float] = []

    def slow(_: Source) -> OrderQuery:
        calls.append(1.1)
        sleep(1.1)
        raise SlowViewError("it is slow", "Wait.")

    monkeypatch.setattr(Source, "orders_without_time", slow)
    lines = run_due(feed)
    assert set(scopes(lines, "reconciliation.finished")) == {"hours", "days", "all"}
    age(feed, minutes=6)
    before = len(calls)
    assert scopes(run_due(feed), "reconciliation.finished") == ["hours"]
    assert len(calls) == before


def test_a_failing_reconciliation_does_not_block_deeper_ones(
    feed: FeedHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are made first, then the error is raised."""
    due = Reconciliation.due

    def failing(self: Reconciliation, scope: Scope) -> ReconciliationRun | None:
        if scope is HOURS:
            raise SlowViewError("it is slow", "Wait.")
        return due(self, scope)

    monkeypatch.setattr(Reconciliation, "due", failing)
    with pytest.raises(SlowViewError):
        run_due(feed)
    made = [row for row in feed.shop.rows_of("reconciliation") if row.finished_at]
    assert {row.scope for row in made} == {"days", "all"}


# The periodic job


def run_due(feed: FeedHarness, stopping: threading.Event | None = None) -> list[object]:
    """Run the due reconciliations once; return the log lines."""
    stream = io.StringIO()
    log.configure(style="json", stream=stream)
    stopping = stopping or threading.Event()
    ReconciliationJob(feed.reconciliation, WakeUp(), log.Log("shop"), stopping).run()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def scopes(lines: list[object], event: str) -> list[str]:
    events = cast("list[dict[str, str]]", lines)
    return [line["scope"] for line in events if line["event"] == event]


def age(feed: FeedHarness, **span: float) -> None:
    """Move every reconciliation into the past."""
    times = "started_at", "touched_at", "finished_at"
    feed.shop.shift("reconciliation", -timedelta(**span), *times)


def test_the_ledger_decides_when_a_reconciliation_is_due(feed: FeedHarness) -> None:
    """However often the daemon restarts, each scope keeps its interval."""
    finished = "reconciliation.finished"
    assert scopes(run_due(feed), finished) == ["hours", "days", "all"]
    assert scopes(run_due(feed), finished) == []
    age(feed, minutes=6)
    assert scopes(run_due(feed), finished) == ["hours"]
    age(feed, minutes=55)
    assert scopes(run_due(feed), finished) == ["hours", "days"]
    age(feed, days=7)
    assert scopes(run_due(feed), finished) == ["hours", "days", "all"]


def test_each_scope_reaches_as_far_back_as_documented(feed: FeedHarness) -> None:
    """Each scope finds its missing order, and the alarm names one."""
    for span in ("90 minutes", "5 days", "49 days"):
        confirm(feed, f"now() - interval '{span}'")
    lines = run_due(feed)
    assert scopes(lines, "orders.missed") == ["hours", "days", "all"]
    missed = [line for line in lines if '"orders.missed"' in json.dumps(line)]
    assert [cast("dict[str, str]", m)["order_key"] for m in missed] == ["1", "2", "3"]


def test_the_hourly_scope_follows_the_clock_when_it_is_behind(
    feed: FeedHarness,
) -> None:
    """A clock that was ahead for a moment has moved the watermark with it."""
    feed.shop.set_watermark(ago(days=-1095))
    confirm(feed, "now() - interval '90 minutes'")
    assert scopes(run_due(feed), "orders.missed") == ["hours"]


SLOWLY = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(0.5); RETURN new; END $$;
CREATE TRIGGER slowly BEFORE INSERT ON syncd.reconciliation
   FOR EACH ROW EXECUTE FUNCTION wait();
"""


def test_concurrent_daemons_make_a_reconciliation_once(begin_past: Begin) -> None:
    """The first daemon to claim it makes it."""
    feeds = [begin_past() for _ in range(6)]
    feeds[0].shop.sql(SLOWLY)
    with ThreadPoolExecutor(len(feeds)) as pool:
        runs = list(pool.map(lambda f: f.reconciliation.due(HOURS), feeds))
    assert len([run for run in runs if run]) == 1


def test_an_abandoned_reconciliation_is_continued_by_another_instance(
    begin_past: Begin,
) -> None:
    """It continues at the recorded position; the first instance changes nothing."""
    feed, other = begin_past(page=10), begin_past(page=10)
    confirm(feed, "now() - generate_series * interval '1 hour'", 35)
    capture(feed)
    run = feed.reconciliation.due(ALL)
    assert run
    pages = feed.reconciliation.pages(run)
    next(pages)
    assert other.reconciliation.due(ALL) is None
    feed.shop.update("reconciliation", {"touched_at": ago(minutes=3)})
    again = other.reconciliation.due(ALL)
    assert again
    assert (again.number, again.reached.at > run.reached.at) == (run.number, True)
    assert len(other.pages(again)) == 3
    assert [page.account.confirmed for page in pages] == [10]
    finished = other.reconciliation.finish(again)
    assert finished
    assert feed.reconciliation.finish(run) is None
    assert finished.account == ReconciliationTally(pending=35)


def test_a_stop_ends_a_reconciliation_between_two_pages(
    shop: Shop, begin_past: Begin
) -> None:
    """The finished pages are recorded; the rest follows after the next start."""
    stopping = threading.Event()

    class Stopping(Source):
        @override
        def stretch(self, lower: Position, upper: datetime, orders: int) -> Stretch:
            stopping.set()
            return super().stretch(lower, upper, orders)

    feed = begin_past()
    confirm(feed, "now() - generate_series * interval '1 minute'", 35)
    capture(feed)
    feed = begin_past(source=Stopping)
    reconciliation = Reconciliation(feed.source, feed.ledger, size=100, page=10)
    wake_up, lines = WakeUp(), log.Log("shop")
    job = ReconciliationJob(reconciliation, wake_up, lines, stopping)
    job.run()
    account = shop.row_of("reconciliation")
    assert (account.scope, account.confirmed) == ("hours", 10)
    assert account.finished_at is None


def test_a_stop_while_waiting_for_another_capture_raises_no_alarm(
    feed: FeedHarness,
) -> None:
    """The page is left for the next start."""
    confirm(feed, "now() - interval '1 hour'")
    reconciliation = Reconciliation(
        feed.source, feed.ledger, size=100, wait=lambda: True
    )
    run = reconciliation.due(HOURS)
    assert run
    assert list(reconciliation.pages(run)) == []
    assert reconciliation.finish(run) is None
    assert feed.captures() == []


def test_an_unreadable_view_postpones_the_reconciliation(
    feed: FeedHarness,
) -> None:
    """The failure is an error of the source, and the next run continues."""
    confirm(feed, "now() - interval '1 hour'")
    run = feed.reconciliation.due(HOURS)
    assert run
    feed.shop.sql("ALTER VIEW syncd.confirmed_orders RENAME TO away")
    with pytest.raises(Exception, match="confirmed_orders"):
        feed.pages(run)
    feed.shop.sql("ALTER VIEW syncd.away RENAME TO confirmed_orders")
    age(feed, minutes=3)
    assert scopes(run_due(feed), "reconciliation.finished") == ["hours", "days", "all"]


def test_hourly_reconciliations_without_findings_are_pruned(
    feed: FeedHarness,
) -> None:
    """With the daemon's own role, which may delete nothing else."""
    for _ in range(3):
        run_due(feed)
        age(feed, days=2)
    confirm(feed, "now() - interval '1 hour'")
    run_due(feed)
    age(feed, days=2)
    run_due(feed)
    kept = Counter(
        (row.scope, row.missing) for row in feed.shop.rows_of("reconciliation")
    )
    assert kept == {("all", 0): 2, ("days", 0): 1, ("hours", 0): 1, ("hours", 1): 1}


# The ledger elsewhere, and the database's constraints


def test_a_ledger_in_another_database_is_reconciled(
    database: str, server: Cluster
) -> None:
    """The result is the same as in one database, page by page."""
    name = f"{psycopg.conninfo.conninfo_to_dict(database)['dbname']}_state"
    server.sql(f"CREATE DATABASE {name}")
    feed = FeedHarness(Shop.open(database, state=server.dsn(name)), page=7)
    feed.backdate("10 days")
    feed.shop.sql(f"ALTER ROLE {feed.shop.role} SET DateStyle = 'German'")
    feed.close()  # so that it takes effect
    confirm(feed, "now() - generate_series * interval '1 minute'", 20)
    confirm(feed, "'0044-03-15 BC'::timestamptz")
    first, again = feed.tally(), feed.tally()
    feed.close()
    stamps = {order.confirmed_at for order in feed.shop.rows_of("ledger")}
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")
    assert first == ReconciliationTally(missing=20, captured=20)
    assert again == ReconciliationTally(pending=20)
    listed = "SELECT confirmed_at FROM orders WHERE confirmed_at > '2000-01-01'"
    assert stamps == {stamp for (stamp,) in feed.shop.rows(listed)}
    assert len(stamps) == 20


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ({"confirmed": 1}, "reconciliation_adds_up"),
        ({"captured": 1}, "reconciliation_captures_the_missing"),
        ({"finished_at": ago()}, "reconciliation_finished_has_sentence"),
        ({"finished_at": ago(), "sentence": ""}, "reconciliation_finished_is_whole"),
        ({"reached_at": ago(days=-1)}, "reconciliation_goes_forward"),
        ({"scope": "deep"}, "reconciliation_scope_known"),
    ],
)
def test_the_database_refuses_an_inconsistent_reconciliation(
    feed: FeedHarness, change: dict[str, object], constraint: str
) -> None:
    """The name of the constraint says what it guards."""
    feed.reconciliation.ask(None, None)
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        feed.shop.update("reconciliation", change)
    assert refused.value.diag.constraint_name == constraint


def test_a_page_scans_no_big_table(feed: FeedHarness) -> None:
    """A full page, with a ledger ten times its size, finds each order by its key."""
    feed.shop.sql(INSERT.format("now() - generate_series * interval '2 s'", 200_000))
    feed.shop.insert_many("batch", [delivered_batch(ago())] * 2000)
    columns = "feed_id", "order_key", "confirmed_at", "batch_id"
    orders = feed.shop.rows(
        "SELECT 1, id::text, confirmed_at, 1 + id / 100 FROM orders"
    )
    feed.shop.insert_many(
        "ledger", (dict(zip(columns, order, strict=True)) for order in orders)
    )
    chunk = {"feed_id": 1, "chunk": 0}
    feed.shop.insert_many(
        "initial_orders",
        ({**chunk, "bucket": n, "hashes": [n]} for n in range(1, 30_001)),
    )
    feed.shop.sql("ANALYZE")
    found = feed.source.between(ago(hours=11), datetime.now(UTC))
    explained = feed.ledger.database.value(
        object,
        Statement(
            b"EXPLAIN (FORMAT JSON) " + compose("account", found=found.query).text
        ),
        feed=feed.ledger.feed_id,
        **found.params,
    )
    plan = json.dumps(explained)
    scanned = set(re.findall(r'"Seq Scan".*?"Relation Name": "(\w+)"', plan))
    assert scanned <= {"watermark", "reused_key"}  # each has few rows


def test_a_promotion_is_reconciled_once_the_watermark_has_passed_it(
    feed: FeedHarness,
) -> None:
    """Once, over its day; orders lost with the old primary become uncertain."""
    assert feed.reconciliation.due(PROMOTION) is None
    feed.shop.update("feed", {"lost_from": ago(days=1), "lost_until": ago()})
    assert feed.reconciliation.due(PROMOTION) is None
    feed.shop.set_watermark(ago(seconds=-1))
    confirm(feed, "now() - interval '1 hour'")
    run = feed.reconciliation.due(PROMOTION)
    assert run
    assert [page.account.captured for page in feed.reconciliation.pages(run)] == [1]
    assert feed.reconciliation.finish(run)
    assert feed.shop.row_of("batch").uncertain_attempts == 1
    feed.shop.update("reconciliation", {"started_at": ago(days=1)})
    assert feed.reconciliation.due(PROMOTION) is None


TIED = "now() - interval '1 hour'"


def test_orders_with_equal_stamps_are_reconciled_page_by_page(
    begin_past: Begin,
) -> None:
    """No page has more orders than its size, however many stamps are equal."""
    feed = begin_past(page=10)
    confirm(feed, TIED, 43)
    confirm(feed, "now() - generate_series * interval '1 minute'", 5)
    capture(feed)
    confirm(feed, TIED, 43)
    withdrawn = {"state": "withdrawn", "reason": "x"}
    feed.shop.update("ledger", withdrawn, order_key=["1", "2", "3"])
    feed.shop.delete("reconciliation")
    feed.shop.sql("DELETE FROM orders WHERE id IN (1, 2, 3)")
    run = feed.reconciliation.ask(None, None)
    sizes = [page.account.confirmed for page in feed.pages(run)]
    assert max(sizes) <= 10 + 3  # withdrawn orders are in the ledger, not in a page
    finished = feed.reconciliation.finish(run)
    assert finished
    assert finished.account == ReconciliationTally(
        pending=45, withdrawn=3, missing=43, captured=43
    )


def test_a_reconciliation_continues_between_orders_with_equal_stamps(
    begin_past: Begin,
) -> None:
    """The key decides where to continue, so that each order counts once."""
    feed, other = begin_past(page=10), begin_past(page=10)
    confirm(feed, TIED, 35)
    capture(feed)
    run = feed.reconciliation.due(ALL)
    assert run
    pages = feed.reconciliation.pages(run)
    next(pages)
    next(pages)
    feed.shop.update("reconciliation", {"touched_at": ago(minutes=3)})
    again = other.reconciliation.due(ALL)
    assert again
    assert again.reached == Position(again.reached.at, "20")
    other.pages(again)
    assert next(pages).account.confirmed == 10
    assert list(pages) == []
    finished = other.reconciliation.finish(again)
    assert finished
    assert finished.account == ReconciliationTally(pending=35)


def test_a_page_that_takes_too_long_is_halved(begin_past: Begin) -> None:
    """Until the view is fast enough; the result is still complete."""
    tried: list[int] = []

    class Slow(Source):
        @override
        def within(self, stretch: Stretch, *, to_admit: bool = False) -> OrderQuery:
            found = super().within(stretch, to_admit=to_admit)
            gather = compose("gather", found=found.query, seal=query("seal"))
            gathered = self.database.row(dict, gather, **found.params)
            tried.append(gathered["orders"])
            if tried[-1] > 5:
                raise SlowViewError("the view gave no answer", "")
            return found

    feed = begin_past()
    confirm(feed, "now() - generate_series * interval '1 minute'", 30)
    capture(feed)
    assert begin_past(page=16, source=Slow).tally() == ReconciliationTally(pending=30)
    assert tried[:4] == [16, 8, 4, 4]
    assert max(tried[2:]) == 4


def test_an_order_that_takes_too_long_alone_is_an_error(begin_past: Begin) -> None:
    """A page of one order cannot be halved."""

    class Slow(Source):
        @override
        def stretch(self, *_: object, **_named: object) -> Stretch:
            raise SlowViewError("the view gave no answer", "")

    feed = begin_past()
    confirm(feed, TIED)
    capture(feed)
    with pytest.raises(SlowViewError):
        begin_past(page=4, source=Slow).tally()
