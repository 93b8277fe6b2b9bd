"""When a component is due: its turn, and when the outbox is to be polled."""

from enum import Enum, auto
from math import inf


class Turn(Enum):
    """Whether a component did its work.

    Attributes:
        NOT_DUE: It looked at a clock only, which proves nothing about a database.
    """

    DONE = auto()
    NOT_DUE = auto()


SOON_SECONDS = 0.01
"""After something was found: a commit just after it may have sent no notification."""

OFFERED_SECONDS = 0.05
"""After a notification that woke a worker: by then it has queried the outbox itself."""

GROWTH = 2.5
"""Each poll that finds nothing makes the wait for the next one so much longer."""

REST = 4
QUICK_SECONDS = 0.01
"""After a poll that took longer the database has so many times the rest for others."""


class PollSchedule:
    """When the outbox is polled next: at a notification, soon after, then more rarely.

    Times are seconds of any one clock.
    """

    def __init__(self) -> None:
        self._wait = SOON_SECONDS
        self._rested_at = self._poll_at = -inf

    def seconds(self, now: float) -> float:
        """Return how long to wait before the next poll; 0.0 when it is due."""
        return max(0.0, self._poll_at - now)

    def notified(self) -> None:
        """Note a notification: something has just been written."""
        self._wait = SOON_SECONDS
        self.found_waiting()

    def offered(self, now: float) -> None:
        """Note a notification that a worker was woken for: poll once there is none."""
        self._wait = OFFERED_SECONDS
        self._poll_at = max(now + OFFERED_SECONDS, self._rested_at)

    def found_waiting(self) -> None:
        """Note that something waits: poll as soon as the database had its rest."""
        self._poll_at = min(self._poll_at, self._rested_at)

    def found(self, now: float, took: float, *, is_all: bool) -> None:
        """Note a poll of `took` seconds that found something; perhaps not yet all."""
        self._wait = SOON_SECONDS * GROWTH
        self._rested_at = now + _rest(took)
        self._poll_at = now + SOON_SECONDS if is_all else now

    def found_nothing(self, now: float, took: float, longest: float) -> None:
        """Note a poll of `took` seconds without a find.

        Args:
            now: When it ended.
            took: How long it took.
            longest: How long the next one may be put off.
        """
        self._rested_at = now + _rest(took)
        self._poll_at = max(now + min(self._wait, longest), self._rested_at)
        self._wait = min(self._wait * GROWTH, longest)


def _rest(took: float) -> float:
    return max(0.0, took - QUICK_SECONDS) * REST
