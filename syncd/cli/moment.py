"""Times as people write them: a date, a time, or "2 hours ago"."""

import re
from datetime import UTC, datetime, time, timedelta

import click

from syncd.config.settings import Settings
from syncd.delivery.rendering import rules_of

_AGO = re.compile(r"(\d{1,6}) (second|minute|hour|day|week)s? ago")
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_EXAMPLES = '2026-01-31, 2026-01-31T12:00+01:00, "90 days ago", yesterday or now'


def read_moment(text: str, settings: Settings, option: str) -> datetime:
    """Read a time; one without a zone is in the configured one.

    Raises:
        click.BadParameter: It is not a time, in the future, or before 1970.
    """
    now = datetime.now(UTC)
    moment = _read(text.strip(), now.astimezone(rules_of(settings).zone))
    if moment is None:
        raise click.BadParameter(
            f"{text!r} is not a valid time, e.g. {_EXAMPLES}", param_hint=option
        )
    if moment > now:
        raise click.BadParameter(f"{text} is in the future", param_hint=option)
    if moment < _EARLIEST:
        raise click.BadParameter(f"{text} is before 1970", param_hint=option)
    return moment


def _read(text: str, now: datetime) -> datetime | None:
    midnight = datetime.combine(now.date(), time(), now.tzinfo)
    words = {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if text.lower() in words:
        return words[text.lower()]
    try:
        if ago := _AGO.fullmatch(text.lower()):
            # of real time: in UTC, whatever the local clocks did meanwhile
            span = timedelta(**{f"{ago[2]}s": int(ago[1])})
            return now.astimezone(UTC) - span
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
