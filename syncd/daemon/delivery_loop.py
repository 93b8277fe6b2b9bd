"""The threads that deliver, each one batch at a time and within the rate.

Workers take live orders first. What cannot be read has a thread of its own, so that no
worker waits for it.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import get_args

from syncd.core.errors import SyncdError
from syncd.core.rate_limit import AdaptiveRate, Bucket
from syncd.core.schedule import Turn
from syncd.daemon.error_policy import ErrorPolicy
from syncd.daemon.wakeup import WakeUps
from syncd.delivery.delivery import Delivery, DeliveryResult
from syncd.ledger.batches import Ledger
from syncd.ledger.claim import Lane, NextDue

IDLE_SECONDS = 5.0
QUIET_SECONDS = 90.0
"""How long a worker sleeps at most without being woken; where commands can wake it."""

SHORTEST_SECONDS = 0.02
"""How long it sleeps at least when something is due that it did not get."""

_REREADING = "rereading"
_REREAD_SECONDS = (0.2, 5.0)
_REST_SECONDS = 3600.0


class RateLimiter:
    """When a lane may send again; shared by the workers of a feed.

    Both lanes slow down together when the API asks for it.
    """

    def __init__(self, live: float | None, backfill: float | None) -> None:
        self._buckets = {"live": Bucket(live), "backfill": Bucket(backfill)}
        self._not_before = {"live": 0.0, "backfill": 0.0}
        self._throttle = AdaptiveRate()
        self._guard = threading.Lock()

    @property
    def share(self) -> float:
        """The share of the configured rates that is used now."""
        return self._throttle.share

    def seconds_to_wait(self, lane: Lane) -> float:
        """Return how long a lane has to wait; 0.0 when it may send."""
        return max(0.0, self._not_before[lane] - time.monotonic())

    def record(self, lane: Lane, result: DeliveryResult) -> None:
        """Record what a lane has sent, and the API's response."""
        with self._guard:
            now = time.monotonic()
            if result.throttled:
                self._throttle.slow_down(now)
            elif result.accepted:
                self._throttle.speed_up()
            wait = self._buckets[lane].take(result.events, now, self._throttle.share)
            self._not_before[lane] = now + wait


class DeliveryLoop:
    """Delivers batch after batch; run it in a thread of its own.

    Attributes:
        idle_seconds: How long it sleeps at most without being woken.
    """

    def __init__(
        self,
        number: int,
        delivery: Delivery,
        ledger: Ledger,
        rate_limiter: RateLimiter,
        wake_ups: WakeUps,
        reactions: ErrorPolicy,
    ) -> None:
        self._component = f"delivery-{number}"
        self._delivery = delivery
        self._ledger = ledger
        self._rate_limiter = rate_limiter
        self._wake_up = wake_ups.sending
        self._backfill_wake_up = wake_ups.backfill
        self._unread_wake_up = wake_ups.unread
        self._reactions = reactions
        self._lanes: list[Lane] = list(get_args(Lane))
        self._awaits_backfill = True
        self._is_notified = wake_ups.are_notified
        self.idle_seconds = QUIET_SECONDS if wake_ups.are_notified else IDLE_SECONDS
        self.delivered = 0
        self._seen = 0
        self._may_be_due = True
        self._was_full = self._is_empty = self._has_claimed = False

    def run(self) -> None:
        """Deliver until the daemon stops; the batch in hand is finished first."""
        while not self._reactions.stopping.is_set():
            seen, self._seen = self._seen, self._wake_up.count
            if self._may_be_due or self._seen != seen:
                self._reactions.run(self._component, self._take_turn)
            self._reactions.run(self._component, self._sleep)
            self._wake_up.wait(
                self._seen, self._reactions.seconds_to_wait(self._component)
            )
        _end(self._delivery)

    def drain(self, more: Callable[[], bool] = lambda: False) -> None:
        """Deliver until nothing is due, keeping to the rate; errors are raised.

        `more` brings more that is due; False when there is none.
        """
        try:
            while not self._reactions.stopping.is_set():
                if self._deliver_all() or self._waits_for_the_rate():
                    continue
                if not more():
                    break
                self._awaits_backfill = True
        finally:
            _end(self._delivery)

    def _waits_for_the_rate(self) -> bool:
        """Sleep until a lane may send what is due; False when nothing is."""
        if self._next_due().seconds != 0:
            return False
        paced = [self._rate_limiter.seconds_to_wait(lane) for lane in get_args(Lane)]
        time.sleep(min(filter(None, paced), default=SHORTEST_SECONDS))
        return True

    def _take_turn(self) -> Turn:
        """Deliver while something is due; not due while the rate holds every lane."""
        self._has_claimed = False
        self._deliver_all()
        return Turn.DONE if self._has_claimed else Turn.NOT_DUE

    def _deliver_all(self) -> bool:
        """Deliver while something is due; False when nothing was."""
        found = False
        self._may_be_due = True
        while not self._reactions.stopping.is_set():
            self._seen = self._wake_up.count
            self._is_empty = not self._deliver_one()
            found = found or not self._is_empty
            if self._is_empty or not self._was_full:
                break  # not full: the last, as a rule; to ask costs less than a claim
        return found

    def _deliver_one(self) -> bool:
        """Deliver a batch of the lane of the last one, or else of the other.

        Whatever is asked for first: the ledger gives no past order out while a live
        one is due.
        """
        for lane in self._lanes:
            is_empty = lane == "backfill" and not self._awaits_backfill
            if is_empty or self._rate_limiter.seconds_to_wait(lane) > 0:
                continue
            self._has_claimed = True
            result = self._delivery.deliver_next(lane)
            if result is not None:
                self._note_result(lane, result)
                return True
        return False

    def _note_result(self, lane: Lane, result: DeliveryResult) -> None:
        """Note what a delivery means for the next; its lane comes first then."""
        self._rate_limiter.record(lane, result)
        self._was_full = result.full
        if result.unread:
            self._unread_wake_up.notify()
        self.delivered += result.events if result.accepted else 0
        self._lanes.sort(key=lambda other: other != lane)

    def _next_due(self) -> NextDue:
        due = self._ledger.next_due()
        self._awaits_backfill = due.past
        return due

    def _sleep(self) -> Turn:
        """Sleep until something may be due, or a wake-up comes after the last query."""
        seen = self._seen
        idle_work_seconds: float | None = 0.0
        while idle_work_seconds == 0.0 and self._wake_up.count == seen:
            idle_work_seconds = self._delivery.run_idle_work()
        if self._wake_up.count != seen:
            return Turn.NOT_DUE
        due = self._next_due()
        if due.backfill:
            self._backfill_wake_up.notify()
        if due.unread:
            self._unread_wake_up.notify()
        seconds = (
            self.idle_seconds
            if due.seconds is None
            else max(due.seconds, SHORTEST_SECONDS)
        )
        paced = [self._rate_limiter.seconds_to_wait(lane) for lane in get_args(Lane)]
        if due.seconds == 0 and any(paced):
            seconds = min(filter(None, paced))
        elif due.seconds == 0 and not self._is_empty:
            return Turn.DONE
        limits = (seconds, self.idle_seconds, idle_work_seconds)
        self._wake_up.wait(seen, min(limit for limit in limits if limit is not None))
        # Where no command wakes it, it is only by claiming that a pause is noticed.
        self._may_be_due = due.seconds is not None or not self._is_notified
        return Turn.DONE


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
            wait = _REST_SECONDS
            if self._reactions.is_failing(_REREADING):
                wait = self._reactions.seconds_to_wait(_REREADING)
            self._wake_up.wait(seen, wait)
            seen = self._wake_up.count
            self._reactions.run(_REREADING, self._read_all, _REST_SECONDS)
        _end(self._delivery)

    def drain(self) -> None:
        """Read again what is due, once; errors are raised."""
        try:
            while self._deliver_one():
                pass
        finally:
            _end(self._delivery)

    def _read_all(self) -> None:
        """Stay as long as something waits for the view."""
        while not self._reactions.stopping.is_set():
            if self._deliver_one():
                continue
            seconds = self._ledger.next_due(rereads=True).seconds
            if seconds is None:
                self._disconnect()
                return
            least, most = _REREAD_SECONDS
            self._reactions.stopping.wait(max(least, min(seconds, most)))

    def _deliver_one(self) -> bool:
        lanes: tuple[Lane, ...] = get_args(Lane)
        for lane in lanes:
            wait = self._rate_limiter.seconds_to_wait(lane)
            if wait or self._reactions.stopping.is_set():
                continue
            result = self._delivery.deliver_next(lane)
            if result is not None:
                self._rate_limiter.record(lane, result)
                self.delivered += result.events if result.accepted else 0
                return True
        return False


def _end(delivery: Delivery) -> None:
    """Put back what is still in hand: it was claimed, and never sent."""
    with suppress(SyncdError):
        delivery.finish()
    delivery.close()
