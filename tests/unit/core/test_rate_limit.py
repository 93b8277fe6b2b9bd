from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.rate_limit import (
    COMPLAINT_SECONDS,
    LEAST_SHARE,
    SHARE_STEP,
    AdaptiveRate,
    Bucket,
)

Events = list[tuple[float, int]]
"""Batches with a time (or the pause before them) and their number of events."""

RATES = st.floats(0.1, 1_000)
VISITS = st.lists(
    st.tuples(st.floats(0, 20), st.integers(1, 500)), min_size=1, max_size=12
)


def let_through(rate: float, visits: Events, *, alone: bool) -> Events:
    """Replay visits (pause before, events); a single sender waits before the next."""
    bucket, now = Bucket(rate), 1_000.0
    sent: Events = []
    for pause, events in visits:
        now += pause
        wait = bucket.take(events, now)
        sent.append((now + wait, events))
        now += wait if alone else 0
    return sent


def test_a_new_bucket_allows_the_events_of_a_second_at_once() -> None:
    """The first batch after a start does not wait."""
    assert Bucket(10).take(10, 0.0) == 0


def test_events_beyond_a_seconds_worth_wait() -> None:
    """Ten are free at ten a second, the eleventh costs a tenth of a second."""
    bucket = Bucket(10)
    bucket.take(10, 5.0)

    assert bucket.take(1, 5.0) == pytest.approx(0.1)


def test_a_batch_above_the_rate_is_sent_and_the_next_one_waits() -> None:
    """A batch size above the rate slows sending, it never blocks it."""
    bucket = Bucket(10)

    first = bucket.take(100, 0.0)
    second = bucket.take(10, first)

    assert first == pytest.approx(9.0)
    assert second == pytest.approx(1.0)


def test_batches_in_flight_together_queue_up() -> None:
    """Each that comes at the same moment waits for all before it."""
    bucket = Bucket(10)

    assert [bucket.take(10, 0.0) for _ in range(3)] == pytest.approx([0, 1, 2])


def test_a_long_pause_accumulates_no_more_than_a_seconds_worth() -> None:
    """After a quiet night the account is not flooded."""
    bucket = Bucket(10)
    bucket.take(1, 0.0)

    assert bucket.take(10, 86_400.0) == 0
    assert bucket.take(10, 86_400.0) == pytest.approx(1.0)


def test_a_rate_below_one_a_second_waits_between_single_events() -> None:
    """`rate = 0.5` means one event every two seconds."""
    bucket = Bucket(0.5)
    now = bucket.take(1, 0.0)

    assert bucket.take(1, now) == pytest.approx(2.0)


def test_no_rate_means_no_wait() -> None:
    """`rate = "unlimited"` lets any batches through at once."""
    bucket = Bucket(None)

    assert [bucket.take(events, 0.0) for events in (1, 10**9, 100)] == [0, 0, 0]


@given(rate=RATES, visits=VISITS, alone=st.booleans())
def test_no_span_of_time_exceeds_the_rate(
    rate: float, visits: Events, *, alone: bool
) -> None:
    """Any span lets through at most rate x (span + 1 s) and one largest batch."""
    sent = let_through(rate, visits, alone=alone)
    largest = max(events for _, events in sent)
    totals = [0, *accumulate(events for _, events in sent)]

    for first, (begin, _) in enumerate(sent):
        for last in range(first, len(sent)):
            span = sent[last][0] - begin
            events = totals[last + 1] - totals[first]
            assert events <= rate * (span + 1) + largest + 1e-6


@given(rate=RATES, visits=VISITS)
def test_sending_is_never_slower_than_the_rate(rate: float, visits: Events) -> None:
    """A wait never exceeds what the events so far cost at the full rate."""
    bucket, now, spent = Bucket(rate), 0.0, 0
    for pause, events in visits:
        now += pause
        spent += events
        assert 0 <= bucket.take(events, now) <= spent / rate + 1e-6


def test_a_lower_rate_factor_takes_longer() -> None:
    """Half the factor doubles the wait."""
    whole, half = Bucket(10), Bucket(10)
    assert whole.take(30, 0.0) == pytest.approx(2.0)
    assert half.take(30, 0.0, 0.5) == pytest.approx(5.0)


@given(st.lists(st.none() | st.floats(0, 60)))
def test_the_rate_factor_stays_within_its_bounds(course: list[float | None]) -> None:
    """This holds for any sequence of accepted and throttled batches."""
    throttle, now = AdaptiveRate(), 0.0
    for pause in course:
        before = throttle.share
        if pause is None:
            throttle.speed_up()
            assert throttle.share == min(1.0, before + SHARE_STEP)
        else:
            now += pause
            throttle.slow_down(now)
            assert throttle.share in {before, max(LEAST_SHARE, before / 2)}
        assert LEAST_SHARE <= throttle.share <= 1


def test_simultaneous_throttling_counts_once() -> None:
    """Sixteen requests in flight, all answered 429, halve the rate once."""
    throttle = AdaptiveRate()
    for _ in range(16):
        throttle.slow_down(5.0)
    assert throttle.share == 0.5
    throttle.slow_down(5.0 + COMPLAINT_SECONDS)
    assert throttle.share == 0.25


@given(st.floats(0.05, 1))
def test_the_rate_approaches_the_apis_capacity(capacity: float) -> None:
    """It is at most a step above it, at least half below, and mostly near it."""
    throttle, seen = AdaptiveRate(), []
    for second in range(1_000):
        if throttle.share > capacity:
            throttle.slow_down(second * COMPLAINT_SECONDS)
        else:
            throttle.speed_up()
        seen.append(throttle.share)
    settled = seen[200:]
    assert max(settled) <= capacity + SHARE_STEP + 1e-9
    assert min(settled) >= min(capacity, 1.0) / 2 - 1e-9
    assert sum(settled) / len(settled) >= capacity * 0.6


def test_the_full_rate_is_restored() -> None:
    """Accepted batches raise the factor from its minimum."""
    throttle = AdaptiveRate(LEAST_SHARE)
    for _ in range(round(1 / SHARE_STEP)):
        throttle.speed_up()
    assert throttle.share == 1.0
