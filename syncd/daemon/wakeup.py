"""What wakes the workers when capture has found something, and the backfill thread."""

import threading
from dataclasses import dataclass, field
from select import select

YIELD_SECONDS = 0.0002
"""How long `notify` lets go of the interpreter: a thread needs that long to wake."""


class WakeUp:
    """Wakes sleeping workers; a wake-up between two waits is not lost."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self.count = 0

    def notify(self) -> None:
        """Wake everybody."""
        with self._condition:
            self.count += 1
            self._condition.notify_all()
        select((), (), (), YIELD_SECONDS)  # the woken thread runs first

    def wait(self, seen: int, seconds: float) -> None:
        """Sleep until there were more wake-ups than `seen`, or for `seconds`."""
        with self._condition:
            self._condition.wait_for(lambda: self.count != seen, seconds)


@dataclass(frozen=True, slots=True)
class WakeUps:
    """The wake-ups of a daemon.

    Attributes:
        are_notified: Whether commands that change the ledger cause them too.
        sending: When there may be something to send.
        backfill: When a backfill may continue, or has to be reported.
        unread: While orders that could not be read wait for the view.
    """

    are_notified: bool = False
    sending: WakeUp = field(default_factory=WakeUp)
    backfill: WakeUp = field(default_factory=WakeUp)
    unread: WakeUp = field(default_factory=WakeUp)

    def notify(self) -> None:
        """Wake everybody."""
        self.sending.notify()
        self.backfill.notify()
        self.unread.notify()
