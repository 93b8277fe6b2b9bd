"""The thread that reads again what could not be read, so that no worker waits."""

from collections.abc import Callable
from contextlib import suppress
from typing import get_args

from syncd.core.errors import SyncdError
from syncd.daemon.delivery_loop import RateLimiter
from syncd.daemon.error_policy import ErrorPolicy
from syncd.daemon.wakeup import WakeUps
from syncd.delivery.delivery import Delivery
from syncd.ledger.batches import Ledger
from syncd.ledger.claim import Lane

COMPONENT = "rereading"
_RETRY_SECONDS = (0.2, 5.0)
_REST_SECONDS = 3600.0


class Rereader:
    """Delivers batches whose orders could not be read; without any it rests.

    Args:
        delivery: Of such batches alone.
        rate_limiter: Shared with the workers.
        disconnect: Closes its connections, which open again on use.
    """

    def __init__(  # a thread's wiring
        self,
        delivery: Delivery,
        ledger: Ledger,
        rate_limiter: RateLimiter,
        wake_ups: WakeUps,
        reactions: ErrorPolicy,
        disconnect: Callable[[], None],
    ) -> None:
        self._delivery = delivery
        self._ledger = ledger
        self._rate_limiter = rate_limiter
        self._wake_up = wake_ups.unread
        self._reactions = reactions
        self._disconnect = disconnect
        self.delivered = 0

    def run(self) -> None:
        """Read again whenever something waits, until the daemon stops."""
        seen = 0
        while not self._reactions.stopping.is_set():
            failing = self._reactions.is_failing(COMPONENT)
            wait = (
                self._reactions.seconds_to_wait(COMPONENT) if failing else _REST_SECONDS
            )
            self._wake_up.wait(seen, wait)
            seen = self._wake_up.count
            self._reactions.run(COMPONENT, self._read_all, _REST_SECONDS)
        self._end()

    def drain(self) -> None:
        """Read again what is due, once; errors are raised."""
        try:
            while self._deliver_one():
                pass
        finally:
            self._end()

    def _read_all(self) -> None:
        """Stay as long as something waits for the view."""
        while not self._reactions.stopping.is_set():
            if self._deliver_one():
                continue
            seconds = self._ledger.next_due(rereads=True).seconds
            if seconds is None:
                self._disconnect()
                return
            least, most = _RETRY_SECONDS
            self._reactions.stopping.wait(max(least, min(seconds, most)))

    def _deliver_one(self) -> bool:
        lanes: tuple[Lane, ...] = get_args(Lane)
        for lane in lanes:
            if self._reactions.stopping.is_set() or self._rate_limiter.seconds_to_wait(
                lane
            ):
                continue
            result = self._delivery.deliver_next(lane)
            if result is not None:
                self._rate_limiter.record(lane, result)
                self.delivered += result.events if result.accepted else 0
                return True
        return False

    def _end(self) -> None:
        with suppress(SyncdError):
            self._delivery.finish()
        self._delivery.close()
