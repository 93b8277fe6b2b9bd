"""Capture at work: the poll in its turns, and a follower that hears of changes.

The poll continues beside a follower, slower. What only the poll finds shows that a
trigger is gone or a table is not followed.
"""

import threading
import time
from collections.abc import Callable, Sequence

from syncd.capture.follower import ChangeFollower, StepResult
from syncd.capture.poll import PollCapture, PollResult
from syncd.core.cross_check import CrossCheck
from syncd.daemon.error_policy import ErrorPolicy
from syncd.daemon.wakeup import WakeUp
from syncd.ledger.admission import Capture
from syncd.log.log import Log

PATIENCE_SECONDS = 10.0
"""How far a follower may lie behind the poll before that is worth a line."""

REST_SECONDS = 0.25
"""Between two polls while pages are left, so that they do not saturate the server."""

STEP_SECONDS = 0.5
"""How long a follower waits for changes before it checks whether to stop."""


class CaptureLoop:
    """Captures newly confirmed orders, logs what it found, wakes the workers.

    Attributes:
        touched: Called with the keys of orders that were changed.
    """

    def __init__(
        self,
        poll: PollCapture,
        follower: ChangeFollower | None,
        wake_up: WakeUp,
        reactions: ErrorPolicy,
        log: Log,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.touched: Callable[[Sequence[str]], None] = lambda _: None
        self._patience_seconds = patience_seconds
        self._poll = poll
        self._follower = follower
        self._wake_up = wake_up
        self._reactions = reactions
        self._log = log
        self._cross_check = CrossCheck(patience_seconds)
        self._guard = threading.Lock()
        self._listening_since: float | None = None

    def poll(self) -> None:
        """Poll once; repeat, with pauses, while pages are left.

        Raises:
            SyncdError: The database failed; the next poll starts over.
        """
        self._poll_once()
        stopping = self._reactions.stopping
        while self._poll.is_behind and not stopping.wait(REST_SECONDS):
            self._poll_once()

    def _poll_once(self) -> None:
        started = time.monotonic()
        captured = self._poll.poll()
        self._report(captured, time.monotonic() - started)

    def poll_until_closed(self, patience_seconds: float) -> None:
        """Poll until a window closed or the patience ends; for `run --once`."""
        if self._follower is not None:
            self._catch_up(self._follower, patience_seconds)
        self._report(self._poll.poll_until_closed(patience_seconds), None)

    def start(self) -> list[threading.Thread]:
        """Follow in a thread of its own, if there is a follower."""
        if self._follower is None:
            return []
        thread = threading.Thread(
            target=self._follow, args=(self._follower,), name="follow"
        )
        thread.start()
        return [thread]

    def _follow(self, follower: ChangeFollower) -> None:
        while not self._reactions.stopping.is_set():
            self._reactions.run("follow", lambda: self.step(follower, STEP_SECONDS))
            if wait := self._reactions.seconds_to_wait("follow"):
                with self._guard:
                    self._listening_since = None
                self._reactions.stopping.wait(wait)
        follower.close()

    def _catch_up(self, follower: ChangeFollower, patience_seconds: float) -> None:
        """Follow until nothing more comes, or the patience ends."""
        deadline = time.monotonic() + patience_seconds
        while True:
            seconds = min(STEP_SECONDS, max(0.0, deadline - time.monotonic()))
            followed = self.step(follower, seconds)
            quiet = followed.is_listening and not followed.keys
            if quiet or time.monotonic() >= deadline:
                break
        follower.close()

    def step(self, follower: ChangeFollower, seconds: float) -> StepResult:
        """Take one step of a follower, and log what came of it."""
        followed = follower.step(seconds)
        self.note(follower.capture, followed)
        if followed.orders:
            self._wake_up.notify()
        return followed

    def note(self, capture: Capture, followed: StepResult) -> None:
        """Note and log what a follower, or a worker in its place, has captured."""
        self._note_step(followed)
        if followed.keys:
            self.touched(followed.keys)
        if followed.orders:
            self._captured(capture, followed.orders, followed.seconds)
        if followed.without_time:
            self._log.emit_folded(
                "orders.without_time",
                "without_time",
                capture=capture,
                orders=followed.without_time,
            )

    def _note_step(self, followed: StepResult) -> None:
        now = time.monotonic()
        with self._guard:
            since = (self._listening_since or now) if followed.is_listening else None
            self._listening_since = since
            self._cross_check.followed(followed.keys, now)

    def _report(self, captured: PollResult, seconds: float | None) -> None:
        """Log what a poll found; `seconds` is the work's time where that is known."""
        if captured.orders:
            self._wake_up.notify()
            self._captured("poll", captured.orders, seconds)
        if captured.watermark:
            self._log.emit("window.closed", watermark=captured.watermark.isoformat())
        if captured.held:
            self._report_held(captured)
        if self._follower is not None:
            self._cross_check_follower(self._follower, captured)

    def _captured(self, capture: Capture, orders: int, seconds: float | None) -> None:
        self._log.emit(
            "orders.captured",
            capture=capture,
            orders=orders,
            duration_ms=None if seconds is None else round(seconds * 1000),
        )

    def _report_held(self, captured: PollResult) -> None:
        assert captured.held is not None  # noqa: S101  # narrows the type
        pid, application, _, query_start = self._poll.holder()
        self._log.emit_folded(
            "watermark.held_back",
            "held",
            age_seconds=captured.held_seconds,
            transactions=len(captured.held.running),
            prepared=len(captured.held.prepared or ()),
            pid=pid,
            application=application,
            query_start=query_start,
        )

    def _cross_check_follower(
        self, follower: ChangeFollower, captured: PollResult
    ) -> None:
        """Log orders that the follower should have heard of and has not."""
        now = time.monotonic()
        with self._guard:
            since = self._listening_since
            if since is not None and now - since > self._patience_seconds:
                self._cross_check.found(captured.keys, now)
            overdue = self._cross_check.overdue(now)
        if overdue:
            self._log.emit(
                "capture.missed_changes",
                capture=follower.capture,
                orders=len(overdue),
                order_key=overdue[0],
            )
