"""How the view could be read lately: how many orders at once, and which row to blame.

No order is rejected for a time-out, nor for what the view reads (ADR-0028).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from syncd.core.settlement import RECENT_ORDERS, is_rejection_spike

SHORTEST_WAIT = timedelta(seconds=15)
LONGEST_WAIT = timedelta(minutes=5)

BLAME_AFTER = timedelta(minutes=2)
"""How long after its first failure a row must fail again to be rejected."""


def wait_of(failed_at: datetime | None, now: datetime) -> timedelta:
    """Return how long orders wait that cannot be read: about twice as long each time.

    Args:
        failed_at: When they could not be read first; None: only now.
        now: The ledger's clock.
    """
    waited = now - failed_at if failed_at else timedelta(0)
    return max(SHORTEST_WAIT, min(waited, LONGEST_WAIT))


@dataclass(slots=True)
class ReadHistory:
    """How the last rows were read, older ones fading; of one process.

    Attributes:
        read_at: When a row was read last.
    """

    read_at: datetime | None = None
    _read: float = field(default=0.0)
    _failed: float = field(default=0.0)

    def note_read(self, orders: int, now: datetime) -> None:
        """Count orders that could be read."""
        if orders:
            self.read_at = now
        self._read += orders
        self._fade()

    def note_failed(self, orders: int = 1) -> None:
        """Count orders whose row failed for the first time."""
        self._failed += orders
        self._fade()

    def may_blame(self, failed_at: datetime | None, now: datetime) -> bool:
        """Return whether a row that fails again is itself at fault.

        Others could be read since it failed first, some minutes have passed, and not
        too many fail like it: then it is the view.
        """
        if failed_at is None or now - failed_at < BLAME_AFTER:
            return False
        others = self.read_at is not None and self.read_at > failed_at
        return others and not is_rejection_spike(self._failed, self._read)

    def _fade(self) -> None:
        total = self._read + self._failed
        if total > RECENT_ORDERS:
            self._read *= RECENT_ORDERS / total
            self._failed *= RECENT_ORDERS / total


class ReadSize:
    """The size that worked: halved by what was too slow, and growing back slowly."""

    def __init__(self, whole: int) -> None:
        self._whole = whole
        self.at_most = whole

    @property
    def is_whole(self) -> bool:
        """Whether a batch may be read at once."""
        return self.at_most >= self._whole

    def failed(self, orders: int) -> None:
        """Note that a read of so many orders was too slow."""
        self.at_most = max(1, min(self.at_most, orders // 2))

    def worked(self, orders: int, share: float) -> None:
        """Note that a read succeeded; `share` is that of the time that it may take.

        Twice as many may be read next, where that leaves half of the time.
        """
        if orders >= self.at_most and share < 0.25:  # noqa: PLR2004  # twice, and half
            self.at_most = min(self._whole, 2 * self.at_most)

    def pieces(self, keys: Sequence[str]) -> Iterator[list[str]]:
        """Cut keys into pieces of the size, in their order."""
        for start in range(0, len(keys), self.at_most):
            yield list(keys[start : start + self.at_most])


def halves(keys: Sequence[str]) -> tuple[list[str], list[str]]:
    """Cut two or more keys in the middle."""
    middle = (len(keys) + 1) // 2
    return list(keys[:middle]), list(keys[middle:])
