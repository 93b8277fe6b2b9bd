"""Whatever clocks do, no order is lost: the poll takes it, or reconciliation does."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from support.feed_harness import Begin, FeedHarness, ago
from support.shop import Shop

from syncd.core.tally import ReconciliationTally

pytestmark = pytest.mark.db

INSERT = "INSERT INTO orders (confirmed_at) SELECT {} FROM generate_series(1, {})"
AMSTERDAM = "Europe/Amsterdam"
AUTUMN = datetime(2026, 10, 25, 1, tzinfo=UTC)
"""When Amsterdam's clocks go from 3:00 back to 2:00."""
SPRING = datetime(2026, 3, 29, 1, tzinfo=UTC)
"""When they go from 2:00 to 3:00."""


@pytest.fixture
def captured_feed(begin: Begin) -> FeedHarness:
    """A feed that began ten days ago and has captured everything since."""
    started = begin()
    started.backdate("10 days", "5 minutes")
    started.poll()
    return started


def confirm(feed: FeedHarness, stamp: str, orders: int = 1) -> None:
    feed.shop.sql(INSERT.format(stamp, orders))


def settle(feed: FeedHarness) -> int:
    """Poll until a window has closed; give the orders taken."""
    return sum(feed.poll() for _ in range(4))


def poll_all(feed: FeedHarness) -> int:
    """Poll page by page until a look finds nothing more."""
    orders = 0
    while taken := feed.poll():
        orders += taken
    return orders


# The application's clock


@pytest.mark.parametrize("stamp", ["- interval '4 min'", "+ interval '4 min'"])
def test_an_applications_clock_may_be_off_by_the_lookback(
    captured_feed: FeedHarness, stamp: str
) -> None:
    """An order stamped that early or late is taken at the next deep look at most."""
    settle(captured_feed)
    confirm(captured_feed, f"clock_timestamp() {stamp}")
    assert settle(captured_feed) + captured_feed.poll(deep=True) == 1


def test_a_stamp_beyond_the_lookback_is_found_by_reconciliation(
    captured_feed: FeedHarness,
) -> None:
    """Three hours old when its transaction began: only the view knows of it."""
    settle(captured_feed)
    confirm(captured_feed, "clock_timestamp() - interval '3 hours'")
    assert settle(captured_feed) + captured_feed.poll(whole=True) == 0
    assert captured_feed.tally() == ReconciliationTally(missing=1, captured=1)
    assert captured_feed.captures() == [("reconcile", 1)]


def test_orders_of_the_future_do_not_drag_the_watermark(
    captured_feed: FeedHarness,
) -> None:
    """They are sent now, and those of today go on; all are accounted for."""
    confirm(captured_feed, "clock_timestamp() + interval '40 years'", 3)
    assert settle(captured_feed) == 3
    assert captured_feed.ledger.watermark() < captured_feed.source.clock()
    confirm(captured_feed, "clock_timestamp()")
    assert settle(captured_feed) == 1
    assert captured_feed.tally() == ReconciliationTally(pending=4)


# The server's clock


@pytest.mark.parametrize("back", [timedelta(seconds=30), timedelta(minutes=4)])
def test_a_clock_set_back_within_the_lookback_loses_nothing(
    captured_feed: FeedHarness, back: timedelta
) -> None:
    """Orders stamped before what was looked at last are taken at once."""
    now = captured_feed.source.clock()
    captured_feed.transactions.now = now
    settle(captured_feed)
    captured_feed.transactions.now = now - back
    before = f"'{(now - back).isoformat()}'::timestamptz - interval '20 s'"
    confirm(captured_feed, before)  # the last look may be that long ago
    assert captured_feed.poll() == 1
    confirm(captured_feed, f"'{(now - back).isoformat()}'::timestamptz")
    assert captured_feed.poll() == 1


def test_a_transaction_open_across_the_jump_is_taken(
    captured_feed: FeedHarness,
) -> None:
    """It was first seen by a clock that was ahead, and stamps by the new one."""
    now = captured_feed.source.clock()
    captured_feed.transactions.now = now
    with psycopg.connect(captured_feed.shop.owner) as till:
        till.execute("SELECT 1")
        settle(captured_feed)
        back = now - timedelta(minutes=3)
        till.execute(INSERT.format(f"'{back.isoformat()}'::timestamptz", 1).encode())
        for minutes in (0, 2):
            captured_feed.transactions.now = back + timedelta(minutes=minutes)
            assert captured_feed.poll() == 0
        till.commit()
        assert captured_feed.poll() == 1


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=1500)])
def test_a_clock_that_was_ahead_for_a_moment_does_not_blind_the_poll(
    captured_feed: FeedHarness, ahead: timedelta
) -> None:
    """The watermark went along and stays; orders of the true time are taken at once."""
    now = captured_feed.source.clock()
    captured_feed.transactions.now = now + ahead
    settle(captured_feed)
    captured_feed.poll(deep=True)
    assert captured_feed.ledger.watermark() > now
    captured_feed.transactions.now = now
    for _ in range(2):
        confirm(captured_feed, f"'{now.isoformat()}'::timestamptz", 2)
        assert captured_feed.poll() == 2
    confirm(
        captured_feed, f"'{now.isoformat()}'::timestamptz - interval '4 minutes'", 2
    )
    assert captured_feed.poll(deep=True) == 2


def test_a_clock_set_back_makes_no_old_order_new(shop: Shop, begin: Begin) -> None:
    """What was listed at the first start is old, however far back the poll looks."""
    shop.sql(INSERT.format("now() - interval '2 hours'", 3))
    feed = begin()
    now = feed.source.clock()
    feed.transactions.now = now - timedelta(hours=3)
    assert settle(feed) == 0
    assert feed.captures() == []


# Equal times


def test_a_bulk_import_with_one_stamp_is_taken_and_accounted_for(
    captured_feed: FeedHarness,
) -> None:
    """More orders of one instant than thirty pages hold, in two transactions."""
    stamp = captured_feed.source.clock().isoformat()
    with psycopg.connect(captured_feed.shop.owner) as late:
        late.execute(INSERT.format(f"'{stamp}'::timestamptz", 10).encode())
        confirm(captured_feed, f"'{stamp}'::timestamptz", 31_000)
        assert poll_all(captured_feed) == 31_000
        late.commit()
    late_ones = 0
    for _ in range(500):  # a sweep under way is finished first
        late_ones += captured_feed.poll(whole=True)
        if late_ones == 10:
            break
    assert late_ones == 10
    captured_feed.shop.set_watermark(ago(seconds=-1))
    assert captured_feed.tally() == ReconciliationTally(pending=31_010)


def test_a_bulk_import_of_the_past_is_found_by_reconciliation(
    captured_feed: FeedHarness,
) -> None:
    """In pages that keep an instant together."""
    stamp = ago(hours=5).isoformat()
    confirm(captured_feed, f"'{stamp}'::timestamptz", 30_000)
    assert captured_feed.tally() == ReconciliationTally(missing=30_000, captured=30_000)
    assert captured_feed.tally() == ReconciliationTally(pending=30_000)


# Times without a zone


def local(feed: FeedHarness, kind: str = "timestamp") -> None:
    """Let the shop keep local times, of a type without a zone."""
    feed.shop.sql(
        "ALTER TABLE orders ADD COLUMN at timestamp;"
        "CREATE INDEX orders_at ON orders (at);"
        "DROP VIEW syncd.confirmed_orders;"
        "CREATE VIEW syncd.confirmed_orders AS SELECT id AS order_key, "
        f"at::{kind} AS confirmed_at FROM orders WHERE at IS NOT NULL;"
        f"GRANT SELECT ON syncd.confirmed_orders TO {feed.shop.role}"
    )


def set_clock(feed: FeedHarness, now: datetime) -> None:
    """Let it be another time, with everything captured until then."""
    floor = {"floor_at": now - timedelta(days=2), "started_at": now}
    feed.shop.update("feed", floor)
    feed.shop.update("watermark", {"confirmed_at": now - timedelta(minutes=6)})
    feed.transactions.now = now
    settle(feed)


def sell_through(feed: FeedHarness, start: datetime, minutes: int) -> int:
    """Sell an order every ten minutes by the wall clock; poll each time."""
    sold = 0
    for minute in range(0, minutes, 10):
        now = start + timedelta(minutes=minute)
        feed.transactions.now = now
        feed.shop.sql(
            "INSERT INTO orders (at) VALUES "
            f"(timestamptz '{now.isoformat()}' AT TIME ZONE '{AMSTERDAM}')"
        )
        sold += 1
        assert feed.poll() == 1, f"lost the order of {now}"
        settle(feed)
    return sold


@pytest.mark.parametrize("change", [AUTUMN, SPRING], ids=["autumn", "spring"])
def test_no_order_is_lost_when_the_clocks_change(
    begin: Begin, change: datetime
) -> None:
    """An hour that exists twice is read as its second: an hour late, never early.

    So orders of the first one look as if they were of the future, which the poll
    takes at once; and none is below the watermark when it appears.
    """
    feed = begin(time_zone=AMSTERDAM)
    local(feed)
    set_clock(feed, change - timedelta(hours=2))
    sold = sell_through(feed, change - timedelta(hours=2), 300)
    feed.transactions.now = change + timedelta(hours=5)
    settle(feed)
    assert feed.tally() == ReconciliationTally(pending=sold)


def test_an_ambiguous_time_is_never_read_as_earlier_than_it_was(begin: Begin) -> None:
    """PostgreSQL takes the later of two, and in a gap the time before the change."""
    feed = begin(time_zone=AMSTERDAM)
    local(feed)
    feed.shop.sql(
        "INSERT INTO orders (at) VALUES "
        "('2026-10-25 02:30'), ('2026-03-29 02:30'), ('2026-07-01 12:00')"
    )
    set_clock(feed, datetime(2026, 1, 1, tzinfo=UTC))
    assert [order.confirmed_at for order in feed.shop.rows_of("ledger")] == [
        datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
        datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
        datetime(2026, 7, 1, 10, tzinfo=UTC),
    ]


def test_a_date_is_taken_with_a_lookback_of_a_day_or_by_reconciliation(
    begin: Begin,
) -> None:
    """Every order of a day is stamped at its midnight, up to 24 hours before."""
    noon = datetime(2026, 6, 10, 20, tzinfo=UTC)
    feed = begin(time_zone=AMSTERDAM)
    local(feed, "date")
    set_clock(feed, noon)
    feed.shop.sql("INSERT INTO orders (at) VALUES ('2026-06-10 21:30')")
    assert settle(feed) == 0
    assert feed.tally() == ReconciliationTally(missing=1, captured=1)
    patient = begin(time_zone=AMSTERDAM, lookback=timedelta(hours=25))
    patient.shop.set_watermark(datetime(2026, 6, 9, 19, tzinfo=UTC))
    patient.transactions.now = noon
    settle(patient)
    feed.shop.sql("INSERT INTO orders (at) VALUES ('2026-06-10 21:45')")
    assert patient.poll(deep=True) == 1


# No clock shows them


@pytest.mark.parametrize(
    "stamp", ["infinity", "-infinity", "9999-12-31", "12000-01-01", "0044-03-15 BC"]
)
@pytest.mark.parametrize("zone", [None, AMSTERDAM])
def test_a_time_that_no_clock_shows_harms_nobody(
    begin: Begin, stamp: str, zone: str | None
) -> None:
    """Such an order is not sent; those beside it are, and all is accounted for."""
    feed = begin(time_zone=zone)
    if zone:
        local(feed)
    column = "at" if zone else "confirmed_at"
    now = f"now() AT TIME ZONE '{zone}'" if zone else "now()"
    feed.backdate("10 days", "5 minutes")
    feed.shop.sql(f"INSERT INTO orders ({column}) VALUES ('{stamp}'), ({now})")
    assert settle(feed) == 1
    feed.shop.set_watermark(ago(hours=-2))
    assert feed.tally() == ReconciliationTally(pending=1)
    assert feed.source.confirmed_at("1") is None
    assert len(feed.source.sample(ago(days=20), 10)) == 1
    assert feed.source.without_time() == 1
