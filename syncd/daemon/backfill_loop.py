"""The backfill loop: takes page after page of a running backfill, while there is room.

Only little waits in the ledger at a time, so that live orders, a pause and a
cancellation find short queues. Of several daemons one takes each page.
"""

from dataclasses import dataclass
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

QUEUE_SECONDS = 5.0
"""How much may wait in the ledger: what the rate sends in so long."""

LIVE_LAG = timedelta(seconds=2)
"""How long a live order may wait before nothing more is captured of the past."""

LOG_PERIOD = timedelta(seconds=30)

IDLE_SECONDS = 60.0
QUIET_SECONDS = 600.0
"""How long the loop sleeps without a backfill, unless it is woken; where commands
wake it."""

BUSY_SECONDS = 5.0
SHORTEST_SECONDS = 0.1
"""How long it sleeps, at most and at least, while there is no room for a page."""


@dataclass(frozen=True, slots=True)
class BackfillLimits:
    """How much of the past is taken at a time.

    Attributes:
        page: Orders that are captured together; live ones are admitted between pages.
        waiting: Orders that may wait in the ledger, at most.
        size: Orders that a batch may hold.
        rate: Orders that are sent in a second, at most; None: any number.
    """

    page: int = 1_000
    waiting: int = 20_000
    size: int = 100
    rate: float | None = None

    @property
    def room(self) -> int:
        """How many orders may wait: what the rate sends in a while, and at most."""
        most = self.waiting
        queue = most if self.rate is None else self.rate * QUEUE_SECONDS
        return max(self.page, min(round(queue), most))


class BackfillLoop:
    """Drives the backfills of one feed; run it in a thread of its own.

    Args:
        wake_ups: Of the workers, and its own.
    """

    def __init__(
        self,
        source: Source,
        ledger: Ledger,
        wake_ups: WakeUps,
        log: Log,
        limits: BackfillLimits,
        reading: Reading = read_whole,
    ) -> None:
        self._limits = limits
        self._reading = reading
        self._source = source
        self._store = BackfillStore(ledger)
        self._wake_ups = wake_ups
        self._log = log
        self._idle_seconds = QUIET_SECONDS if wake_ups.are_notified else IDLE_SECONDS
        self._logged: dict[int, int] = {}
        self._seconds = 0.0

    def run(self, reactions: ErrorPolicy) -> None:
        """Drive until the daemon stops, at once after each wake-up."""
        wake_up = self._wake_ups.backfill
        while not reactions.stopping.is_set():
            seen = wake_up.count
            reactions.run("backfill", self._take_step, self._idle_seconds)
            reactions.stopping.wait(min(self._seconds, SHORTEST_SECONDS))
            wake_up.wait(
                seen, max(self._seconds, reactions.seconds_to_wait("backfill"))
            )

    def _take_step(self) -> None:
        self._seconds = self.step()

    def advance(self) -> bool:
        """Do what is to be done now; False when no page was taken."""
        return self.step() == 0

    def step(self) -> float:
        """Take a page of each that has room, end what is done, log what changed.

        Returns:
            In how many seconds to do so again; 0.0 when a page was taken.
        """
        seconds = self._idle_seconds
        for active in self._store.active(LIVE_LAG, LOG_PERIOD):
            if active.is_news:
                self._log_state(active.backfill)
            if active.state == "running":
                seconds = min(seconds, self._advance(active))
        return seconds

    def _advance(self, active: ActiveBackfill) -> float:
        if active.is_captured and not active.waiting:
            if self._store.finish(active.backfill):
                self._log_state(active.backfill)
            return BUSY_SECONDS
        if active.waits_for == "live" or (active.waits_for and active.waiting):
            return BUSY_SECONDS  # without anything to send nothing would probe the API
        room = 0 if active.is_captured else self._limits.room
        if active.waiting < room:
            self._reading(lambda: self._take(active))
            return 0.0
        rate = self._limits.rate
        seconds = (active.waiting - room) / rate if rate else 0.0
        return min(max(seconds, SHORTEST_SECONDS), BUSY_SECONDS)

    def _take(self, active: ActiveBackfill) -> None:
        page = self._source.page(active.position, active.upper, self._limits.page)
        if self._store.capture(active, page, self._limits.size):
            self._wake_ups.sending.notify()

    def _log_state(self, number: int) -> None:
        """Write the line of a new state, or of progress, unless another daemon did."""
        logged = self._store.claim_log_line(number, LOG_PERIOD)
        if logged is None:
            return
        before, state = logged
        progress = self._store.get(number)
        if before == state and self._logged.get(number) == progress.settled:
            return
        self._logged[number] = progress.settled
        self._emit(
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

    def _emit(self, before: str | None, state: str, **facts: object) -> None:
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
