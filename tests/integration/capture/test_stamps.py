"""Stamps that are off by a zone's offset are reported within minutes, with the zone."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from support.clock import Clock
from support.poll_harness import PollHarness
from support.shop import Shop

from syncd.capture.stamps import Appearances, StampWatch
from syncd.capture.tuning import StampTuning
from syncd.core.cause import Place
from syncd.core.errors import SyncdError, ViewFailedError
from syncd.core.schedule import Turn
from syncd.log.log import Log
from syncd.postgres.statements import Statement

pytestmark = pytest.mark.db
T = TypeVar("T")

WRITTEN = (
    "INSERT INTO orders (confirmed_at) VALUES (clock_timestamp() + '{}'::interval)"
)
ZONES = [("-1 hour", "Europe/Amsterdam", "UTC"), ("5 hours", "America/New_York", "UTC"),
         ("-6 hours", "Europe/Amsterdam", "America/New_York")]  # fmt: skip


@pytest.fixture(params=ZONES)
def shifted(
    shop: Shop, request: pytest.FixtureRequest
) -> Iterator[tuple[PollHarness, str, str]]:
    """A feed that reads the shop's stamps in the wrong zone: offset, matching zone."""
    offset, read_as, fits = request.param
    capture = PollHarness(shop, lookback=timedelta(minutes=5), time_zone=read_as)
    yield capture, offset, fits
    capture.database.close()


class ClockedWatch(StampWatch):
    """A check of a feed's stamps, with a clock that the test moves.

    Args:
        capture: The feed's.
        slow_by: Seconds that reading the views seems to take.
    """

    def __init__(self, capture: PollHarness, *, slow_by: float = 0) -> None:
        self.clock = Clock()
        tuning = StampTuning(clock=self.clock)

        def slowly(read: Callable[[], T]) -> T:
            self.clock.advance(slow_by)
            return read()

        arguments = capture.source, capture.ledger, Log("shop")
        super().__init__(*arguments, reading=slowly, tuning=tuning)


def sell(shop: Shop, watch: ClockedWatch, offset: str, orders: int = 12) -> None:
    """Confirm orders one by one; check the stamps after each, as if time had passed."""
    for _ in range(orders):
        shop.sql(WRITTEN.format(offset))
        watch.clock.advance(3600)
        watch.check()


def test_an_offset_is_reported_with_the_matching_zone(
    shop: Shop, shifted: tuple[PollHarness, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For both directions, in log and status; the alarm ends with correct stamps."""
    capture, offset, fits = shifted
    reasons: list[str] = []
    monkeypatch.setattr(
        Log, "emit_folded", lambda _, event, *_r, **_f: reasons.append(event)
    )
    shop.confirm(3)
    shop.sql("UPDATE orders SET confirmed_at = now() - interval '2 days'")
    watch = ClockedWatch(capture)
    sell(shop, watch, offset)
    (reason,) = shop.alarms("stamps.shifted")
    assert reason.endswith(f"source.time_zone is probably {fits}")
    assert "stamps.shifted" in reasons
    shop.sql("DELETE FROM orders")
    sell(shop, watch, "0", 40)
    assert shop.alarms("stamps.shifted") == []


def test_stamps_outside_the_range_of_datetime_are_ignored(shop: Shop) -> None:
    """The check works however few other orders there are."""
    capture = PollHarness(shop, lookback=timedelta(minutes=5))
    with closing(capture.database):
        for stamp in ("-infinity", "0044-03-15 BC", "infinity"):
            shop.sql(f"INSERT INTO orders (confirmed_at) VALUES ('{stamp}')")
        shop.confirm(2)
        assert len(capture.source.newest_stamps(50)) == 2


def test_an_unreadable_stamp_is_reported_as_an_error_of_the_view(shop: Shop) -> None:
    """The check does not crash: it tries again later."""
    capture = PollHarness(shop, lookback=timedelta(minutes=5))
    before = Statement(b"SELECT '-infinity'::timestamptz", Place.CONFIRMED)
    with closing(capture.database), pytest.raises(ViewFailedError, match="22008"):
        capture.database.values(datetime, before)


def test_a_slow_check_that_fails_pauses_like_any_other(shop: Shop) -> None:
    """A slow check does not read the views again at once."""
    capture = PollHarness(shop, lookback=timedelta(minutes=5))
    with closing(capture.database):
        watch = ClockedWatch(capture, slow_by=2)
        shop.sql("ALTER VIEW syncd.confirmed_orders RENAME TO away")
        with pytest.raises(SyncdError):
            watch.check()
        watch.clock.advance(90)
        assert watch.check() is Turn.NOT_DUE
        watch.clock.advance(15)
        with pytest.raises(SyncdError):
            watch.check()


def test_correct_stamps_raise_no_alarm(shop: Shop) -> None:
    """An import of an hour's orders raises none either."""
    capture = PollHarness(shop, lookback=timedelta(minutes=5))
    with closing(capture.database):
        watch = ClockedWatch(capture)
        sell(shop, watch, "-2 min")
        shop.sql(
            "INSERT INTO orders (confirmed_at) SELECT now() - n * interval '1 s' "
            "- interval '1 hour' FROM generate_series(1, 50) AS n"
        )
        sell(shop, watch, "0")
    assert shop.alarms("stamps.shifted") == []


def test_an_order_that_moves_up_is_not_new() -> None:
    """When the newest order is withdrawn, an older one takes its place in the list."""
    appearances = Appearances(by_stamp=True)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    orders = [(str(n), start + timedelta(minutes=n), start) for n in range(60)]
    appearances.take(orders[10:])
    appearances.take(orders[9:59])
    assert appearances.count == 0
    appearances.take(orders[10:])
    assert appearances.count == 1
