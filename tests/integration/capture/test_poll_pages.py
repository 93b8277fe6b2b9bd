"""More orders than one poll reads: they come in pages, with live orders in between."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from support.poll_harness import PollHarness
from support.postgres import wait_until
from support.shop import Shop

from syncd.capture.tuning import PollTuning
from syncd.core.errors import SlowStatementError
from syncd.ledger.stats import read_stats

pytestmark = pytest.mark.db

PAGE = 10
LOOKBACK = timedelta(minutes=5)
TURNS = PollTuning(page=PAGE, turn_seconds=0)
"""One page in each turn."""

SAME = "now() - interval '1 min'"
SPREAD = "now() - interval '4 min' + n * interval '1 ms'"
AHEAD = "now() + interval '2 hours' + n * interval '1 ms'"


@pytest.fixture
def capture(shop: Shop) -> Iterator[PollHarness]:
    """A poll with small pages, one a turn; every poll is deep."""
    started = PollHarness(
        shop, lookback=LOOKBACK, tuning=replace(TURNS, deep_seconds=0)
    )
    started.poll_all()
    yield started
    started.database.close()


def confirm_together(shop: Shop, orders: int, stamp: str) -> None:
    shop.sql(
        f"INSERT INTO orders (confirmed_at) SELECT {stamp} "
        f"FROM generate_series(1, {orders}) AS n"
    )


def turns(capture: PollHarness) -> list[int]:
    found = [capture.poll()]
    while capture.is_behind:
        found.append(capture.poll())
    return found


def test_a_slow_sweep_postpones_one_deep_poll_only(shop: Shop) -> None:
    """The next deep poll is due on time, unless it leaves pages again."""
    never_whole = replace(TURNS, whole_seconds=float("inf"))
    capture = PollHarness(shop, lookback=LOOKBACK, tuning=never_whole)
    capture.poll_all()
    confirm_together(shop, 5 * PAGE, SPREAD)
    capture.clock.advance(31)
    capture.poll()
    capture.clock.advance(3600)  # so slow that the deep poll leaves pages
    capture.poll_all()
    found = []
    for seconds in (32_000, 1000, 31):
        confirm_together(shop, 1, "now() - interval '4 min'")
        capture.clock.advance(seconds)
        found.append(capture.poll_all())
    capture.database.close()
    assert found == [0, 2, 1]


@pytest.mark.parametrize("stamp", [SAME, SPREAD, AHEAD])
def test_no_turn_reads_more_than_its_pages(
    shop: Shop, capture: PollHarness, stamp: str
) -> None:
    """Also with one stamp for all, or stamps in the future; each is captured once."""
    confirm_together(shop, 25 * PAGE, stamp)
    found = turns(capture)
    assert sum(found) == 25 * PAGE
    assert max(found) <= 4 * PAGE
    assert capture.admitted() == 25 * PAGE


@pytest.mark.parametrize("stamp", [SAME, SPREAD, AHEAD])
def test_a_live_order_does_not_wait_for_the_remaining_pages(
    shop: Shop, capture: PollHarness, stamp: str
) -> None:
    """The next poll captures it, into a batch of the lane that is sent first."""
    confirm_together(shop, 25 * PAGE, stamp)
    capture.poll()
    (live,) = shop.confirm()
    capture.poll()
    (order,) = shop.captured_orders(order_key=live.removeprefix("W-"))
    assert capture.is_behind
    assert order.batch.lane == "live"
    turns(capture)
    behind = sum(batch.orders for batch in shop.rows_of("batch", lane="backfill"))
    assert behind > 10 * PAGE
    assert shop.batch_orders() == 25 * PAGE + 1


def test_orders_that_wait_behind_live_ones_are_counted_as_live(
    shop: Shop, capture: PollHarness
) -> None:
    """They are late, but no backfill: pending, with a lag."""
    confirm_together(shop, 25 * PAGE, SPREAD)
    turns(capture)
    stats = read_stats(capture.database, capture.ledger.feed_id)
    assert stats.pending == 25 * PAGE
    assert stats.pending_backfill == 0
    assert stats.lag_seconds > 200


def test_a_window_closes_page_by_page(shop: Shop) -> None:
    """The watermark moves with each page: a crash does not repeat finished pages."""
    capture = PollHarness(shop, tuning=TURNS)
    start = capture.close_window()
    confirm_together(shop, 5 * PAGE, "clock_timestamp()")
    now = capture.source.clock()
    reached = [start]
    while reached[-1] < now:
        capture.poll()
        assert capture.missed() == []
        if (watermark := capture.ledger.watermark()) > reached[-1]:
            reached.append(watermark)
    assert len(reached) > 2
    capture.database.close()


def test_a_page_that_takes_too_long_is_halved(shop: Shop) -> None:
    """The next attempt reads fewer orders: the import is captured in the end."""
    for plan in ("seqscan", "bitmapscan"):
        shop.sql(f"ALTER ROLE {shop.role} SET enable_{plan} = off")
    shop.sql(
        "CREATE OR REPLACE VIEW syncd.confirmed_orders AS "
        "SELECT id AS order_key, confirmed_at FROM orders "
        "WHERE pg_sleep(0.004) IS NOT NULL"
    )
    tuning = PollTuning(page=100, turn_seconds=0, deep_seconds=0)
    capture = PollHarness(shop, lookback=LOOKBACK, tuning=tuning)
    confirm_together(shop, 200, SPREAD)
    capture.database.limit(0.3)
    capture.database.close()
    failures = 0

    def is_done() -> bool:
        nonlocal failures
        try:
            capture.poll()
        except SlowStatementError:
            failures += 1
        return capture.admitted() == 200

    wait_until(is_done)
    assert failures > 0
    capture.database.close()
