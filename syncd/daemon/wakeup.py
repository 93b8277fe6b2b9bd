"""What wakes the workers when capture has found something, and who drives backfills."""

import threading
from dataclasses import dataclass, field
from select import select

YIELD_SECONDS = 0.0002
"""How long who rings lets go of the interpreter: a thread needs that long to wake."""


class WakeUp:
    """Wakes sleeping workers; a ring between two looks is never lost."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self.rings = 0

    def ring(self) -> None:
        """Wake everybody."""
        with self._condition:
            self.rings += 1
            self._condition.notify_all()
        select((), (), (), YIELD_SECONDS)  # who was woken goes first

    def wait(self, heard: int, seconds: float) -> None:
        """Sleep until a ring after the `heard`th, or for `seconds`."""
        with self._condition:
            self._condition.wait_for(lambda: self.rings != heard, seconds)


@dataclass(frozen=True, slots=True)
class WakeUps:
    """The bells of a daemon.

    Attributes:
        are_nudged: Whether commands that change the ledger ring them too.
        sending: Rung when there may be something to send.
        backfill: Rung when a backfill may want to go on, or is to be told of.
        unread: Rung while orders that could not be read wait for the view.
    """

    are_nudged: bool = False
    sending: WakeUp = field(default_factory=WakeUp)
    backfill: WakeUp = field(default_factory=WakeUp)
    unread: WakeUp = field(default_factory=WakeUp)

    def ring(self) -> None:
        """Wake everybody."""
        self.sending.ring()
        self.backfill.ring()
        self.unread.ring()
