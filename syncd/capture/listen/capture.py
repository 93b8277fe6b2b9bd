"""Capture by listening: the shop's own transactions record which orders they touch.

The invariant: a row of the outbox goes only once its order is in the ledger, or is not
confirmed; the change that confirms it touches it again (ADR-0007).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from syncd.capture.follower import StepResult
from syncd.capture.listen.notify import NotifyListener
from syncd.capture.listen.outbox import Outbox, OutboxRow
from syncd.core.errors import PausedError, SyncdError, UnreadableRowError
from syncd.core.schedule import PollSchedule
from syncd.ledger.admission import Capture
from syncd.ledger.batches import Ledger
from syncd.log.log import Log
from syncd.source.orders import Source

PAGE = 1000
"""Rows of the outbox that are taken at once."""

INSPECTION_SECONDS = 60.0
"""How often to ask whether rows wait, faults were noted and notifications arrive."""


@dataclass(frozen=True, slots=True)
class OutboxTuning:
    """Constants of the capture by triggers that are no settings.

    Attributes:
        fallback_seconds: How often to poll at least while no notifications arrive.
        inspection_seconds: How often to inspect.
        schedule: Makes the poll schedule; by `clock`.
        clock: Of any beginning.
    """

    page: int = PAGE
    fallback_seconds: float = INSPECTION_SECONDS
    inspection_seconds: float = INSPECTION_SECONDS
    schedule: Callable[[], PollSchedule] = PollSchedule
    clock: Callable[[], float] = time.monotonic


DEFAULTS = OutboxTuning()


@dataclass(frozen=True, slots=True)
class AdmissionContext:
    """What touched orders are admitted by.

    Attributes:
        source: The views, on the outbox's reader.
        size: Orders that a batch may hold.
        spans_outbox: Whether one transaction holds ledger and outbox.
    """

    source: Source
    ledger: Ledger
    size: int
    spans_outbox: bool


class OutboxCapture:
    """Takes touched orders out of the outbox; a `ChangeFollower`.

    Args:
        notifications: When to poll at once.
        log: Gets faults, and once that no notifications arrive.
        offer: Leaves what a notification announced to a worker; False: none takes it.
    """

    def __init__(
        self,
        outbox: Outbox,
        notifications: NotifyListener,
        intake: AdmissionContext,
        log: Log,
        *,
        offer: Callable[[], bool] = lambda: False,
        tuning: OutboxTuning = DEFAULTS,
    ) -> None:
        self._outbox = outbox
        self._notifications = notifications
        self._intake = intake
        self._log = log
        self._offer = offer
        self._inspection_seconds = tuning.inspection_seconds
        self._fallback_seconds = min(tuning.fallback_seconds, tuning.inspection_seconds)
        self._schedule = tuning.schedule()
        self._page = tuning.page
        self._clock = tuning.clock
        self._inspect_at = float("-inf")
        self._faults = self._without_time = 0
        self._may_prepare = False
        self._notifications_lost = False

    @property
    def capture(self) -> Capture:
        """Its name in the ledger."""
        return "listen"

    def step(self, seconds: float) -> StepResult:
        """Wait for a notification or until a poll is due, then take one page.

        Raises:
            SyncdError: The database failed, or no order of the page can be read; what
                was not taken is still in the outbox.
        """
        try:
            return self._step(seconds)
        except PausedError:
            raise
        except SyncdError:
            # So that an outage is noticed before the listener is blamed for it.
            self._inspect_at = float("-inf")
            raise

    def close(self) -> None:
        """Stop listening for notifications."""
        self._notifications.close()

    def _step(self, seconds: float) -> StepResult:
        now = self._clock()
        if now >= self._inspect_at:
            self._inspect()
            self._inspect_at = now + self._inspection_seconds
        if self._notifications.wait(min(seconds, self._schedule.seconds(now))):
            if self._offer():
                self._schedule.offered(self._clock())
            else:
                self._schedule.notified()
        self._report_lost_notifications()
        if self._schedule.seconds(self._clock()) > 0:
            return StepResult()
        return self._poll()

    def _inspect(self) -> None:
        condition = self._outbox.condition()
        self._may_prepare = condition.may_prepare
        if condition.waits:
            self._schedule.found_waiting()
        if condition.faults > self._faults:
            self._log.emit(
                "outbox.failed", missed_changes=condition.faults - self._faults
            )
        self._faults = condition.faults
        self._notifications.probe()

    def _report_lost_notifications(self) -> None:
        fault = self._notifications.fault
        if self._may_prepare:
            fault = "max_prepared_transactions is not 0: triggers send no notifications"
        if fault and not self._notifications_lost:
            self._log.emit("listen.notifications_lost", reason=fault)
        self._notifications_lost = fault is not None

    def _poll(self) -> StepResult:
        started = self._clock()
        unread: list[UnreadableRowError] = []
        self._without_time = 0
        page = self._outbox.read(self._page)
        orders, keys = self._take(page, unread) if page else (0, ())
        now = self._clock()
        took = now - started
        if keys:
            self._schedule.found(now, took, is_all=len(keys) < self._page)
        else:
            longest = (
                self._fallback_seconds if self._notifications_lost else float("inf")
            )
            self._schedule.found_nothing(now, took, longest)
        if unread and not keys:
            raise unread[0]
        return StepResult(orders, keys, seconds=took, without_time=self._without_time)

    def _take(
        self, page: Sequence[OutboxRow], unread: list[UnreadableRowError]
    ) -> tuple[int, Sequence[str]]:
        """Take rows, those of unreadable orders excepted: orders, and keys taken."""
        try:
            return self._take_rows(page)
        except UnreadableRowError as error:
            if len(page) == 1:
                unread.append(error)
                return 0, ()
        middle = len(page) // 2
        first = self._take(page[:middle], unread)
        second = self._take(page[middle:], unread)
        return first[0] + second[0], [*first[1], *second[1]]

    def _take_rows(self, page: Sequence[OutboxRow]) -> tuple[int, Sequence[str]]:
        """Take rows in one transaction, or the ledger's first: a crash repeats it."""
        intake = self._intake
        if intake.spans_outbox:
            taking = self._outbox.taking_rows(page)
            found = intake.source.touched(taking)
            admitted = intake.ledger.admit_touched(found, intake.size)
            self._without_time += admitted.without_time
            return admitted.orders, admitted.taken
        keys = list({touch.key: None for touch in page})
        found = intake.source.of_keys(keys)
        with intake.ledger.admission():
            admitted = intake.ledger.admit(found, self.capture, size=intake.size)
        self._without_time += admitted.without_time
        return admitted.orders, keys if self._outbox.discard(page) else ()
