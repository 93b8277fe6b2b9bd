"""A subject of the checker, and how one is driven a statement at a time."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from proof.world import World

LOOKS = 400
"""Looks after which a subject that has not settled never will."""


class OrderLostError(AssertionError):
    """An order was lost, or taken that never was; the text says which and how."""


class Subject(Protocol):
    """A capture under test; made anew for each interleaving, over an empty shop."""

    application: str
    """How the application names of its connections begin."""

    stands_still: bool
    """Whether it does nothing between the moves."""

    def step(self) -> None:
        """Go on a little: by one statement where that is possible."""

    def look(self) -> None:
        """Go on until a look (the one in hand, or a new one) has ended."""

    def crash(self) -> None:
        """Lose all that is in memory, wherever it is, and start again."""

    def settle(self) -> None:
        """Go on until what was committed before this call must have been taken."""

    def watermark(self) -> datetime | None:
        """Tell at or below which instant all is taken; None: it claims nothing."""

    def taken(self) -> list[str]:
        """List what was taken, each time that it was."""

    def disturb(self, *, broken: bool) -> None:
        """Disable what it put into the shop (a trigger), or enable it again."""

    def close(self) -> None:
        """End; nothing of it stays in the way of the next."""


class Killed(BaseException):
    """The subject's thread is to end where it stands."""


class Stepwise(ABC):
    """A subject in a thread of its own that stops before each of its statements.

    Driver and subject take turns, so that an interleaving is the same each time.
    """

    application = "syncd/"
    stands_still = True

    def __init__(self, world: World) -> None:
        self.world = world
        self._looks = 0
        self._start()

    @abstractmethod
    def one_look(self) -> None:
        """Look once; calls `pause` before each statement."""

    @abstractmethod
    def renew(self) -> None:
        """Make everything that a start makes; called by the driver at a crash."""

    @abstractmethod
    def is_settled(self, moment: datetime) -> bool:
        """Tell, after a look, whether all committed by `moment` must be taken.

        That look began after `moment`.
        """

    def pause(self) -> None:
        """Let the driver go on; returns at its next step."""
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

    def look(self) -> None:
        looks = self._looks
        while self._looks == looks:
            self.step()

    def crash(self) -> None:
        self._stop()
        self.renew()
        self._start()

    def settle(self) -> None:
        moment = self.world.clock()
        self.look()  # the one in hand; it may have read before that moment
        for _ in range(LOOKS):
            self.look()
            if self.is_settled(moment):
                return
        raise AssertionError(f"not settled after {LOOKS} looks")

    def disturb(self, *, broken: bool) -> None:  # noqa: B027  # most put nothing there
        """Disable what it put into the shop, or enable it; nothing by default."""

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
                self.one_look()
                self._looks += 1
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001  # raised again by the driver
            self._error = error
        self._turn.release()


Start = Callable[[World], Subject]
"""Makes a subject over an empty shop."""
