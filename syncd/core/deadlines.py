"""Whether the daemon's parts move: a part says how long it may stand still.

A watchdog that is fed by a part's movements restarts what is stuck, and only that: a
long wait that was announced is none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

PAUSE_SECONDS = 5.0
"""Who has not looked for longer was stopped, and everybody else with him."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a part moved last; times are seconds of any one clock.

    Attributes:
        moved_at: When.
        until: As of when it is overdue, unless it moves before.
        thread: Where it is at work; None while it rests until its next turn.
    """

    moved_at: float
    until: float
    thread: int | None = None


@dataclass(frozen=True, slots=True)
class Overdue:
    """A part that should have moved: since when it has not, and where it is stuck."""

    part: str
    seconds: float
    thread: int | None


def forgiven(stamps: Mapping[str, Deadline], paused: float) -> dict[str, Deadline]:
    """Put off what was due while the process itself was stopped, if it was.

    Args:
        stamps: Of each part.
        paused: Seconds since somebody looked who looks all the time.
    """
    if paused <= PAUSE_SECONDS:
        return dict(stamps)
    return {p: replace(s, until=s.until + paused) for p, s in stamps.items()}


def overdue(stamps: Mapping[str, Deadline], now: float) -> list[Overdue]:
    """List the parts that should have moved, in the order of their stamps."""
    return [
        Overdue(part, now - stamp.moved_at, stamp.thread)
        for part, stamp in stamps.items()
        if now > stamp.until
    ]
