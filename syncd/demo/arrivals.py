"""How fast the shop sells, shared by its cashiers."""

import math
import threading
import time

FULL_GROUP = 100
"""Orders of one transaction when there is no rate to keep."""

_GROUPS_PER_SECOND = 20


class Arrivals:
    """Hands out orders to be sold, in groups that share a transaction.

    Args:
        rate: Orders per second; None is as fast as possible.
        limit: Orders in all; None is no limit.
    """

    def __init__(self, rate: float | None, limit: int | None) -> None:
        self._rate = rate
        self._limit = limit
        self._group = math.ceil(rate / _GROUPS_PER_SECOND) if rate else FULL_GROUP
        self._taken = 0
        self._started: float | None = None
        self._turn = threading.Lock()

    def take(self, stopping: threading.Event) -> int:
        """Wait until the next group is due; return its size, 0 when all is sold."""
        with self._turn:
            left = math.inf if self._limit is None else self._limit - self._taken
            group = int(min(self._group, left))
            if not group or not self._wait(group, stopping):
                return 0
            self._taken += group
            return group

    def _wait(self, group: int, stopping: threading.Event) -> bool:
        """Wait for the time of `group`; False when the shop closes before."""
        if self._started is None:
            self._started = time.monotonic()
        due = (self._taken + group) / self._rate if self._rate else 0.0
        seconds = self._started + due - time.monotonic()
        return not stopping.wait(max(0.0, seconds))
