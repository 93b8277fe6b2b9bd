"""Times as the vendor reads them: wall time in Amsterdam, with the offset."""

from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from syncd.core.amount import MAX_AMOUNT

VENDOR_ZONE = ZoneInfo("Europe/Amsterdam")
"""The zone in which Squeezely reads and shows times (documented as "CET")."""


def vendor_time(value: object, zone: tzinfo, now: datetime) -> str:
    """Write a time as ATOM does: local to the vendor, whole seconds, numeric offset.

    Right when the API honours the offset, and still right when it ignores it. A time
    that is still to come is written as `now`.

    Raises:
        ValueError: The value is no time.
    """
    try:
        moment = min(_moment(value, zone).astimezone(UTC), now)
        return moment.astimezone(VENDOR_ZONE).isoformat(timespec="seconds")
    except (OverflowError, OSError, InvalidOperation) as error:
        raise ValueError(value) from error


def _moment(value: object, zone: tzinfo) -> datetime:
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str):
        moment = datetime.fromisoformat(value)
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        seconds = Decimal(value)
        if seconds.copy_abs() > MAX_AMOUNT:  # int() of 1E+999999 takes minutes
            raise OverflowError
        moment = datetime.fromtimestamp(int(seconds), UTC)
    else:
        raise ValueError(value)  # noqa: TRY004  # the caller reads one kind
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
