"""The driver: takes page after page of a running backfill, while there is room.

Only little waits in the ledger at a time, so that live orders, a pause and a
cancellation find short queues. Of several daemons one takes each page.
"""

from datetime import timedelta

from syncd.backfill.active import ActiveBackfill
from syncd.backfill.store import BackfillStore
from syncd.capture.unreadable import Reading, read_whole
from syncd.core.tally import moment
from syncd.daemon.error_policy import ErrorPolicy
from syncd.daemon.wakeup import WakeUps
from syncd.ledger.batches import Ledger
from syncd.log.log import Log
from syncd.source.orders import Source

PAGE_ORDERS = 1_000
"""Orders that are captured at a time; live ones are admitted between two pages."""

STOCK_SECONDS = 5.0
STOCK_ORDERS = 20_000
"""How much may wait in the ledger: what the rate sends in a while, and at most."""

LIVE_LAG = timedelta(seconds=2)
"""How long a live order may wait before nothing more is captured of the past."""

TOLD_EVERY = timedelta(seconds=30)

IDLE_SECONDS = 60.0
QUIET_SECONDS = 600.0
"""How long the driver sleeps without a backfill, unless it is woken; where commands
wake it."""

BUSY_SECONDS = 5.0
SHORTEST_SECONDS = 0.1
"""How long it sleeps, at most and at least, while there is no room for a page."""


class BackfillLoop:
    """Drives the backfills of one feed; run it in a thread of its own.

    Attributes:
        reading: Reads the view.
        page: Orders that are captured at a time.
        most_waiting: Orders that may wait in the ledger, at most.
    """

    def __init__(
        self,
        source: Source,
        ledger: Ledger,
        wake_ups: WakeUps,
        log: Log,
        *,
        size: int,
        rate: float | None,
    ) -> None:
        self.page, self.most_waiting = PAGE_ORDERS, STOCK_ORDERS
        self.reading: Reading = read_whole
        self._source = source
        self._register = BackfillStore(ledger)
        self._wake_ups = wake_ups
        self._log = log
        self._size = size
        self._rate = rate
        self._idle_seconds = QUIET_SECONDS if wake_ups.are_notified else IDLE_SECONDS
        self._told: dict[int, int] = {}
        self._seconds = 0.0

    def run(self, reactions: ErrorPolicy) -> None:
        """Drive until the daemon stops, at once after each wake-up."""
        wake_up = self._wake_ups.backfill
        while not reactions.stopping.is_set():
            heard = wake_up.count
            reactions.run("backfill", self._look, self._idle_seconds)
            reactions.stopping.wait(min(self._seconds, SHORTEST_SECONDS))
            wake_up.wait(
                heard, max(self._seconds, reactions.seconds_to_wait("backfill"))
            )

    def _look(self) -> None:
        self._seconds = self.step()

    def _room(self) -> int:
        """Return how many orders may wait: what the rate sends in a while."""
        most = self.most_waiting
        stock = most if self._rate is None else self._rate * STOCK_SECONDS
        return max(self.page, min(round(stock), most))

    def step_on(self) -> bool:
        """Do what is to be done now; False when no page was taken."""
        return self.step() == 0

    def step(self) -> float:
        """Take a page of each that has room, end what is done, log what changed.

        Returns:
            In how many seconds to look again; 0.0 when a page was taken.

        Raises:
            SyncdError: The database failed, or the views cannot be read.
        """
        seconds = self._idle_seconds
        for steered in self._register.steering(LIVE_LAG, TOLD_EVERY):
            if steered.is_news:
                self._tell(steered.backfill)
            if steered.state == "running":
                seconds = min(seconds, self._drive(steered))
        return seconds

    def _drive(self, steered: ActiveBackfill) -> float:
        if steered.is_captured and not steered.waiting:
            if self._register.finish(steered.backfill):
                self._tell(steered.backfill)
            return BUSY_SECONDS
        if steered.waits_for == "live" or (steered.waits_for and steered.waiting):
            return BUSY_SECONDS  # without anything to send nothing would probe the API
        room = 0 if steered.is_captured else self._room()
        if steered.waiting < room:
            self.reading(lambda: self._take(steered))
            return 0.0
        seconds = (steered.waiting - room) / self._rate if self._rate else 0.0
        return min(max(seconds, SHORTEST_SECONDS), BUSY_SECONDS)

    def _take(self, steered: ActiveBackfill) -> None:
        page = self._source.page(steered.position, steered.upper, self.page)
        if self._register.capture(steered, page, self._size):
            self._wake_ups.sending.notify()

    def _tell(self, number: int) -> None:
        """Write the line of a new state, or of progress, unless another daemon did."""
        told = self._register.tell(number, TOLD_EVERY)
        if told is None:
            return
        before, state = told
        progress = self._register.get(number)
        if before == state and self._told.get(number) == progress.settled:
            return
        self._told[number] = progress.settled
        self._say(
            before,
            state,
            backfill=number,
            purpose=progress.purpose,
            lower=moment(progress.lower),
            upper=moment(progress.upper),
            planned=progress.planned,
            captured=progress.captured,
            settled=progress.settled,
            resent=progress.resent,
            rejected=progress.rejected,
            released=progress.released,
        )

    def _say(self, before: str | None, state: str, **facts: object) -> None:
        if state == "finished":
            self._log.emit("backfill.finished", **facts)
        elif state == "cancelled":
            self._log.emit("backfill.cancelled", **facts)
        elif state == "paused":
            self._log.emit("backfill.paused", **facts)
        elif before == "paused":
            self._log.emit("backfill.resumed", **facts)
        elif before == "running":
            self._log.emit("backfill.progressed", **facts)
        else:
            self._log.emit("backfill.started", **facts)
