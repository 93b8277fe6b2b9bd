"""A time before those of all orders made just before is older than its order."""

from datetime import UTC, datetime, timedelta

import pytest

from syncd.core.time_order import BackdatedOrder, backdated_orders

START = datetime(2026, 11, 1, tzinfo=UTC)
TOLERANCE = timedelta(minutes=5)


def made(*minutes: float) -> list[tuple[str, datetime]]:
    """Orders by key, stamped so many minutes after the start."""
    return [
        (str(key), START + timedelta(minutes=at)) for key, at in enumerate(minutes, 1)
    ]


@pytest.mark.parametrize("is_all", [True, False])
def test_times_in_the_order_of_keys_are_no_finding(*, is_all: bool) -> None:
    """However far apart, and where some were made in one moment."""
    orders = made(*range(0, 300, 10), 300, 300, 299, 298)
    assert backdated_orders(orders, TOLERANCE, is_all=is_all) == []


def test_an_order_that_was_paid_later_is_no_finding() -> None:
    """Nor are those that were made after it and paid at once."""
    orders = made(*(at + 4000 * (at % 2) for at in range(60)))
    assert backdated_orders(orders, TOLERANCE, is_all=False) == []


def test_a_time_from_before_the_order_is_found() -> None:
    """With how far it lies behind the oldest of those made just before."""
    orders = made(*range(20), -10_000, *range(20, 30))
    found = backdated_orders(orders, TOLERANCE, is_all=False)
    assert found == [BackdatedOrder("21", timedelta(minutes=10_010))]


def test_a_few_orders_are_enough_where_they_are_all() -> None:
    """With a sample's first orders nobody knows what was made before."""
    orders = made(100, 101, 102, 1)
    found = backdated_orders(orders, TOLERANCE, is_all=True)
    assert found == [BackdatedOrder("4", timedelta(minutes=99))]
    assert backdated_orders(orders, TOLERANCE, is_all=False) == []
    assert backdated_orders(made(100, 101, 1), TOLERANCE, is_all=True) == []
