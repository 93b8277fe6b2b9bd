"""Whether the daemon's components make progress, each within its own deadline.

A watchdog that is notified of progress restarts only what is stuck: an announced long
wait is no hang.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

PAUSE_SECONDS = 5.0
"""A longer gap between two checks means that the whole process was stopped."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a component last made progress; times are seconds of any one clock.

    Attributes:
        moved_at: When.
        until: From when it is overdue, unless it makes progress before.
        thread: Where it is at work; None while it rests until its next turn.
    """

    moved_at: float
    until: float
    thread: int | None = None


@dataclass(frozen=True, slots=True)
class Overdue:
    """A component without progress: for how long, and where it is stuck."""

    component: str
    seconds: float
    thread: int | None


def forgiven(stamps: Mapping[str, Deadline], paused: float) -> dict[str, Deadline]:
    """Extend the deadlines by the time for which the process was stopped, if it was.

    Args:
        stamps: Of each component.
        paused: Seconds since the last check, which is made all the time.
    """
    if paused <= PAUSE_SECONDS:
        return dict(stamps)
    return {p: replace(s, until=s.until + paused) for p, s in stamps.items()}


def overdue(stamps: Mapping[str, Deadline], now: float) -> list[Overdue]:
    """List the components without progress, in the order of their stamps."""
    return [
        Overdue(component, now - stamp.moved_at, stamp.thread)
        for component, stamp in stamps.items()
        if now > stamp.until
    ]
