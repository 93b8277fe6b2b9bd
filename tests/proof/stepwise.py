"""A subject of the checker, and how it is run one statement at a time."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from proof.world import World

MAX_CYCLES = 400
"""A subject that has not settled after so many cycles never will."""


class OrderLostError(AssertionError):
    """An order was lost, or a captured one never existed; the text explains it."""


class Subject(Protocol):
    """A capture under test; made anew for each interleaving, over an empty shop."""

    application: str
    """The prefix of its connections' application names."""

    stands_still: bool
    """Whether it is idle between moves."""

    def step(self) -> None:
        """Continue by one statement where that is possible."""

    def cycle(self) -> None:
        """Continue until a cycle (the present one, or a new one) has ended."""

    def crash(self) -> None:
        """Lose all that is in memory, at any point, and start again."""

    def settle(self) -> None:
        """Continue until all that was committed before this call must be captured."""

    def watermark(self) -> datetime | None:
        """Return the time at or below which all is captured; None: no such claim."""

    def taken(self) -> list[str]:
        """Return the captured orders, with repetitions."""

    def disturb(self, *, broken: bool) -> None:
        """Disable what it installed in the shop (a trigger), or enable it again."""

    def close(self) -> None:
        """End, and leave nothing that affects the next interleaving."""


class Killed(BaseException):
    """Ends the subject's thread where it is."""


class Stepwise(ABC):
    """A subject in a thread of its own that stops before each of its statements.

    Driver and subject alternate, so that an interleaving is the same each time.
    """

    application = "syncd/"
    stands_still = True

    def __init__(self, world: World) -> None:
        self.world = world
        self._cycles = 0
        self._start()

    @abstractmethod
    def one_cycle(self) -> None:
        """Run one cycle; calls `pause` before each statement."""

    @abstractmethod
    def renew(self) -> None:
        """Make everything that a start makes; called by the driver at a crash."""

    @abstractmethod
    def is_settled(self, moment: datetime) -> bool:
        """Return, after a cycle, whether all committed by `moment` must be captured.

        That cycle began after `moment`.
        """

    def pause(self) -> None:
        """Make the driver continue; return at its next step."""
        if threading.current_thread() is self._thread:
            self._turn.release()
            self._go.acquire()
            if self._killed:
                raise Killed

    def step(self) -> None:
        self._go.release()
        self._turn.acquire()
        if self._error is not None:
            raise self._error

    def cycle(self) -> None:
        cycles = self._cycles
        while self._cycles == cycles:
            self.step()

    def crash(self) -> None:
        self._stop()
        self.renew()
        self._start()

    def settle(self) -> None:
        moment = self.world.clock()
        self.cycle()  # the present one; it may have read before that moment
        for _ in range(MAX_CYCLES):
            self.cycle()
            if self.is_settled(moment):
                return
        raise AssertionError(f"not settled after {MAX_CYCLES} cycles")

    def disturb(self, *, broken: bool) -> None:  # noqa: B027  # most put nothing there
        """Disable what it installed in the shop, or enable it; nothing by default."""

    def close(self) -> None:
        self._stop()

    def _start(self) -> None:
        self._go = threading.Semaphore(0)
        self._turn = threading.Semaphore(0)
        self._killed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._turn.acquire()

    def _stop(self) -> None:
        self._killed = True
        self._go.release()
        self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                self.pause()
                self.one_cycle()
                self._cycles += 1
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001  # raised again by the driver
            self._error = error
        self._turn.release()


Start = Callable[[World], Subject]
"""Makes a subject over an empty shop."""
