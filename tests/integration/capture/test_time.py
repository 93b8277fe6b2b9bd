"""No order is lost whatever clocks do: the poll captures it, or reconciliation does."""

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
    """Poll until a window has closed; return the number of orders captured."""
    return sum(feed.poll() for _ in range(4))


def poll_all(feed: FeedHarness) -> int:
    """Poll page by page until a poll finds nothing more."""
    orders = 0
    while taken := feed.poll():
        orders += taken
    return orders


# The application's clock


@pytest.mark.parametrize("stamp", ["- interval '4 min'", "+ interval '4 min'"])
def test_an_applications_clock_may_deviate_by_the_lookback(
    captured_feed: FeedHarness, stamp: str
) -> None:
    """An order stamped that early or late is captured by the next deep poll."""
    settle(captured_feed)
    confirm(captured_feed, f"clock_timestamp() {stamp}")
    assert settle(captured_feed) + captured_feed.poll(deep=True) == 1


def test_a_stamp_beyond_the_lookback_is_found_by_reconciliation(
    captured_feed: FeedHarness,
) -> None:
    """Three hours old when its transaction began: out of reach for the poll."""
    settle(captured_feed)
    confirm(captured_feed, "clock_timestamp() - interval '3 hours'")
    assert settle(captured_feed) + captured_feed.poll(whole=True) == 0
    assert captured_feed.tally() == ReconciliationTally(missing=1, captured=1)
    assert captured_feed.captures() == [("reconcile", 1)]


def test_future_orders_do_not_move_the_watermark_into_the_future(
    captured_feed: FeedHarness,
) -> None:
    """They are captured at once; later orders of today are, too."""
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
    """Orders stamped before the end of the last poll's range are captured at once."""
    now = captured_feed.source.clock()
    captured_feed.transactions.now = now
    settle(captured_feed)
    captured_feed.transactions.now = now - back
    before = f"'{(now - back).isoformat()}'::timestamptz - interval '20 s'"
    confirm(captured_feed, before)  # the last poll may be that long ago
    assert captured_feed.poll() == 1
    confirm(captured_feed, f"'{(now - back).isoformat()}'::timestamptz")
    assert captured_feed.poll() == 1


def test_a_transaction_open_while_the_clock_jumps_back_is_captured(
    captured_feed: FeedHarness,
) -> None:
    """Its first appearance lies in the future of the corrected clock."""
    now = captured_feed.source.clock()
    captured_feed.transactions.now = now
    with psycopg.connect(captured_feed.shop.owner) as session:
        session.execute("SELECT 1")
        settle(captured_feed)
        back = now - timedelta(minutes=3)
        session.execute(INSERT.format(f"'{back.isoformat()}'::timestamptz", 1).encode())
        for minutes in (0, 2):
            captured_feed.transactions.now = back + timedelta(minutes=minutes)
            assert captured_feed.poll() == 0
        session.commit()
        assert captured_feed.poll() == 1


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=1500)])
def test_a_clock_that_was_ahead_for_a_moment_does_not_hide_orders(
    captured_feed: FeedHarness, ahead: timedelta
) -> None:
    """The watermark stays ahead; orders of the true time are captured at once."""
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


def test_a_clock_set_back_does_not_capture_initial_orders(
    shop: Shop, begin: Begin
) -> None:
    """Orders listed at the first start are initial, however far back the poll reads."""
    shop.sql(INSERT.format("now() - interval '2 hours'", 3))
    feed = begin()
    now = feed.source.clock()
    feed.transactions.now = now - timedelta(hours=3)
    assert settle(feed) == 0
    assert feed.captures() == []


# Equal times


def test_a_bulk_import_with_one_stamp_is_captured_and_accounted_for(
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
    for _ in range(500):  # a sweep in progress is finished first
        late_ones += captured_feed.poll(whole=True)
        if late_ones == 10:
            break
    assert late_ones == 10
    captured_feed.shop.set_watermark(ago(seconds=-1))
    assert captured_feed.tally() == ReconciliationTally(pending=31_010)


def test_a_bulk_import_of_the_past_is_found_by_reconciliation(
    captured_feed: FeedHarness,
) -> None:
    """Orders with equal stamps stay in one page."""
    stamp = ago(hours=5).isoformat()
    confirm(captured_feed, f"'{stamp}'::timestamptz", 30_000)
    assert captured_feed.tally() == ReconciliationTally(missing=30_000, captured=30_000)
    assert captured_feed.tally() == ReconciliationTally(pending=30_000)


# Times without a zone


def use_local_times(feed: FeedHarness, kind: str = "timestamp") -> None:
    """Make the shop store local times, in a type without a zone."""
    feed.shop.sql(
        "ALTER TABLE orders ADD COLUMN at timestamp;"
        "CREATE INDEX orders_at ON orders (at);"
        "DROP VIEW syncd.confirmed_orders;"
        "CREATE VIEW syncd.confirmed_orders AS SELECT id AS order_key, "
        f"at::{kind} AS confirmed_at FROM orders WHERE at IS NOT NULL;"
        f"GRANT SELECT ON syncd.confirmed_orders TO {feed.shop.role}"
    )


def set_clock(feed: FeedHarness, now: datetime) -> None:
    """Set the clock, with everything captured until then."""
    floor = {"floor_at": now - timedelta(days=2), "started_at": now}
    feed.shop.update("feed", floor)
    feed.shop.update("watermark", {"confirmed_at": now - timedelta(minutes=6)})
    feed.transactions.now = now
    settle(feed)


def sell_through(feed: FeedHarness, start: datetime, minutes: int) -> int:
    """Sell an order every ten minutes by local time; poll after each."""
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
def test_no_order_is_lost_when_daylight_saving_time_changes(
    begin: Begin, change: datetime
) -> None:
    """A local hour that exists twice is read as the second: an hour late, never early.

    Orders of the first one therefore appear to lie in the future and are captured at
    once; none is below the watermark when it appears.
    """
    feed = begin(time_zone=AMSTERDAM)
    use_local_times(feed)
    set_clock(feed, change - timedelta(hours=2))
    sold = sell_through(feed, change - timedelta(hours=2), 300)
    feed.transactions.now = change + timedelta(hours=5)
    settle(feed)
    assert feed.tally() == ReconciliationTally(pending=sold)


def test_an_ambiguous_local_time_is_never_read_as_too_early(begin: Begin) -> None:
    """PostgreSQL takes the later of two, and in a gap the time before the change."""
    feed = begin(time_zone=AMSTERDAM)
    use_local_times(feed)
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


def test_an_order_with_only_a_date_is_captured(
    begin: Begin,
) -> None:
    """A date means midnight: within a lookback of a day, or left to reconciliation."""
    noon = datetime(2026, 6, 10, 20, tzinfo=UTC)
    feed = begin(time_zone=AMSTERDAM)
    use_local_times(feed, "date")
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


# Outside the range of datetime


@pytest.mark.parametrize(
    "stamp", ["infinity", "-infinity", "9999-12-31", "12000-01-01", "0044-03-15 BC"]
)
@pytest.mark.parametrize("zone", [None, AMSTERDAM])
def test_a_time_outside_the_range_of_datetime_affects_no_other_order(
    begin: Begin, stamp: str, zone: str | None
) -> None:
    """Such an order is not sent; the others are, and all are accounted for."""
    feed = begin(time_zone=zone)
    if zone:
        use_local_times(feed)
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
