"""A report's period and plots: intervals, positions, labels."""

import re
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncd.core.verdict import Health, Severity
from syncd.core.verdict import HealthIssue as Need
from syncd.diagnostics.report.page import page, plots
from syncd.diagnostics.report.period import Period, Unit
from syncd.diagnostics.report.plot import HEIGHT, Plot, Series, duration, number
from syncd.diagnostics.report.report import (
    Figures,
    Finished,
    Lag,
    PastRange,
    Reason,
    Report,
)

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
ZONES = ["UTC", "Europe/Amsterdam", "America/Santiago", "Asia/Kolkata", "Asia/Beirut"]
HOSTILE = "</style><script>alert(1)</script>"


def period(hours: float, zone: str = "UTC") -> Period:
    lower = datetime(2026, 11, 1, tzinfo=UTC)
    return Period.of(lower, lower + timedelta(hours=hours), ZoneInfo(zone))


def plot(*values: float | None, is_line: bool = False) -> Plot:
    shown = duration if is_line else number
    series = [Series("a", "good", values)]
    return Plot("Title", "Told.", series, period(len(values)), shown, is_line=is_line)


@given(
    lower=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001
    span=st.timedeltas(timedelta(seconds=1), timedelta(days=2000)),
    zone=st.sampled_from(ZONES),
)
@example(datetime(2029, 10, 28, 0, 59, 9), timedelta(seconds=338), ZONES[1])  # noqa: DTZ001
@example(datetime(2023, 10, 29, 0, 4, 46), timedelta(seconds=1), ZONES[1])  # noqa: DTZ001
@example(datetime(2029, 3, 24, 23, 0, 45), timedelta(hours=59, minutes=21), ZONES[1])  # noqa: DTZ001
def test_the_intervals_of_a_period_are_contiguous(
    lower: datetime, span: timedelta, zone: str
) -> None:
    """None is empty, and none is longer than its unit."""
    start = lower.replace(tzinfo=UTC)
    made = Period.of(start, start + span, ZoneInfo(zone))
    ends = [*(s.astimezone(UTC) for s in made.starts), start + span]
    assert ends[0] == start
    longest = {Unit.HOUR: 1, Unit.DAY: 25, Unit.MONTH: 31 * 24 + 1}[made.unit]
    for one, other in pairwise(ends):
        assert timedelta(0) < other - one <= timedelta(hours=longest)
    assert len(made.starts) <= 402
    assert len(made.marked(10)) <= 10


@pytest.mark.parametrize(
    ("hours", "unit"),
    [(1, Unit.HOUR), (72, Unit.HOUR), (73, Unit.DAY), (9600, Unit.DAY),
     (9601, Unit.MONTH)],
)  # fmt: skip
def test_the_unit_follows_from_the_length_of_a_period(hours: float, unit: Unit) -> None:
    """Hours up to three days, days up to 400, months above."""
    assert period(hours).unit is unit


def test_a_repeated_hour_is_two_intervals() -> None:
    """When the clocks are set back; the names distinguish them."""
    lower = datetime(2026, 10, 24, 22, tzinfo=UTC)
    made = Period.of(lower, lower + timedelta(hours=25), AMSTERDAM)
    assert len(made.starts) == 25
    assert [made.name(place)[-10:] for place in (2, 3)] == ["02:00 CEST", " 02:00 CET"]


def test_hours_are_labelled_at_round_times() -> None:
    """The beginning of the period does not matter."""
    lower = datetime(2026, 11, 22, 4, 17, tzinfo=UTC)
    made = Period.of(lower, lower + timedelta(days=2), ZoneInfo("UTC"))
    assert [made.label(place) for place in made.marked(10)][:4] == [
        "06:00", "12:00", "18:00", "23 Nov",
    ]  # fmt: skip


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=60))
def test_bars_stay_within_their_plot_and_interval(values: list[int]) -> None:
    """A value above 0 is visible."""
    if not any(values):
        return
    made = plot(*values)
    bars = list(made.bars)
    assert len(bars) == sum(value > 0 for value in values)
    for bar in bars:
        assert bar.height >= 1
        assert bar.y >= -1
        assert bar.y + bar.height == pytest.approx(HEIGHT)
        assert 0 <= bar.x < bar.x + bar.width <= 100
    ticks = [tick.y for tick in made.ticks]
    assert 2 <= len(ticks) <= 5
    assert ticks == sorted(ticks, reverse=True)
    assert all(0 <= y <= HEIGHT for y in ticks)


@given(st.lists(st.none() | st.floats(-5, 1e10), min_size=1, max_size=60))
def test_lines_stay_within_their_plot_and_keep_gaps(
    values: list[float | None],
) -> None:
    """For small, large and negative values: clocks differ."""
    if all(value is None for value in values):
        return
    made = plot(*values, is_line=True)
    filled = {place for place, value in enumerate(values) if value is not None}
    pieces = list(made.segments)
    for piece in pieces:
        assert 0 <= piece.x1 <= piece.x2 <= 100
        assert piece.y1 <= HEIGHT
        assert piece.y2 <= HEIGHT
    places = {int(x * len(values) / 100) for p in pieces for x in (p.x1, p.x2)}
    assert places == filled
    assert 2 <= len(list(made.ticks)) <= 5


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0012, "0.0012 s"), (0.123, "0.12 s"), (12, "12 s"), (90, "1.5 min"),
     (9000, "2.5 h"), (1e8, "1,157.4 d")],
)  # fmt: skip
def test_durations_have_a_suitable_unit(seconds: float, words: str) -> None:
    """They have two significant digits."""
    assert duration(seconds) == words


def figures(orders: int = 3, reason: str = "email is missing") -> Figures:
    parts = period(2)
    none = [0, 0]
    return Figures(
        period=parts,
        orders={"delivered": [orders, 0], "pending": none, "held": none,
                "rejected": [0, orders], "discarded": none, "withdrawn": none,
                "erased": none, "adopted": none},
        delivered={"live": [orders, 0], "backfill": none},
        repeats=none,
        attempts={"accepted": [orders, 0], "refused": none, "client_refused": none,
                  "transient": none, "unread": none, "unclear": none,
                  "uncertain": none},
        lags=[Lag(0.1, 0.2, 0.3) if orders else None, None],
        lag=Lag(0.1, 0.2, 0.3) if orders else None,
        reasons=[Reason("rejected", reason, orders)],
        reconciled=[Finished(parts.upper, "hours", 1, 0, reason)],
        backfills=[],
    )  # fmt: skip


def made(data: Figures, *needs: Need) -> str:
    return page(Report("shop", data.period.upper, data, Health(needs)))


def test_the_page_escapes_the_ledgers_texts() -> None:
    """Whatever a reason is, it is no markup."""
    page = made(figures(reason=HOSTILE), Need(Severity.DOWN, HOSTILE, f"`{HOSTILE}`"))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 4


def test_the_page_allows_only_its_own_style() -> None:
    """Its policy has the digest of its style; it loads nothing."""
    page = made(figures())
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"default-src &#39;none&#39;; style-src &#39;sha256-{digest}&#39;" in page
    for loading in ("<script", "<link", "<img", "<iframe", "http:", "https:", "url(",
                    "@import", " style=", " src=", " href=", " onload="):  # fmt: skip
        assert loading not in page


def test_the_page_of_an_empty_ledger_is_short_and_gives_the_next_step() -> None:
    """The page has no empty plots."""
    page = made(figures(orders=0))
    assert "No order was confirmed" in page
    assert "syncd run" in page
    assert "<figure>" not in page


def test_every_plot_has_a_description_and_a_table() -> None:
    """They are for screen readers, and for exact figures."""
    page = made(figures())
    shown = [each for each in plots(figures()) if each.series]
    assert len(shown) == 5
    assert page.count('role="img"') == page.count("<details>") == len(shown)
    for each in shown:
        assert each.summary in page
        rows = list(each.rows)
        assert len(rows) == 2
        assert all(len(values) == len(each.series) for _, values in rows)


@pytest.mark.parametrize(
    ("purpose", "state", "expected"),
    [
        ("send", "running", ", still going on.</p>"),
        ("resend", "paused", ", sent again, paused.</p>"),
        ("adopt", "finished", ", adopted.</p>"),
        ("send", "cancelled", ", cancelled.</p>"),
    ],
)
def test_a_backfill_is_shown_with_its_end(
    purpose: str, state: str, expected: str
) -> None:
    """A cancelled one does not appear to run for ever."""
    end = datetime(2026, 1, 20, tzinfo=UTC)
    past = PastRange(end, end - timedelta(days=9), end, 5, None, purpose, state)
    page = " ".join(made(replace(figures(5), backfills=[past])).split())
    assert page.count(expected) == 1
