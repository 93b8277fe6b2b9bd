"""The capture loop: the poll in its turns, and a follower of changes."""

import threading
import time

from syncd.capture.follower import ChangeFollower, StepResult
from syncd.capture.poll import PollCapture, PollResult
from syncd.capture.unreadable import Reading, read_whole
from syncd.daemon.capture_log import CaptureLog
from syncd.daemon.error_policy import ErrorPolicy
from syncd.daemon.wakeup import WakeUp

REST_SECONDS = 0.25
"""Between two polls while pages are left, so that they do not saturate the server."""

STEP_SECONDS = 0.5
"""How long a follower waits for changes before it checks whether to stop."""


class CaptureLoop:
    """Captures newly confirmed orders, and wakes the workers.

    Args:
        follower: Gets changed orders; None: there is only the poll.
        wake_up: Of the workers.
        reactions: To the errors of the follower.
    """

    def __init__(
        self,
        poll: PollCapture,
        follower: ChangeFollower | None,
        wake_up: WakeUp,
        reactions: ErrorPolicy,
        capture_log: CaptureLog,
        reading: Reading = read_whole,
    ) -> None:
        self._poll = poll
        self._follower = follower
        self._wake_up = wake_up
        self._reactions = reactions
        self._log = capture_log
        self._reading = reading

    def poll(self) -> None:
        """Poll once; repeat, with pauses, while pages are left.

        Raises:
            SyncdError: The database failed; the next poll starts over.
        """
        self._poll_once()
        stopping = self._reactions.stopping
        while self._poll.is_behind and not stopping.wait(REST_SECONDS):
            self._poll_once()

    def poll_until_closed(self, patience_seconds: float) -> None:
        """Poll until a window closed or the patience ends; for `run --once`.

        What is left in pages is read however long that takes.
        """
        if self._follower is not None:
            self._catch_up(self._follower, patience_seconds)
        deadline = time.monotonic() + patience_seconds
        polled = self._poll_once()
        while self._poll.is_behind or (
            polled.watermark is None and time.monotonic() < deadline
        ):
            time.sleep(0 if self._poll.is_behind else 0.05)
            polled = self._poll_once()

    def _poll_once(self) -> PollResult:
        started = time.monotonic()
        polled = self._reading(self._poll.poll)
        if polled.orders:
            self._wake_up.notify()
        self._log.polled(polled, time.monotonic() - started)
        if polled.held:
            self._log.held_back(polled.held, polled.held_seconds, self._poll.holder())
        if self._follower is not None:
            self._log.cross_check(self._follower.capture, polled.keys)
        return polled

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
                self._log.interrupted()
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
        self._log.followed(follower.capture, followed)
        if followed.orders:
            self._wake_up.notify()
        return followed
