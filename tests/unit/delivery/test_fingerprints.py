"""When fingerprints are computed and written: never while orders are being sent."""

from datetime import UTC, datetime
from typing import cast
from uuid import UUID

import pytest

from syncd.core.errors import DatabaseUnavailableError
from syncd.core.event import Event
from syncd.core.event_diff import FingerprintKey
from syncd.delivery.fingerprints import (
    AT_ONCE,
    LATEST_SECONDS,
    LULL_SECONDS,
    WRITTEN,
    Fingerprints,
)
from syncd.ledger.batches import Ledger
from syncd.ledger.claim import Claim
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement

CLAIM = Claim(
    1,
    1,
    UUID(int=0),
    0,
    0,
    None,
    datetime(2026, 11, 20, tzinfo=UTC),
    probes=False,
    with_profile=True,
    is_resend=False,
    orders=[],
)


class RecordingDatabase:
    """A ledger's database that counts what is written, with a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.is_down = False
        self.written: list[str] = []
        self.feed_id = 1
        self.database = self

    def value(self, _: type[str], __: Statement, **___: object) -> str:
        return "the view"

    def run(self, _: Statement, **params: object) -> int:
        if self.is_down:
            raise DatabaseUnavailableError("gone", "")
        self.written += cast("list[str]", params.get("keys", []))
        return 1


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> RecordingDatabase:
    made = RecordingDatabase()
    monkeypatch.setattr("syncd.delivery.fingerprints.time.monotonic", lambda: made.now)
    return made


@pytest.fixture
def prints(recording: RecordingDatabase) -> Fingerprints:
    ledger, database = cast("Ledger", recording), cast("Database", recording)
    return Fingerprints(ledger, database, "syncd.purchases", FingerprintKey.of("key"))


def send(prints: Fingerprints, recording: RecordingDatabase, *orders: int) -> None:
    """Record orders; then do the background work that is due now."""
    purchases = [
        (str(n), Event.of({"event": "Purchase", "orderid": f"W-{n}"})) for n in orders
    ]
    prints.note(CLAIM, purchases)
    while prints.work() == 0.0 and not recording.written:
        pass


def test_an_idle_shops_fingerprints_are_written_after_a_lull(
    prints: Fingerprints, recording: RecordingDatabase
) -> None:
    """A lull is a time in which nothing is sent."""
    send(prints, recording, 1, 2)
    assert prints.work() == LULL_SECONDS
    recording.now += LULL_SECONDS
    assert prints.work() is None
    assert recording.written == ["1", "2"]


def test_while_orders_are_sent_nothing_is_written_before_the_latest_time(
    prints: Fingerprints, recording: RecordingDatabase
) -> None:
    """Each write would delay an order."""
    began, order = recording.now, 0
    while not recording.written:
        recording.now += LULL_SECONDS / 2
        send(prints, recording, order := order + 1)
    assert recording.now - began == pytest.approx(LATEST_SECONDS, abs=LULL_SECONDS)
    assert len(recording.written) == order


def test_the_work_is_done_in_small_steps(
    prints: Fingerprints, recording: RecordingDatabase
) -> None:
    """However many orders were sent, and also before anything is written."""
    purchase = Event.of({"event": "Purchase", "orderid": "W-1"})
    prints.note(CLAIM, [(str(n), purchase) for n in range(900)])
    steps = 1
    while prints.work() == 0.0:
        steps += 1
    assert steps == WRITTEN / AT_ONCE + 1
    recording.now += LULL_SECONDS
    assert prints.work() == 0.0
    assert len(recording.written) == WRITTEN


def test_a_failed_write_is_retried(
    prints: Fingerprints, recording: RecordingDatabase
) -> None:
    """The fingerprints are kept until they are written."""
    recording.is_down = True
    send(prints, recording, 1)
    recording.now += LULL_SECONDS
    prints.work()
    assert prints.work() == LULL_SECONDS
    recording.is_down = False
    recording.now += LULL_SECONDS
    assert prints.work() is None
    assert recording.written == ["1"]
