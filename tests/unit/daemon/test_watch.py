"""What capture says of what it found."""

from collections.abc import Mapping
from typing import cast

from support.postgres import wait_until
from typing_extensions import override

from syncd.capture.follower import StepResult
from syncd.capture.poll import PollCapture
from syncd.daemon.capture_loop import CaptureLoop
from syncd.daemon.error_policy import ErrorPolicy
from syncd.daemon.wakeup import WakeUp
from syncd.ledger.admission import Capture
from syncd.log.log import Log


class Lines(Log):
    """Keeps what is emitted."""

    def __init__(self) -> None:
        super().__init__("shop")
        self.kept: list[Mapping[str, object]] = []

    @override
    def emit(self, event: str, **fields: object) -> None:
        self.kept.append({"event": event, **fields})


class Hearer:
    """Hears of three orders after a long wait; the work took 4 ms."""

    capture: Capture = "listen"

    def step(self, seconds: float) -> StepResult:
        return (
            StepResult(3, ("1", "2", "3"), seconds=0.004) if seconds else StepResult()
        )

    def close(self) -> None:
        pass


def test_the_line_of_captured_orders_tells_how_long_the_work_took() -> None:
    """Not how long the follower waited for it."""
    lines = Lines()
    reactions = ErrorPolicy(lines)
    watch = CaptureLoop(cast("PollCapture", None), Hearer(), WakeUp(), reactions, lines)
    (thread,) = watch.start()
    wait_until(lambda: lines.kept)
    reactions.stopping.set()
    thread.join()
    assert lines.kept[0] == {
        "event": "orders.captured",
        "capture": "listen",
        "orders": 3,
        "duration_ms": 4,
    }
