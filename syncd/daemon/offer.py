"""Touched orders that a notification announced, for the first free worker."""

import threading
import time
from collections.abc import Callable

from syncd.capture.follower import StepResult
from syncd.capture.listen.capture import PAGE
from syncd.capture.listen.outbox import Outbox
from syncd.config.settings import Settings
from syncd.core.schedule import OFFERED_SECONDS
from syncd.daemon.wakeup import WakeUp
from syncd.ledger.admission import Admitted, Capture
from syncd.ledger.claim import Touched
from syncd.source.orders import Source

Note = Callable[[Capture, StepResult], None]


class Offer:
    """Announces touched orders, so that a worker admits them as it claims.

    What no worker admits within `OFFERED_SECONDS` the capture takes itself.

    Args:
        note: Called with what a worker admitted.
    """

    def __init__(self, settings: Settings, wake_up: WakeUp, note: Note) -> None:
        self._taking = Outbox.taking(settings.feed, PAGE)
        self._size = settings.squeezely.orders_per_batch
        self._wake_up = wake_up
        self._is_made = threading.Event()
        self._waits_since: float | None = None
        self._note = note
        self._is_open = False

    def open(self) -> None:
        """Offer from now on: there are workers."""
        self._is_open = True

    def make(self) -> bool:
        """Wake the workers for it.

        Returns:
            Whether the capture may leave it to them; False when there are none, or an
            earlier offer has waited for too long.
        """
        if not self._is_open:
            return False
        now = time.monotonic()
        since = self._waits_since = self._waits_since or now
        self._is_made.set()
        self._wake_up.notify()
        return now - since < OFFERED_SECONDS

    def take(self, source: Source) -> Touched | None:
        """Return what admits the orders; None: it was not made since the last time.

        They are found in `source`, beside outbox and ledger.
        """
        if not self._is_made.is_set():
            return None
        self._is_made.clear()  # before the claim: what is announced from now on is kept
        started = time.monotonic()

        def report(admitted: Admitted) -> None:
            if admitted.are_accepted and len(admitted.taken) < PAGE:
                self._waits_since = None
            self._note("listen", StepResult.of(admitted, time.monotonic() - started))

        return Touched(source.touched(self._taking), self._size, report)
