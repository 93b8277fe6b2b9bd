"""Touched orders that a notification announced, for the first free worker."""

import threading
import time
from collections.abc import Callable

from syncd.capture.follower import StepResult
from syncd.capture.listen.capture import PAGE
from syncd.capture.listen.outbox import Outbox
from syncd.config.settings import Settings
from syncd.daemon.wakeup import WakeUp
from syncd.ledger.admission import Admitted, Capture
from syncd.ledger.claiming import Touched
from syncd.source.orders import Source

Note = Callable[[Capture, StepResult], None]


class Offer:
    """Announces touched orders, so that a worker admits them as it claims.

    What no worker takes in time the capture takes itself.

    Attributes:
        is_open: Whether there are workers.
    """

    def __init__(self, settings: Settings, wake_up: WakeUp) -> None:
        self._taking = Outbox.taking(settings.feed, PAGE)
        self._size = settings.squeezely.orders_per_batch
        self._wake_up = wake_up
        self._is_made = threading.Event()
        self.is_open = False

    def make(self) -> bool:
        """Wake the workers for it; False when there are none."""
        if self.is_open:
            self._is_made.set()
            self._wake_up.notify()
        return self.is_open

    def take(self, source: Source, note: Note) -> Touched | None:
        """Return what admits the orders; None: it was not made since the last time.

        Args:
            source: Where they are found, beside outbox and ledger.
            note: Called with what was admitted.
        """
        if not self._is_made.is_set():
            return None
        self._is_made.clear()  # before the look: what is announced from now on is kept
        started = time.monotonic()

        def report(admitted: Admitted) -> None:
            note("listen", StepResult.of(admitted, time.monotonic() - started))

        return Touched(source.touched(self._taking), self._size, report)
