"""When a worker queries for due batches, and when it leaves the database alone."""

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


class LogRecorder(Log):
    """Records what is logged."""

    def __init__(self) -> None:
        super().__init__("shop")
        self.events: list[str] = []

    @override
    def emit(self, event: str, **fields: object) -> None:
        self.events.append(event)


class IdleDelivery:
    """A delivery without due batches, which records the queries."""

    def __init__(self) -> None:
        self.claims: list[Lane] = []
        self.queries = 0
        self.paused = False
        self.pauses_at = 0
        self.wake_ups = WakeUps()

    def deliver_next(self, lane: Lane) -> DeliveryResult | None:
        self.claims.append(lane)
        if self.paused:
            raise PausedError("sending", SINCE, None)
        return None

    def next_due(self, **_: object) -> NextDue:
        self.queries += 1
        if self.queries == self.pauses_at:
            self.paused = True
            self.wake_ups.sending.notify()
        return NextDue(None, past=False, backfill=False, unread=False)

    def run_idle_work(self) -> None: ...

    def finish(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def idle() -> IdleDelivery:
    return IdleDelivery()


def run_worker(
    idle: IdleDelivery,
    wake_ups: WakeUps,
    until: Callable[[], object],
    rate: float | None = None,
) -> LogRecorder:
    """Run a worker until a condition holds."""
    notes = LogRecorder()
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


def test_a_worker_that_is_notified_queries_only_once(idle: IdleDelivery) -> None:
    """It claims when it starts, and after a wake-up."""
    wake_ups = WakeUps(are_notified=True)
    run_worker(idle, wake_ups, lambda: idle.queries > 5)
    assert set(idle.claims) == {"live", "backfill"}
    assert idle.claims.count("live") <= 2  # the notify that ends it


def test_a_worker_that_is_not_notified_claims_each_time(idle: IdleDelivery) -> None:
    """A claim is how it detects a pause."""
    run_worker(idle, WakeUps(), lambda: idle.claims.count("live") > 5)


@pytest.mark.parametrize("wakes", [False, True])
def test_a_pause_lasts_until_a_claim_succeeds(
    idle: IdleDelivery, *, wakes: bool
) -> None:
    """Its other queries do not detect the end of a pause."""
    idle.pauses_at, idle.wake_ups = 3, WakeUps(are_notified=wakes)
    notes = run_worker(
        idle, idle.wake_ups, lambda: idle.paused and len(idle.claims) > 12
    )
    assert notes.events == ["feed.paused"]


class LostDatabase(IdleDelivery):
    """Loses its database after each lane sent more than the rate allows at once."""

    @override
    def deliver_next(self, lane: Lane) -> DeliveryResult | None:
        super().deliver_next(lane)
        return DeliveryResult(1000, accepted=True, full=True)

    @override
    def next_due(self, **_: object) -> NextDue:
        self.queries += 1
        self.wake_ups.sending.notify()
        raise DatabaseUnavailableError("cut", "Wait.")


def test_a_worker_that_waits_for_the_rate_proves_no_recovery() -> None:
    """It sends nothing meanwhile, and does not query the database."""
    lost = LostDatabase()
    notes = run_worker(lost, lost.wake_ups, lambda: lost.queries > 2, rate=1.0)
    assert "database.unavailable" in notes.events
    assert "database.recovered" not in notes.events


class LockedBatch(IdleDelivery):
    """Has one batch, which the first claim does not get."""

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
    """A wait for the rate or another's lock may end just after the query."""
    late = LockedBatch()
    delivery, ledger = cast("Delivery", late), cast("Ledger", late)
    reactions = ErrorPolicy(LogRecorder())
    DeliveryLoop(
        0, delivery, ledger, RateLimiter(None, None), WakeUps(), reactions
    ).drain()
    assert not late.left
