"""A time is an instant, wherever syncd runs."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from syncd.core.amount import MAX_AMOUNT
from syncd.core.field_value import vendor_time

NOW = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
TOKYO = ZoneInfo("Asia/Tokyo")


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the host's own zone to one that is 14 hours ahead of UTC."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "Pacific/Kiritimati")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (1_700_000_000, "2023-11-14T23:13:20+01:00"),
        ("2023-11-15T07:13:20", "2023-11-14T23:13:20+01:00"),
        ("9999-12-31T23:00:00Z", "2026-11-20T15:00:00+01:00"),
    ],
)
@pytest.mark.usefixtures("far_east")
def test_the_hosts_own_zone_changes_no_time(given: object, written: str) -> None:
    """Seconds are UTC, a time without a zone is in the given one."""
    assert vendor_time(given, TOKYO, NOW) == written


@pytest.mark.parametrize(
    "value", [[], 1.5, True, 10**20, Decimal("1E+999999"), Decimal("NaN")]
)
def test_an_invalid_time_is_named(value: object) -> None:
    """The error quotes a value of any type."""
    with pytest.raises(ValueError, match=re.escape(str(value))):
        vendor_time(value, UTC, NOW)


def test_seconds_beyond_the_calendar_are_refused() -> None:
    """Numbers above the greatest amount are not even converted."""
    with pytest.raises(ValueError, match="year"):
        vendor_time(int(MAX_AMOUNT), UTC, NOW)
