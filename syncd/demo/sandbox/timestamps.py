"""Times as Squeezely reads and shows them: Europe/Amsterdam, whole seconds."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
_BEGINS_WITH_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class TimestampError(ValueError):
    """A `timestamp` in a form that Squeezely answers with `TIMESTAMP_ERROR`."""


def shown(value: object) -> str:
    """Turn an event's `timestamp` into "YYYY-MM-DD HH:mm:ss" in Amsterdam.

    Args:
        value: Whole Unix seconds, or a datetime that begins YYYY-mm-dd; without
            an offset it is Amsterdam time already.

    Raises:
        TimestampError: The value has another form, or is outside years 1 to 9999.

    Source: SQUEEZELY.md 2.2.
    """
    try:
        return _wall_time(_moment(value))
    except (ValueError, OverflowError, OSError) as error:
        raise TimestampError("TIMESTAMP_ERROR") from error


def _moment(value: object) -> datetime:
    if isinstance(value, int) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str) and _BEGINS_WITH_DATE.match(value):
        return datetime.fromisoformat(value)
    raise TimestampError("neither Unix seconds nor YYYY-mm-dd")


def _wall_time(moment: datetime) -> str:
    """Drop the zone after moving an aware moment to Amsterdam."""
    local = moment.astimezone(AMSTERDAM) if moment.tzinfo else moment
    return local.replace(tzinfo=None, microsecond=0).isoformat(" ")


def shown_moment(moment: datetime) -> str:
    """Show an aware `moment` as "YYYY-MM-DD HH:mm:ss" in Amsterdam."""
    return _wall_time(moment)
