"""A time before those of all orders created just before is older than its order."""

from datetime import UTC, datetime, timedelta

import pytest

from syncd.core.stamps import BackdatedOrder, backdated_orders

START = datetime(2026, 11, 1, tzinfo=UTC)
TOLERANCE = timedelta(minutes=5)


def made(*minutes: float) -> list[tuple[str, datetime]]:
    """Orders by key, stamped so many minutes after the start."""
    return [
        (str(key), START + timedelta(minutes=at)) for key, at in enumerate(minutes, 1)
    ]


@pytest.mark.parametrize("is_all", [True, False])
def test_times_in_the_order_of_keys_are_no_finding(*, is_all: bool) -> None:
    """They may be far apart, or created in one moment."""
    orders = made(*range(0, 300, 10), 300, 300, 299, 298)
    assert backdated_orders(orders, TOLERANCE, is_all=is_all) == []


def test_an_order_paid_later_is_no_finding() -> None:
    """Orders that were created after it and paid at once are none either."""
    orders = made(*(at + 4000 * (at % 2) for at in range(60)))
    assert backdated_orders(orders, TOLERANCE, is_all=False) == []


def test_a_time_older_than_its_order_is_found() -> None:
    """The result has its distance from the oldest of those created just before."""
    orders = made(*range(20), -10_000, *range(20, 30))
    found = backdated_orders(orders, TOLERANCE, is_all=False)
    assert found == [BackdatedOrder("21", timedelta(minutes=10_010))]


@pytest.mark.parametrize(("minutes", "is_found"), [(5, False), (4.9, True)])
def test_a_time_may_be_older_by_the_tolerance(
    minutes: float, *, is_found: bool
) -> None:
    """Two clocks may differ by as much."""
    found = backdated_orders(made(*range(20), minutes), TOLERANCE, is_all=False)
    assert bool(found) is is_found


@pytest.mark.parametrize(("minutes", "is_found"), [(50, False), (5, False), (4, True)])
def test_among_unordered_times_only_greater_disorder_is_found(
    minutes: float, *, is_found: bool
) -> None:
    """The second order's time is 100 minutes before the first's."""
    orders = made(100, 0, *range(100, 115), minutes)
    assert bool(backdated_orders(orders, TOLERANCE, is_all=False)) is is_found


@pytest.mark.parametrize("is_all", [True, False])
def test_no_orders_and_one_are_in_order(*, is_all: bool) -> None:
    """There is nothing to compare."""
    assert backdated_orders([], TOLERANCE, is_all=is_all) == []
    assert backdated_orders(made(1), TOLERANCE, is_all=is_all) == []


def test_a_few_orders_are_enough_if_they_are_all() -> None:
    """For a sample's first orders the earlier ones are unknown."""
    orders = made(100, 101, 102, 1)
    found = backdated_orders(orders, TOLERANCE, is_all=True)
    assert found == [BackdatedOrder("4", timedelta(minutes=99))]
    assert backdated_orders(orders, TOLERANCE, is_all=False) == []
    assert backdated_orders(made(100, 101, 1), TOLERANCE, is_all=True) == []
