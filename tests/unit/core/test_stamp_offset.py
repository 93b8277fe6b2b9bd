"""Stamps off by a zone's offset from the moment of appearance, and lookalikes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncd.core.stamps import (
    LEAST_ORDERS,
    QUARTER,
    Appearance,
    Shift,
    find_shift,
    fitting_zones,
)

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
OFFSETS = st.integers(1, 60).flatmap(lambda n: st.sampled_from([n, -n]))
JITTER = st.floats(0, 300)


def appearances_of(
    stamps: Sequence[float], seen: Sequence[float] | None = None
) -> list[Appearance]:
    """Make appearances of minutes from now; without `seen`, at their stamps."""
    return [
        Appearance(NOW + timedelta(minutes=s), NOW + timedelta(minutes=at))
        for s, at in zip(stamps, seen or stamps, strict=True)
    ]


@given(
    quarters=OFFSETS,
    jitter=st.lists(JITTER, min_size=LEAST_ORDERS, max_size=20),
    apart=st.floats(0.5, 60),
)
@example(quarters=-4, jitter=[0.0] * 10, apart=0.5)
def test_every_offset_is_found_whatever_the_delays(
    quarters: int, jitter: list[float], apart: float
) -> None:
    """Offsets range from 15 minutes to 15 hours, delays up to five minutes."""
    offset = quarters * QUARTER
    found = find_shift(
        [
            Appearance(moment + offset, moment + timedelta(seconds=late))
            for n, late in enumerate(jitter)
            for moment in [NOW + timedelta(minutes=n * apart)]
        ]
    )
    is_near = abs(quarters) in {1, 60}  # delays move the distance over the limit
    assert found is not None or is_near
    assert found is None or found.offset == offset


@given(st.lists(st.floats(-2, 2), min_size=10, max_size=20), st.floats(0, 5))
def test_correct_stamps_are_no_shift(clock: list[float], late: float) -> None:
    """The shop's clock two minutes off, and orders seen some minutes later."""
    times = [float(n) for n in range(len(clock))]
    stamps = [n + off for n, off in zip(times, clock, strict=True)]
    assert find_shift(appearances_of(stamps, [n + late for n in times])) is None


def transfers() -> list[Appearance]:
    return appearances_of(
        [-180 - 97 * n for n in range(20)], [5 * n for n in range(20)]
    )


def imported() -> list[Appearance]:
    return appearances_of([-60 - n / 100 for n in range(20)], [0.0] * 20)


def nightly() -> list[Appearance]:
    return appearances_of([-30.0 * n for n in range(20)], [n / 10 for n in range(20)])


def dates() -> list[Appearance]:
    return appearances_of([-120.0] * 20, [n * 0.1 for n in range(20)])


def few() -> list[Appearance]:
    return appearances_of([-60.0 + n for n in range(9)], [1.0 * n for n in range(9)])


@pytest.mark.parametrize("case", [transfers, imported, nightly, dates, few])
def test_a_lookalike_is_no_shift(case: object) -> None:
    """Transfers days later, an import, a nightly job, dates, too few orders."""
    assert callable(case)
    assert find_shift(case()) is None


def even(distance: float, orders: int = 10, **others: float) -> list[Appearance]:
    """Orders a minute apart, all off by so many minutes; `n1=5` moves the second."""
    off = [others.get(f"n{n}", distance) for n in range(orders)]
    return appearances_of(
        [n + off[n] for n in range(orders)], [1.0 * n for n in range(orders)]
    )


@pytest.mark.parametrize(
    ("appearances", "shift"),
    [
        (even(-60), Shift(8, timedelta(hours=-1))),
        (even(15), Shift(8, QUARTER)),
        (even(14.9), None),
        (even(900), Shift(8, timedelta(hours=15))),
        (even(900.1), None),
        (even(66), Shift(8, timedelta(hours=1))),
        (even(67), None),
        (even(-60, n0=-400, n9=700), Shift(8, timedelta(hours=-1))),
        (even(-60, n0=-400, n1=-300), None),
        (even(-60, n8=300, n9=700), None),
        (even(-60, n1=-66, n2=-66), Shift(8, timedelta(hours=-1))),
        (even(-62, n0=-66.5, n1=-66.5, n2=-66.5, n3=-66.5), Shift(8, -4 * QUARTER)),
        (even(-60, n0=-67, n1=-66.1), None),
        (even(-60, 20, n0=0, n1=0), Shift(16, timedelta(hours=-1))),
        (even(-60, n0=-62, n1=-62, n2=-62, n3=-62, n4=-62), Shift(8, -4 * QUARTER)),
    ],
)
def test_a_shift_is_what_the_middle_four_fifths_agree_on(
    appearances: list[Appearance], shift: Shift | None
) -> None:
    """Within six minutes of each other, and of a multiple of a quarter of an hour."""
    assert find_shift(appearances) == shift


def test_a_shift_needs_three_moments_of_appearance() -> None:
    """An import appears at one moment."""
    stamps = [-60.0 + n / 100 for n in range(12)]
    assert find_shift(appearances_of(stamps, [0.0] * 6 + [0.1] * 6)) is None
    assert find_shift(appearances_of(stamps, [0.0] * 4 + [0.1] * 4 + [0.2] * 4))


@pytest.mark.parametrize(
    ("offset", "read_as", "fits"),
    [(-1, 1, ["UTC"]), (-6, 1, ["America/New_York"]), (5, -5, ["UTC"]), (3, 1, [])],
)
def test_the_matching_zone_is_named(offset: int, read_as: int, fits: list[str]) -> None:
    """The one whose clock shows the shop's times."""
    zones = {
        "UTC": timedelta(0),
        "Europe/Amsterdam": timedelta(hours=1),
        "America/New_York": timedelta(hours=-5),
    }
    shift = Shift(10, timedelta(hours=offset))
    assert fitting_zones(shift, timedelta(hours=read_as), zones) == fits
