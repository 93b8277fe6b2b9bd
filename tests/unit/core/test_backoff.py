from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.backoff import BASE, CAP, delay

ALMOST_ONE = 0.9999999

UNITS = st.floats(0, 1, exclude_max=True)


def test_the_bounds_are_a_second_and_five_minutes() -> None:
    """The usual values of the field: an outage of minutes costs minutes."""
    assert timedelta(seconds=1) == BASE
    assert timedelta(minutes=5) == CAP


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(1, 1), (2, 2), (3, 4), (8, 128), (9, 256), (10, 300), (11, 300), (10**9, 300)],
)
def test_the_upper_bound_doubles_with_each_failure_up_to_the_cap(
    failures: int, seconds: int
) -> None:
    """A random 0.5 gives half the bound, however many failures there were."""
    assert delay(failures, 0.5) == timedelta(seconds=seconds) / 2


def test_jitter_reaches_down_to_zero() -> None:
    """Full jitter: the wait is drawn from the whole range, not from its upper half."""
    assert delay(7, 0.0) == timedelta(0)


def test_base_and_cap_can_be_given() -> None:
    """The circuit breaker uses the same rule with bounds of its own."""
    base, cap = timedelta(seconds=30), timedelta(minutes=1)

    assert delay(1, 0.5, base=base, cap=cap) == timedelta(seconds=15)
    assert delay(4, 0.5, base=base, cap=cap) == timedelta(seconds=30)


def test_a_cap_below_the_base_applies() -> None:
    """The cap is the upper bound of all waits, also the first one."""
    cap = timedelta(milliseconds=100)

    assert delay(1, ALMOST_ONE, cap=cap) <= cap


@given(failures=st.integers(1, 10**6), unit=UNITS)
def test_a_wait_is_never_negative_nor_above_the_cap(failures: int, unit: float) -> None:
    """This holds for every number of failures and every random number."""
    assert timedelta(0) <= delay(failures, unit) <= CAP


@given(failures=st.integers(1, 60), unit=UNITS)
def test_another_failure_never_shortens_the_wait(failures: int, unit: float) -> None:
    """With the same random number, more failures never mean a shorter wait."""
    assert delay(failures, unit) <= delay(failures + 1, unit)
