"""What capture logs about orders it found."""

from typing import cast

from support.log_lines import LogLines
from support.postgres import wait_until

from syncd.capture.follower import StepResult
from syncd.capture.poll import PollCapture
from syncd.daemon.capture_log import CaptureLog
from syncd.daemon.capture_loop import CaptureLoop
from syncd.daemon.error_policy import ErrorPolicy
from syncd.daemon.wakeup import WakeUp
from syncd.ledger.admission import Capture


class SlowFollower:
    """Receives three orders after a long wait; the work took 4 ms."""

    capture: Capture = "listen"

    def step(self, seconds: float) -> StepResult:
        return (
            StepResult(3, ("1", "2", "3"), seconds=0.004) if seconds else StepResult()
        )

    def close(self) -> None:
        pass


def test_the_logged_duration_of_a_capture_is_that_of_the_work() -> None:
    """It excludes the follower's wait."""
    lines = LogLines()
    reactions = ErrorPolicy(lines)
    watch = CaptureLoop(
        cast("PollCapture", None),
        SlowFollower(),
        WakeUp(),
        reactions,
        CaptureLog(lines),
    )
    (thread,) = watch.start()
    wait_until(lambda: lines.kept)
    reactions.stopping.set()
    thread.join()
    captured = {"capture": "listen", "orders": 3, "duration_ms": 4}
    assert lines.kept[0] == ("orders.captured", captured)
