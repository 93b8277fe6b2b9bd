"""When a worker asks for something to send, and when it lets the database rest."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast, get_args

import pytest
from support.postgres import wait_until
from typing_extensions import override

from syncd.core.errors import DatabaseUnavailableError, PausedError
from syncd.daemon.delivery_loop import DeliveryLoop, RateLimiter
from syncd.daemon.error_policy import ErrorPolicy
from syncd.daemon.wakeup import WakeUps
from syncd.delivery.delivery import Delivery, DeliveryResult
from syncd.ledger.batches import Ledger
from syncd.ledger.claim import Lane, NextDue
from syncd.log.log import Log

SINCE = datetime(2026, 11, 20, tzinfo=UTC)


class Notes(Log):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__("shop")
        self.said: list[str] = []

    @override
    def emit(self, event: str, **fields: object) -> None:
        self.said.append(event)


class Idle:
    """A ledger in which nothing waits, and a delivery that counts what is asked."""

    def __init__(self) -> None:
        self.claims: list[Lane] = []
        self.looks = 0
        self.paused = False
        self.pauses_at = 0
        self.wake_ups = WakeUps()

    def deliver_next(self, lane: Lane) -> DeliveryResult | None:
        self.claims.append(lane)
        if self.paused:
            raise PausedError("sending", SINCE, None)
        return None

    def next_due(self, **_: object) -> NextDue:
        self.looks += 1
        if self.looks == self.pauses_at:
            self.paused = True
            self.wake_ups.sending.notify()
        return NextDue(None, past=False, backfill=False, unread=False)

    def run_idle_work(self) -> None: ...

    def finish(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def idle() -> Idle:
    return Idle()


def work(
    idle: Idle,
    wake_ups: WakeUps,
    until: Callable[[], object],
    rate: float | None = None,
) -> Notes:
    """Let a worker run until something holds."""
    notes = Notes()
    reactions = ErrorPolicy(notes, paused_seconds=0.05)
    delivery, ledger = cast("Delivery", idle), cast("Ledger", idle)
    running = DeliveryLoop(
        0, delivery, ledger, RateLimiter(rate, rate), wake_ups, reactions
    )
    running.idle_seconds = 0.02
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        wait_until(until)
    finally:
        reactions.stopping.set()
        wake_ups.notify()
        thread.join()
    return notes


def test_one_that_commands_wake_asks_once_whether_something_is_due(idle: Idle) -> None:
    """It claims when it begins, and when a wake-up comes."""
    wake_ups = WakeUps(are_notified=True)
    work(idle, wake_ups, lambda: idle.looks > 5)
    assert set(idle.claims) == {"live", "backfill"}
    assert idle.claims.count("live") <= 2  # the notify that ends it


def test_one_that_nobody_wakes_claims_each_time(idle: Idle) -> None:
    """For it is by claiming that a pause is noticed."""
    work(idle, WakeUps(), lambda: idle.claims.count("live") > 5)


@pytest.mark.parametrize("nudged", [False, True])
def test_a_pause_lasts_until_a_claim_is_answered(idle: Idle, *, nudged: bool) -> None:
    """What else it asks the database meanwhile tells nothing of it."""
    idle.pauses_at, idle.wake_ups = 3, WakeUps(are_notified=nudged)
    notes = work(idle, idle.wake_ups, lambda: idle.paused and len(idle.claims) > 12)
    assert notes.said == ["feed.paused"]


class Lost(Idle):
    """Has lost its database after each lane sent more than the rate allows at once."""

    @override
    def deliver_next(self, lane: Lane) -> DeliveryResult | None:
        super().deliver_next(lane)
        return DeliveryResult(1000, accepted=True, full=True)

    @override
    def next_due(self, **_: object) -> NextDue:
        self.looks += 1
        self.wake_ups.sending.notify()
        raise DatabaseUnavailableError("cut", "Wait.")


def test_one_that_its_rate_holds_proves_no_recovery() -> None:
    """It may send nothing for now, and asks the database nothing."""
    lost = Lost()
    notes = work(lost, lost.wake_ups, lambda: lost.looks > 2, rate=1.0)
    assert "database.unavailable" in notes.said
    assert "database.recovered" not in notes.said


class Late(Idle):
    """Has one batch, which is not given out when it is asked for first."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 1

    @override
    def deliver_next(self, lane: Lane) -> DeliveryResult | None:
        super().deliver_next(lane)
        if len(self.claims) <= len(get_args(Lane)) or not self.left:
            return None
        self.left -= 1
        return DeliveryResult(1, accepted=True)

    @override
    def next_due(self, **_: object) -> NextDue:
        return NextDue(
            0.0 if self.left else None, past=True, backfill=False, unread=False
        )


def test_one_pass_ends_only_when_nothing_is_due() -> None:
    """The rate's wait, or another's lock, may end just after it was looked at."""
    late = Late()
    delivery, ledger = cast("Delivery", late), cast("Ledger", late)
    reactions = ErrorPolicy(Notes())
    DeliveryLoop(
        0, delivery, ledger, RateLimiter(None, None), WakeUps(), reactions
    ).drain()
    assert not late.left
