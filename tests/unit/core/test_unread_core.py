"""How long unreadable orders wait, when a row is at fault, the size of a read."""

from datetime import UTC, datetime, timedelta

import pytest

from syncd.core.read_history import BLAME_AFTER, ReadHistory, ReadSize, halves, wait_of

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("waited", "wait"), [(None, 15), (1, 15), (40, 40), (299, 299), (4000, 300)]
)
def test_a_wait_grows_with_the_time_waited(waited: int | None, wait: int) -> None:
    """It grows from 15 s up to 5 min."""
    failed_at = None if waited is None else NOW - timedelta(seconds=waited)
    assert wait_of(failed_at, NOW) == timedelta(seconds=wait)


def test_a_row_is_at_fault_after_minutes_while_others_are_readable() -> None:
    """Not at once, not while nothing else is readable, not when many fail."""
    failed_at = NOW - BLAME_AFTER
    history = ReadHistory()
    history.note_failed()
    assert not history.may_blame(failed_at, NOW)
    history.note_read(0, NOW)
    assert not history.may_blame(failed_at, NOW)
    history.note_read(20, NOW - timedelta(seconds=1))
    assert history.may_blame(failed_at, NOW)
    assert not history.may_blame(None, NOW)
    assert not history.may_blame(failed_at + timedelta(seconds=1), NOW)
    history.note_failed(30)
    assert not history.may_blame(failed_at, NOW)
    for _ in range(20):
        history.note_read(50, NOW)
    assert history.may_blame(failed_at, NOW)


@pytest.mark.parametrize(
    ("failures", "reads", "blames"),
    [
        ((1,), (1,), True),
        ((1,) * 5, (10, 10), True),
        ((1,) * 5, (20,), True),
        ((1,) * 5, (19,), False),
        ((2, 3), (19,), False),
        ((4,), (9,), True),
        ((12,), (100,), True),
        ((60,), (201,), True),  # a few minutes of trouble are forgotten
    ],
)
def test_a_row_is_not_at_fault_when_too_many_fail_like_it(
    failures: tuple[int, ...], reads: tuple[int, ...], *, blames: bool
) -> None:
    """Five, and more than a fifth of those that were read."""
    history = ReadHistory()
    for orders in failures:
        history.note_failed() if orders == 1 else history.note_failed(orders)
    for orders in reads:
        history.note_read(orders, NOW)
    assert history.may_blame(NOW - BLAME_AFTER, NOW) is blames


def test_only_reads_after_its_failure_count_against_a_row() -> None:
    """Others must have been read since."""
    history = ReadHistory()
    history.note_failed()
    history.note_read(20, NOW - BLAME_AFTER)
    assert not history.may_blame(NOW - BLAME_AFTER, NOW)


def test_the_size_of_reads_shrinks_at_once_and_grows_while_they_are_fast() -> None:
    """Never below one order, never above a batch."""
    size = ReadSize(100)
    assert size.is_whole
    size.failed(100)
    size.failed(25)
    assert size.at_most == 12
    assert list(size.pieces("abc")) == [["a", "b", "c"]]
    size.worked(12, 0.5)
    size.worked(3, 0.01)
    assert size.at_most == 12
    for _ in range(9):
        size.worked(100, 0.01)
    assert size.is_whole
    size.failed(1)
    assert size.at_most == 1
    assert list(size.pieces("ab")) == [["a"], ["b"]]
    assert halves("abc") == (["a", "b"], ["c"])
    assert halves("abcd") == (["a", "b"], ["c", "d"])


def test_a_read_doubles_when_it_was_full_and_fast() -> None:
    """It does not after fewer orders, or after a quarter of the time limit."""
    size = ReadSize(100)
    size.failed(20)
    assert size.at_most == 10
    size.worked(9, 0.01)
    size.worked(10, 0.25)
    assert size.at_most == 10
    size.worked(10, 0.24)
    assert size.at_most == 20
