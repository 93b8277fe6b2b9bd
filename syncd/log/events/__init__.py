"""The catalogue of log events: level, fields, meaning and what to do.

One module for each area of the daemon; `EVENTS` holds them all.
"""

from collections.abc import Mapping

from syncd.log.events import backfill, capture, database, delivery, records, running
from syncd.log.events.event import Event

__all__ = ["EVENTS", "Event"]

EVENTS: Mapping[str, Event] = {
    **running.EVENTS,
    **capture.EVENTS,
    **delivery.EVENTS,
    **database.EVENTS,
    **records.EVENTS,
    **backfill.EVENTS,
}
