"""When fingerprints are taken and written: never while orders are being sent."""

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


class Keeping:
    """A ledger's database that counts what is written; a clock that stands still."""

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
def keeping(monkeypatch: pytest.MonkeyPatch) -> Keeping:
    made = Keeping()
    monkeypatch.setattr("syncd.delivery.fingerprints.time.monotonic", lambda: made.now)
    return made


@pytest.fixture
def noted(keeping: Keeping) -> Fingerprints:
    ledger, database = cast("Ledger", keeping), cast("Database", keeping)
    return Fingerprints(ledger, database, "syncd.purchases", FingerprintKey.of("key"))


def send(noted: Fingerprints, keeping: Keeping, *orders: int) -> None:
    """Note orders; then do aside what may be done at once."""
    purchases = [
        (str(n), Event.of({"event": "Purchase", "orderid": f"W-{n}"})) for n in orders
    ]
    noted.note(CLAIM, purchases)
    while noted.work() == 0.0 and not keeping.written:
        pass


def test_a_shop_at_rest_has_them_written_after_a_lull(
    noted: Fingerprints, keeping: Keeping
) -> None:
    send(noted, keeping, 1, 2)
    assert noted.work() == LULL_SECONDS
    keeping.now += LULL_SECONDS
    assert noted.work() is None
    assert keeping.written == ["1", "2"]


def test_while_orders_are_sent_nothing_is_written_before_the_latest_time(
    noted: Fingerprints, keeping: Keeping
) -> None:
    """Each write would hold an order up."""
    began, order = keeping.now, 0
    while not keeping.written:
        keeping.now += LULL_SECONDS / 2
        send(noted, keeping, order := order + 1)
    assert keeping.now - began == pytest.approx(LATEST_SECONDS, abs=LULL_SECONDS)
    assert len(keeping.written) == order


def test_what_is_taken_at_a_time_is_little(
    noted: Fingerprints, keeping: Keeping
) -> None:
    """However much was sent: so is what is taken before something is written."""
    purchase = Event.of({"event": "Purchase", "orderid": "W-1"})
    noted.note(CLAIM, [(str(n), purchase) for n in range(900)])
    looks = 1
    while noted.work() == 0.0:
        looks += 1
    assert looks == WRITTEN / AT_ONCE + 1
    keeping.now += LULL_SECONDS
    assert noted.work() == 0.0
    assert len(keeping.written) == WRITTEN


def test_what_could_not_be_written_is_tried_again(
    noted: Fingerprints, keeping: Keeping
) -> None:
    keeping.is_down = True
    send(noted, keeping, 1)
    keeping.now += LULL_SECONDS
    noted.work()
    assert noted.work() == LULL_SECONDS
    keeping.is_down = False
    keeping.now += LULL_SECONDS
    assert noted.work() is None
    assert keeping.written == ["1"]
