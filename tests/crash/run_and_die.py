"""Runs the daemon and kills it at a named step of delivery: STEP NUMBER CONFIG."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from syncd.config.configuration import load
from syncd.daemon.process import Daemon
from syncd.delivery.circuit_breaker import CircuitBreaker
from syncd.delivery.rendering import Renderer
from syncd.delivery.squeezely import Squeezely
from syncd.ledger.admission import Admitted
from syncd.ledger.batches import Ledger
from syncd.log.log import configure

STEPS: dict[str, tuple[type, str]] = {
    "admit": (Ledger, "admit"),
    "move-watermark": (Ledger, "move_watermark"),
    "claim": (Ledger, "claim"),
    "render": (Renderer, "render"),
    "except": (Ledger, "exclude_orders"),
    "postpone": (Ledger, "postpone"),
    "post": (Squeezely, "post"),
    "deliver": (Ledger, "deliver"),
    "endpoint-failed": (CircuitBreaker, "back_off"),
    "put-back": (Ledger, "requeue"),
    "split": (Ledger, "split"),
    "split-piece": (Ledger, "_move"),
    "close_empty": (Ledger, "close_empty"),
}
MEANS_NOTHING = frozenset({"admit", "claim"})
"""Steps that also occur without work: they count only with a result."""


class Countdown:
    """Kills this process at the `number`th tick."""

    def __init__(self, number: int) -> None:
        self._left = number

    def tick(self) -> None:
        self._left -= 1
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def kill_around(step: str, moment: str, countdown: Countdown) -> None:
    """Kill the process before or after a step, by `moment`."""
    owner, name = STEPS[step]
    real: Callable[..., object] = getattr(owner, name)

    def fatal(*args: object, **kwargs: object) -> object:
        if moment == "before":
            countdown.tick()
        result = real(*args, **kwargs)
        if moment == "after" and (result or step not in MEANS_NOTHING):
            countdown.tick()
        return result

    setattr(owner, name, fatal)


def kill_once_admitted(countdown: Countdown) -> None:
    """Kill the process at the commit of an admission that found orders."""
    admit: Callable[..., Admitted] = Ledger.admit
    admission = Ledger.admission
    found: list[int] = []

    def recording(*args: object, **kwargs: object) -> Admitted:
        admitted = admit(*args, **kwargs)
        found.append(admitted.orders)
        return admitted

    @contextmanager
    def fatal(self: Ledger, *, durable: bool = True) -> Iterator[object]:
        found.clear()
        with admission(self, durable=durable) as watermark:
            yield watermark
        if any(found):
            countdown.tick()

    setattr(Ledger, "admit", recording)  # noqa: B010  # mypy refuses the assignment
    setattr(Ledger, "admission", fatal)  # noqa: B010


def main() -> None:
    step, number, config = sys.argv[1:]
    countdown = Countdown(int(number))
    if step == "admitted":
        kill_once_admitted(countdown)
    else:
        moment, _, name = step.partition("-")
        kill_around(name, moment, countdown)
    settings = load(Path(config))
    configure(level=settings.log.level)
    sys.exit(Daemon(settings).run())


if __name__ == "__main__":
    main()
