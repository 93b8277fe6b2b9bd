import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.schedule import (
    GROWTH,
    OFFERED_SECONDS,
    QUICK_SECONDS,
    REST,
    SOON_SECONDS,
    PollSchedule,
)

LONGEST = 5.0


def waits(schedule: PollSchedule, polls: int, took: float = 0.0) -> list[float]:
    """Run polls that find nothing; return the wait after each."""
    now, found = 0.0, []
    for _ in range(polls):
        schedule.found_nothing(now, took, LONGEST)
        found.append(schedule.seconds(now))
        now += found[-1]
    return found


def test_the_first_poll_is_due_at_once() -> None:
    """After a start, earlier changes are waiting."""
    assert PollSchedule().seconds(0.0) == 0.0


def test_polls_become_rarer_up_to_a_limit() -> None:
    """Each wait grows by a factor, up to the limit."""
    found = waits(PollSchedule(), 12)
    soon = [SOON_SECONDS, SOON_SECONDS * GROWTH, SOON_SECONDS * GROWTH**2]
    assert found[:3] == pytest.approx(soon)
    assert found[-3:] == pytest.approx([LONGEST] * 3)


def test_a_shorter_limit_applies_from_the_next_poll_on() -> None:
    """Notifications are lost: the waits become shorter."""
    schedule = PollSchedule()
    waits(schedule, 12)
    schedule.found_nothing(0.0, 0.0, 0.1)
    assert schedule.seconds(0.0) == 0.1


def test_a_find_and_a_notification_reset_the_schedule() -> None:
    """After a find the next poll is soon, after a notification at once."""
    schedule = PollSchedule()
    waits(schedule, 12)
    schedule.found(100.0, 0.0, is_all=True)
    assert schedule.seconds(100.0) == pytest.approx(SOON_SECONDS)
    schedule.notified()
    assert schedule.seconds(100.0) == 0.0
    schedule.found_nothing(100.0, 0.0, LONGEST)
    assert schedule.seconds(100.0) == pytest.approx(SOON_SECONDS)


def test_the_poll_after_a_find_counts_as_the_first_empty_one() -> None:
    """The poll after that one is therefore rarer already."""
    schedule = PollSchedule()
    schedule.found(100.0, 0.0, is_all=True)
    schedule.found_nothing(100.01, 0.0, LONGEST)
    assert schedule.seconds(100.01) == pytest.approx(SOON_SECONDS * GROWTH)


def test_a_notification_does_not_shorten_the_pause_after_a_long_poll() -> None:
    """The pause holds although the poll found something."""
    schedule = PollSchedule()
    schedule.found(100.0, QUICK_SECONDS + 1.0, is_all=True)
    schedule.notified()
    assert schedule.seconds(100.0) == pytest.approx(SOON_SECONDS)


def test_an_offer_postpones_the_poll_a_little() -> None:
    """After the last offer; then polls become rarer."""
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
    """The time that the page took does not matter."""
    schedule = PollSchedule()
    schedule.found(7.0, 0.5, is_all=False)
    assert schedule.seconds(7.0) == 0.0


@given(st.floats(0.0, 1.0), st.integers(1, 20))
def test_polling_takes_a_limited_share_of_the_databases_time(
    took: float, polls: int
) -> None:
    """A notification for every poll, as with a bloated outbox, changes nothing."""
    schedule, now = PollSchedule(), 0.0
    for _ in range(polls):
        now += took
        schedule.found_nothing(now, took, LONGEST)
        schedule.notified()
        rest = max(0.0, took - QUICK_SECONDS) * REST
        assert abs(schedule.seconds(now) - rest) < 1e-9
        now += schedule.seconds(now)
