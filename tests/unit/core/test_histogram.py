from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.intervals import MOST_BARS, bars, spread, unit

MONDAY = date(2026, 1, 5)

several_days = st.dictionaries(
    st.dates(date(2000, 1, 1), date(2030, 1, 1)), st.integers(1, 1000), min_size=1
)


def days(count: int, step: int = 1) -> dict[date, int]:
    """One order every `step` days."""
    return {MONDAY + timedelta(days=n): 1 for n in range(0, count, step)}


def test_no_orders_have_no_bars() -> None:
    """There is nothing to draw."""
    assert bars({}) == []


@pytest.mark.parametrize(
    ("count", "each", "first", "number"),
    [
        (1, "day", ("2026-01-05", 1), 1),
        (31, "day", ("2026-01-05", 1), 31),
        (32, "week", ("2026-01-05", 7), 5),
        (217, "week", ("2026-01-05", 7), 31),
        (218, "month", ("2026-01", 27), 8),
        (960, "month", ("2026-01", 27), 32),
        (962, "year", ("2026", 361), 3),
    ],
)
def test_long_ranges_are_drawn_in_longer_units(
    count: int, each: str, first: tuple[str, int], number: int
) -> None:
    """Days, weeks from their Monday, months, years."""
    assert unit(days(count)) == each
    found = bars(days(count))
    assert found[0] == first
    assert len(found) == number


def test_empty_days_between_have_a_bar() -> None:
    """A gap is visible."""
    assert bars(days(5, 2)) == [
        ("2026-01-05", 1),
        ("2026-01-06", 0),
        ("2026-01-07", 1),
        ("2026-01-08", 0),
        ("2026-01-09", 1),
    ]


@given(several_days)
def test_bars_count_every_order_in_order(counts: dict[date, int]) -> None:
    """None is lost between two bars, and their number is limited."""
    found = bars(counts)
    assert sum(orders for _, orders in found) == sum(counts.values())
    assert [label for label, _ in found] == sorted({label for label, _ in found})
    assert len(found) <= MOST_BARS + 2


def test_a_sample_is_spread_by_orders_not_by_time() -> None:
    """A day with most of the orders has most of the samples."""
    found = spread({MONDAY: 90, MONDAY + timedelta(days=300): 10}, 10, UTC)
    assert [moment.date() for moment in found].count(MONDAY) == 9
    assert found[0] == datetime(2026, 1, 5, tzinfo=UTC)


def test_a_sample_lies_in_a_day_with_orders() -> None:
    """After half of the orders comes the next of them, however much later."""
    assert spread({MONDAY: 1, MONDAY + timedelta(days=9): 1}, 2, UTC) == [
        datetime(2026, 1, 5, tzinfo=UTC),
        datetime(2026, 1, 14, tzinfo=UTC),
    ]


@given(several_days, st.integers(1, 50))
def test_the_requested_number_of_samples_is_in_order(
    counts: dict[date, int], number: int
) -> None:
    """Each sample lies within a day that has orders."""
    found = spread(counts, number, UTC)
    assert len(found) == number
    assert all(a <= b for a, b in pairwise(found))
    assert {moment.date() for moment in found} <= set(counts)
