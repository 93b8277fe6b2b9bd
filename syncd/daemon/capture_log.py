"""What capture found, as lines of the log, and what a follower missed.

A follower gets changed orders; the poll continues beside it, slower. What only the
poll finds shows that a trigger is gone or a table is not followed.
"""

import threading
import time
from collections.abc import Callable, Sequence

from syncd.capture.follower import StepResult
from syncd.capture.poll import PollResult
from syncd.core.cross_check import CrossCheck
from syncd.core.window import Window
from syncd.ledger.admission import Capture
from syncd.log.log import Log
from syncd.source.transactions import Holder

PATIENCE_SECONDS = 10.0
"""How far a follower may lie behind the poll before that is worth a line."""


class CaptureLog:
    """Logs what was captured; may be used by any thread.

    Args:
        changed: Called with the keys of orders that were changed.
        patience_seconds: How far the follower may lie behind the poll.
    """

    def __init__(
        self,
        log: Log,
        changed: Callable[[Sequence[str]], None] = lambda _: None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._log = log
        self._changed = changed
        self._patience_seconds = patience_seconds
        self._cross_check = CrossCheck(patience_seconds)
        self._guard = threading.Lock()
        self._listening_since: float | None = None

    def followed(self, capture: Capture, step: StepResult) -> None:
        """Note and log what a follower, or a worker in its place, has captured."""
        now = time.monotonic()
        with self._guard:
            since = (self._listening_since or now) if step.is_listening else None
            self._listening_since = since
            self._cross_check.followed(step.keys, now)
        if step.keys:
            self._changed(step.keys)
        if step.orders:
            self._captured(capture, step.orders, step.seconds)
        if step.without_time:
            self._log.emit_folded(
                "orders.without_time",
                "without_time",
                capture=capture,
                orders=step.without_time,
            )

    def interrupted(self) -> None:
        """Note that the follower receives nothing for now."""
        with self._guard:
            self._listening_since = None

    def polled(self, result: PollResult, seconds: float) -> None:
        """Log what a poll found in so many seconds."""
        if result.orders:
            self._captured("poll", result.orders, seconds)
        if result.watermark:
            self._log.emit("window.closed", watermark=result.watermark.isoformat())

    def _captured(self, capture: Capture, orders: int, seconds: float) -> None:
        self._log.emit(
            "orders.captured",
            capture=capture,
            orders=orders,
            duration_ms=round(seconds * 1000),
        )

    def held_back(self, window: Window, seconds: float, holder: Holder) -> None:
        """Log which transaction keeps the watermark from moving, and for how long."""
        self._log.emit_folded(
            "watermark.held_back",
            "held",
            age_seconds=seconds,
            transactions=len(window.running),
            prepared=len(window.prepared or ()),
            pid=holder.pid,
            application=holder.application_name,
            query_start=holder.query_start,
        )

    def cross_check(self, follower: Capture, polled: Sequence[str]) -> None:
        """Log orders that the follower should have captured and has not."""
        now = time.monotonic()
        with self._guard:
            since = self._listening_since
            if since is not None and now - since > self._patience_seconds:
                self._cross_check.found(polled, now)
            overdue = self._cross_check.overdue(now)
        if overdue:
            self._log.emit(
                "capture.missed_changes",
                capture=follower,
                orders=len(overdue),
                order_key=overdue[0],
            )
