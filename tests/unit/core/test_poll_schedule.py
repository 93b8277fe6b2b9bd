import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.poll_schedule import (
    GROWTH,
    OFFERED_SECONDS,
    QUICK_SECONDS,
    REST,
    SOON_SECONDS,
    PollSchedule,
)

LONGEST = 5.0


def waits(schedule: PollSchedule, looks: int, took: float = 0.0) -> list[float]:
    """Let looks find nothing; list how long each waits for the next."""
    now, found = 0.0, []
    for _ in range(looks):
        schedule.found_nothing(now, took, LONGEST)
        found.append(schedule.seconds(now))
        now += found[-1]
    return found


def test_the_first_look_is_due_at_once() -> None:
    """After a start, what was touched meanwhile waits."""
    assert PollSchedule().seconds(0.0) == 0.0


def test_looks_become_rarer_up_to_a_limit() -> None:
    """Each wait is so much longer, and none longer than allowed."""
    found = waits(PollSchedule(), 12)
    soon = [SOON_SECONDS, SOON_SECONDS * GROWTH, SOON_SECONDS * GROWTH**2]
    assert found[:3] == pytest.approx(soon)
    assert found[-3:] == pytest.approx([LONGEST] * 3)


def test_a_shorter_limit_counts_from_the_next_look_on() -> None:
    """Notifications are lost: the waits end sooner."""
    schedule = PollSchedule()
    waits(schedule, 12)
    schedule.found_nothing(0.0, 0.0, 0.1)
    assert schedule.seconds(0.0) == 0.1


def test_a_find_and_a_notification_begin_anew() -> None:
    """What was found is looked after soon, what was notified of now."""
    schedule = PollSchedule()
    waits(schedule, 12)
    schedule.found(100.0, 0.0, is_all=True)
    assert schedule.seconds(100.0) == pytest.approx(SOON_SECONDS)
    schedule.notified()
    assert schedule.seconds(100.0) == 0.0
    schedule.found_nothing(100.0, 0.0, LONGEST)
    assert schedule.seconds(100.0) == pytest.approx(SOON_SECONDS)


def test_the_look_after_a_find_is_the_first_of_those_that_find_nothing() -> None:
    """So that the one after it is rarer already."""
    schedule = PollSchedule()
    schedule.found(100.0, 0.0, is_all=True)
    schedule.found_nothing(100.01, 0.0, LONGEST)
    assert schedule.seconds(100.01) == pytest.approx(SOON_SECONDS * GROWTH)


def test_a_notification_does_not_shorten_the_rest_after_a_long_look() -> None:
    """Although something was found."""
    schedule = PollSchedule()
    schedule.found(100.0, QUICK_SECONDS + 1.0, is_all=True)
    schedule.notified()
    assert schedule.seconds(100.0) == pytest.approx(SOON_SECONDS)


def test_what_is_offered_is_looked_for_a_little_later() -> None:
    """After the last offer; then ever more rarely."""
    schedule = PollSchedule()
    waits(schedule, 12)
    schedule.found_nothing(100.0, 0.0, LONGEST)
    schedule.offered(100.0)
    assert schedule.seconds(100.0) == pytest.approx(OFFERED_SECONDS)
    schedule.offered(100.03)
    assert schedule.seconds(100.03) == pytest.approx(OFFERED_SECONDS)
    schedule.found_nothing(100.08, 0.0, LONGEST)
    assert schedule.seconds(100.08) == pytest.approx(OFFERED_SECONDS)


def test_a_full_page_is_followed_by_the_next() -> None:
    """Whatever it took."""
    schedule = PollSchedule()
    schedule.found(7.0, 0.5, is_all=False)
    assert schedule.seconds(7.0) == 0.0


@given(st.floats(0.0, 1.0), st.integers(1, 20))
def test_looking_takes_a_share_of_the_databases_time_at_most(
    took: float, looks: int
) -> None:
    """Also when every look is notified at: a bloated outbox does not keep it busy."""
    schedule, now = PollSchedule(), 0.0
    for _ in range(looks):
        now += took
        schedule.found_nothing(now, took, LONGEST)
        schedule.notified()
        rest = max(0.0, took - QUICK_SECONDS) * REST
        assert abs(schedule.seconds(now) - rest) < 1e-9
        now += schedule.seconds(now)
