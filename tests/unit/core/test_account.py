"""Reconciliation: tallies add up, ranges are cut correctly, times are parsed."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.cli.context import read_moment
from syncd.config.settings import Settings, SqueezelySettings
from syncd.core.intervals import Interval
from syncd.core.tally import ReconciliationTally, moment, sentence, tally_of
from syncd.diagnostics.check.server import short_span
from syncd.diagnostics.check.stamps import recommended

START = datetime(2026, 11, 1, tzinfo=UTC)


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def test_an_empty_interval_is_an_error() -> None:
    """Nothing lies between a time and itself."""
    with pytest.raises(ValueError, match=r"^an empty span$"):
        Interval(START, START)


@given(st.lists(st.integers(0, 1000), min_size=13, max_size=13))
def test_tallies_add_up(counts: list[int]) -> None:
    """Each order is in one number; captured ones are among the missing."""
    account = ReconciliationTally(*counts)
    assert account.confirmed == sum(counts[:-1])
    assert account.unexplained == account.missing - account.captured


def test_every_standing_is_counted() -> None:
    """A batch that ended without its order leaves it unexplained."""
    standings = {"sending": 1, "pending": 2, "delivered": 3, "emptied": 4}
    assert tally_of(standings) == ReconciliationTally(pending=3, delivered=3, missing=4)


@pytest.mark.parametrize(
    ("unreadable", "words"),
    [
        (1, "1 cannot be read, and is not accounted for"),
        (1_200, "1,200 cannot be read, and are not accounted for"),
    ],
)
def test_with_unreadable_orders_the_sentence_claims_nothing_unexplained(
    unreadable: int, words: str
) -> None:
    """It is unknown whether an unreadable order is explained."""
    lower, upper = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
    line = sentence(lower, upper, ReconciliationTally(delivered=3), 0, unreadable)
    assert line == (
        "between 2026-11-01T00:00:00Z and 2026-11-02T00:00:00Z: 3 confirmed, "
        f"3 delivered; {words}"
    )


def test_an_interval_excludes_its_lower_end() -> None:
    """It is not empty if its upper end is later."""
    lower, upper = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
    assert Interval(lower, upper).upper == upper


def test_the_sentence_names_the_range_and_every_nonzero_number() -> None:
    """It also names the orders that lie in no range."""
    account = ReconciliationTally(
        delivered=1201, pending=2, rejected=1, missing=3, captured=3
    )
    assert sentence(at(0), at(48), account) == (
        "between 2026-11-01T00:00:00Z and 2026-11-03T00:00:00Z: 1,207 confirmed, "
        "1,201 delivered, 2 pending, 1 rejected, 3 missing (3 captured now), "
        "0 unexplained"
    )
    account = ReconciliationTally(4, reused=3, initial=1000, arriving=1)
    assert sentence(at(1), at(5), account, 3) == (
        "between 2026-11-01T01:00:00Z and 2026-11-01T05:00:00Z: 1,008 confirmed, "
        "4 delivered, 3 under a reused key, 1,000 from before the start, "
        "1 yet to be captured, 0 unexplained; 3 confirmed without a usable time, "
        "and not sent"
    )


def test_the_sentence_has_a_word_for_each_number() -> None:
    """No number is omitted."""
    assert sentence(at(0), at(1), ReconciliationTally(*range(1, 14))) == (
        "between 2026-11-01T00:00:00Z and 2026-11-01T01:00:00Z: 78 confirmed, "
        "1 delivered, 2 pending, 3 adopted, 4 rejected, 5 withdrawn, 6 held, "
        "7 discarded, 8 erased, 9 under a reused key, 10 from before the start, "
        "11 yet to be captured, 12 missing (13 captured now), -1 unexplained"
    )


def test_a_time_is_printed_in_utc_whatever_the_machines_zone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sentence means the same everywhere."""
    with monkeypatch.context() as zone:
        zone.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        written = moment(START)
    time.tzset()
    assert written == "2026-11-01T00:00:00Z"


SETTINGS = Settings.model_validate(
    {
        "source": {"time_zone": "Europe/Amsterdam"},
        "squeezely": SqueezelySettings(account="SQ-1", api_key_file=Path("x")),
    }
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31", datetime(2026, 1, 30, 23, tzinfo=UTC)),
        ("2026-07-01T12:00", datetime(2026, 7, 1, 10, tzinfo=UTC)),
        (" 2026-01-31T12:00+05:00 ", datetime(2026, 1, 31, 7, tzinfo=UTC)),
    ],
)
def test_a_given_time_is_in_the_configured_zone(text: str, expected: datetime) -> None:
    """A time that names its own zone is in that one."""
    assert read_moment(text, SETTINGS, "--to") == expected


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("now", timedelta(0)),
        ("90 days ago", timedelta(days=90)),
        ("1 Hour ago", timedelta(hours=1)),
        ("2 weeks ago", timedelta(weeks=2)),
    ],
)
def test_a_time_may_be_given_as_a_duration_ago(text: str, span: timedelta) -> None:
    """The duration is elapsed time, whatever clocks did meanwhile."""
    then = datetime.now(UTC) - span
    assert abs(read_moment(text, SETTINGS, "--to") - then) < timedelta(seconds=5)


def test_yesterday_began_at_its_midnight() -> None:
    """The midnight is that of the configured zone."""
    today = read_moment("today", SETTINGS, "--to")
    yesterday = read_moment("Yesterday", SETTINGS, "--to")
    assert timedelta(hours=22) < today - yesterday < timedelta(hours=26)
    assert today <= datetime.now(UTC) < today + timedelta(hours=26)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2026-13-01",
        "999999 weeks ago",
        "2999-01-01",
        "0001-01-01T00:00",
        "5",
    ],
)
def test_an_invalid_time_is_reported_in_one_line(text: str) -> None:
    """It quotes the text and names the option."""
    with pytest.raises(click.BadParameter, match=r"is not a valid time|in the future"):
        read_moment(text, SETTINGS, "--to")


@pytest.mark.parametrize(
    ("delay", "setting"),
    [
        (0, "10s"),
        (6.6, "10s"),
        (7, "30s"),
        (1200, "30m"),
        (28_000, "12h"),
        (90_000, "2d"),
    ],
)
def test_a_recommended_lookback_has_a_margin(delay: float, setting: str) -> None:
    """The recommendation is rounded up to a usual setting."""
    assert recommended(delay) == setting


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.25 s"), (59, "59 s"), (90, "1.5 m"), (7200, "2 h"), (200_000, "2.31 d")],
)
def test_a_duration_is_printed_in_its_largest_unit(seconds: float, text: str) -> None:
    """The number has three digits."""
    assert short_span(timedelta(seconds=seconds)) == text
