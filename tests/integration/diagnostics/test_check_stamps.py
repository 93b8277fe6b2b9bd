"""`check` compares orders' times with the order of keys, and with their appearance."""

from datetime import timedelta
from pathlib import Path

import pytest
from support.checks import CheckRunner
from support.feed_harness import Begin, ago
from support.shop import Shop

pytestmark = pytest.mark.db

WRITTEN = "INSERT INTO orders (confirmed_at) VALUES (clock_timestamp() + '{}')"
STAMPS = {"orders.stale", "orders.shifted", "orders.future", "orders.backdated"}


def sell(shop: Shop, away: str, orders: int) -> None:
    """Confirm orders now, one by one, with stamps that are off by `away`."""
    for _ in range(orders):
        shop.sql(WRITTEN.format(away))


def test_a_carts_time_is_distinguished_from_a_confirmation(
    inspector: CheckRunner,
) -> None:
    """An order is not older than all orders that were created just before it."""
    shop = inspector.shop
    sell(shop, "0", 12)
    assert not inspector.codes() & STAMPS
    sell(shop, "-7 days", 1)
    sell(shop, "0", 3)
    found = inspector.one("orders.backdated")
    assert found.severity == "warning"
    assert found.message.startswith(
        "1 of the 16 orders with the highest keys are stamped up to 7 d before all"
    )
    assert ", for example 13; lookback is 5 s" in found.message


def test_an_order_paid_days_later_is_no_finding(inspector: CheckRunner) -> None:
    """Its time is later than those of orders that were created after it."""
    shop = inspector.shop
    shop.sql(
        "INSERT INTO orders (confirmed_at) SELECT now() - interval '10 days' "
        "+ n * interval '1 hour' + CASE WHEN n % 3 = 0 THEN interval '2 days' "
        "ELSE interval '0' END FROM generate_series(1, 150) AS n"
    )
    assert "orders.backdated" not in inspector.codes()


def test_orders_paid_at_once_among_late_ones_are_no_finding(
    inspector: CheckRunner,
) -> None:
    """Nearly all are paid one to seven days after they were created."""
    inspector.shop.sql(
        "INSERT INTO orders (confirmed_at) SELECT now() - interval '30 days' "
        "+ n * interval '1 hour' + CASE WHEN n % 20 = 0 THEN interval '0' "
        "ELSE interval '1 day' * (1 + (n * 7919 % 97) / 16.0) END "
        "FROM generate_series(1, 300) AS n"
    )
    assert "orders.backdated" not in inspector.codes()


def test_an_order_that_appeared_at_its_stamp_is_no_finding(
    inspector: CheckRunner, begin: Begin
) -> None:
    """Other stamps do not matter; a cart's time beside it is still found."""
    feed, shop = begin(), inspector.shop
    shop.sql(
        "INSERT INTO orders (confirmed_at) SELECT NULL FROM generate_series(1, 15)"
    )
    sell(shop, "0", 1)
    feed.poll(whole=True)
    shop.sql("UPDATE orders SET confirmed_at = confirmed_at - interval '2 days'")
    shop.shift("ledger", timedelta(days=-2), "confirmed_at")
    shop.shift("batch", timedelta(days=-2), "created_at")
    shop.sql("UPDATE orders SET confirmed_at = now() WHERE confirmed_at IS NULL")
    feed.poll(whole=True)
    assert "orders.backdated" not in inspector.codes()
    sell(shop, "-7 days", 1)
    feed.poll(whole=True)
    assert ", for example 17;" in inspector.one("orders.backdated").message


@pytest.mark.parametrize(
    ("away", "side", "read_as"),
    [("-1 hour", "60 min before", "Europe/Amsterdam"),
     ("5 hours", "300 min after", "America/New_York")],
)  # fmt: skip
def test_the_offset_of_admitted_orders_is_reported(
    shop: Shop, tmp_path: Path, begin: Begin, away: str, side: str, read_as: str
) -> None:
    """Both directions are, with the matching zone, noticed by a daemon or not."""
    inspector = CheckRunner(shop, tmp_path, {"time_zone": read_as})
    feed = begin()
    for _ in range(12):
        feed.shop.set_watermark(ago(days=1))
        sell(shop, away, 1)
        feed.poll(whole=True)
        shop.update("batch", {"due_at": ago()})  # no batch is extended
    found = inspector.one("orders.shifted")
    assert found.message == (
        f"orders are stamped {side} the moment they appear; "
        "source.time_zone is probably UTC"
    )


def test_orders_that_appear_with_stamps_before_the_start_are_counted(
    shop: Shop, tmp_path: Path, begin: Begin
) -> None:
    """No capture has found them: the newest stamp is as old as the offset."""
    inspector = CheckRunner(shop, tmp_path, {"time_zone": "Europe/Amsterdam"})
    sell(shop, "-1 day", 3)
    begin()
    assert not inspector.codes() & STAMPS
    sell(shop, "-1 hour", 4)
    found = inspector.one("orders.stale")
    assert found.severity == "warning"
    assert found.message.startswith(
        "the newest stamp is 1 h old, and 4 orders have appeared since, for example 4"
    )
    assert found.message.endswith("; source.time_zone is probably UTC")


def test_a_shop_without_new_orders_is_no_finding(
    inspector: CheckRunner, begin: Begin
) -> None:
    """The daemon may have been down when its last orders came."""
    feed, shop = begin(), inspector.shop
    sell(shop, "0", 12)
    feed.poll(whole=True)
    shop.sql("UPDATE orders SET confirmed_at = confirmed_at - interval '50 min'")
    shop.shift("ledger", timedelta(minutes=-50), "confirmed_at")
    shop.update("feed", dict.fromkeys(("started_at", "floor_at"), ago(days=1)))
    instance = {"feed_id": 1, "host": "here", "pid": 1}
    shop.insert("instance", **instance, started_at=ago(minutes=1))
    assert not inspector.codes() & STAMPS


def test_orders_stamped_in_the_future_suggest_the_zone(
    shop: Shop, tmp_path: Path
) -> None:
    """The shop's times are read in a zone that is west of it."""
    inspector = CheckRunner(shop, tmp_path, {"time_zone": "America/New_York"})
    sell(shop, "5 hours", 3)
    found = inspector.one("orders.future")
    assert "3 of the last 3 (100 %) are stamped up to 5.0 h ahead" in found.message
    assert found.message.endswith("; source.time_zone is probably UTC")
