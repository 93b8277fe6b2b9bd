"""Backfills: requested past orders."""

from collections.abc import Mapping

from syncd.log.events.event import Event

_BACKFILL = (
    "backfill",
    "purpose",
    "lower",
    "upper",
    "planned",
    "captured",
    "settled",
    "resent",
    "rejected",
    "released",
)

EVENTS: Mapping[str, Event] = {
    "watermark.reset": Event(
        "warning",
        ("backfill", "lower", "upper", "orders"),
        "past orders were requested; the daemon captures them page by page",
    ),
    "backfill.started": Event(
        "info",
        _BACKFILL,
        "a daemon starts a requested backfill",
    ),
    "backfill.progressed": Event(
        "info",
        _BACKFILL,
        "progress of a backfill; at most every 30 s, only while it makes progress",
    ),
    "backfill.paused": Event(
        "info",
        _BACKFILL,
        "a backfill was paused: none of its orders is sent",
        "`syncd backfill resume` continues it",
    ),
    "backfill.resumed": Event("info", _BACKFILL, "a backfill was resumed"),
    "backfill.finished": Event(
        "info",
        _BACKFILL,
        "all orders of a backfill are settled; `rejected` ones wait for you",
        "`syncd rejected list` when some were rejected",
    ),
    "backfill.cancelled": Event(
        "info",
        _BACKFILL,
        "a backfill was cancelled; orders never in a request are `released`",
    ),
}
