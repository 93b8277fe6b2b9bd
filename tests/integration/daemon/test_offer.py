"""A worker admits what was touched in the transaction that claims it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Timer

import pytest
from support.claims import CLAIM_WAS_DURABLE, WATCH_CLAIMS
from support.desk import Desk
from support.postgres import wait_until
from support.shop import Shop
from typing_extensions import override

from syncd.capture.follower import StepResult
from syncd.capture.listen.capture import AdmissionContext, OutboxCapture, OutboxTuning
from syncd.capture.listen.notify import NotifyListener
from syncd.capture.listen.outbox import Outbox
from syncd.core.errors import PausedError
from syncd.daemon.offer import Offer
from syncd.daemon.wakeup import WakeUp
from syncd.demo.sandbox import Sandbox
from syncd.ledger.admission import Capture
from syncd.ledger.claiming import Touched
from syncd.ledger.pauses import PauseStore
from syncd.log.log import Log
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement

pytestmark = pytest.mark.db

VIEWS = """
CREATE OR REPLACE VIEW syncd.confirmed_orders AS
SELECT id AS order_key, confirmed_at + 1 / (total::int - 13) * interval '0'
    AS confirmed_at FROM orders WHERE confirmed_at IS NOT NULL;
CREATE OR REPLACE VIEW syncd.purchases AS
SELECT id AS order_key, 'W-' || id AS orderid, email, 'EUR' AS currency,
       total + 0 / (total::int - 14) AS totalvalue, products FROM orders;
"""
"""An order with a total of 13 cannot be read in the one, of 14 in the other."""


class OfferDesk(Desk):
    """A worker that is offered what the shop's triggers noted."""

    def __init__(self, shop: Shop, sandbox: Sandbox, folder: Path) -> None:
        super().__init__(shop, sandbox, folder, batch_size=5)
        self.noted: list[StepResult] = []
        self.wake_up = WakeUp()
        self.offer = Offer(self.settings, self.wake_up)
        self.offer.is_open = True
        self.outbox = Outbox(self.database, self.database, "shop")
        self.ear = Database(shop.dsn)

    @override
    def touched(self) -> Touched | None:
        return self.offer.take(self.source, self._note)

    def _note(self, capture: Capture, result: StepResult) -> None:
        assert capture == "listen"
        self.noted.append(result)

    def sell(self, orders: int = 1) -> None:
        """Confirm orders; nobody admits them."""
        self.shop.confirm(orders)

    def listening(self) -> OutboxCapture:
        intake = AdmissionContext(self.source, self.ledger, 5, spans_outbox=True)
        return OutboxCapture(
            self.outbox,
            NotifyListener(self.ear, self.database, "shop"),
            intake,
            Log("shop"),
            tuning=OutboxTuning(fallback_seconds=5),
            offer=self.offer.make,
        )

    @override
    def close(self) -> None:
        self.ear.close()
        super().close()


@pytest.fixture
def desk(hinting: Shop, tmp_path: Path) -> Iterator[OfferDesk]:
    hinting.sql(VIEWS)
    hinting.listen("orders:id")
    with Sandbox() as sandbox:
        opened = OfferDesk(hinting, sandbox, tmp_path)
        yield opened
        opened.close()


def test_what_is_offered_is_admitted_and_sent_by_one_claim(desk: OfferDesk) -> None:
    """And taken out of the outbox; an offer is taken once."""
    desk.sell(3)
    assert desk.deliver() is None
    assert desk.outbox.count() == 3
    desk.offer.make()
    result = desk.deliver()
    assert result is not None
    assert (result.events, desk.outbox.count()) == (3, 0)
    (noted,) = desk.noted
    assert (noted.orders, sorted(noted.keys)) == (3, ["1", "2", "3"])
    desk.sell()
    assert desk.deliver() is None
    assert desk.outbox.count() == 1


def test_what_is_offered_goes_before_past_orders(desk: OfferDesk) -> None:
    """Also when a past one is asked for: a live one is due then."""
    (past,) = desk.shop.confirm()
    desk.outbox.empty()
    with desk.ledger.admission() as watermark:
        found = desk.source.between(watermark, "infinity")
        desk.ledger.admit(found, "poll", size=5, is_behind=True)
    (live,) = desk.shop.confirm()
    desk.offer.make()
    assert desk.delivery.deliver_next("backfill") is None
    assert desk.deliver() is not None
    assert desk.posts([past, live]) == [0, 1]
    assert desk.delivery.deliver_next("backfill") is not None
    assert desk.posts([past, live]) == [1, 1]


def test_a_full_batch_says_that_there_may_be_more(desk: OfferDesk) -> None:
    """All touched orders are admitted; a claim takes one batch of them."""
    desk.sell(7)
    desk.offer.make()
    first, second = desk.deliver(), desk.deliver()
    assert first is not None
    assert second is not None
    assert [(r.events, r.full) for r in (first, second)] == [(5, True), (2, False)]


@pytest.mark.parametrize("total", [13, 14])
def test_a_row_that_cannot_be_read_holds_no_claim_up(
    desk: OfferDesk, total: int
) -> None:
    """What is due is sent; what is offered stays in the outbox, for the capture."""
    (due,) = desk.confirm()
    desk.outbox.empty()
    desk.shop.sql(
        "INSERT INTO orders (confirmed_at, total) "
        f"VALUES (clock_timestamp(), {total}), (clock_timestamp(), 25)"
    )
    desk.offer.make()
    desk.deliver_all()
    assert desk.posts([due]) == [1]
    assert (desk.outbox.count(), desk.noted) == (2, [])


def test_a_pause_of_sending_captures_all_the_same(desk: OfferDesk) -> None:
    """What was admitted is noted before the pause is reported."""
    PauseStore(desk.database, desk.ledger.feed_id).begin("sending", None)
    desk.sell()
    desk.offer.make()
    with pytest.raises(PausedError):
        desk.deliver()
    assert (desk.outbox.count(), [n.orders for n in desk.noted]) == (0, [1])


def test_a_pause_of_capture_sends_all_the_same(desk: OfferDesk) -> None:
    """What is due goes out; what was touched stays in the outbox."""
    (due,) = desk.confirm()
    desk.outbox.empty()
    PauseStore(desk.database, desk.ledger.feed_id).begin("capture", None)
    desk.sell()
    desk.offer.make()
    desk.deliver_all()
    assert (desk.posts([due]), desk.outbox.count()) == ([1], 1)


@pytest.mark.parametrize(("default", "kept"), [("off", "local"), ("on", "on")])
def test_the_claim_of_what_is_offered_waits_for_the_disk(
    desk: OfferDesk, default: str, kept: str
) -> None:
    """Though an admission alone would not."""
    desk.shop.sql(WATCH_CLAIMS)
    desk.database.run(Statement(f"SET synchronous_commit = {default}".encode()))
    desk.sell()
    desk.offer.make()
    assert len(desk.claim(desk.touched()).orders) == 1
    assert desk.shop.value(CLAIM_WAS_DURABLE) == kept


def test_the_capture_leaves_a_notification_to_a_worker_first(desk: OfferDesk) -> None:
    """However long it had waited for it."""
    listening = desk.listening()
    wait_until(lambda: listening.step(0.01).is_listening)

    def leaves_it() -> bool:
        heard = desk.wake_up.count
        selling = Timer(1, desk.sell)
        selling.start()
        keys: Sequence[str] = ()
        while desk.wake_up.count == heard:
            keys = listening.step(0.5).keys
        selling.join()
        desk.deliver_all()
        return not keys

    assert sum(leaves_it() for _ in range(5)) >= 4  # a machine may stall for 50 ms
    listening.close()


def test_an_offer_that_is_not_taken_is_the_captures(desk: OfferDesk) -> None:
    """However often it is made anew, until a worker could take what there was."""
    desk.shop.sql("INSERT INTO orders (confirmed_at, total) VALUES (now(), 13)")
    assert desk.offer.make()
    wait_until(lambda: not desk.offer.make())
    desk.deliver()
    assert not desk.offer.make()
    desk.shop.sql("UPDATE orders SET total = 25")
    desk.deliver()
    assert desk.offer.make()


def test_the_capture_takes_what_no_worker_has_taken(desk: OfferDesk) -> None:
    """Whether it was offered or not."""
    listening = desk.listening()
    wait_until(lambda: not listening.step(0.01).keys)
    desk.sell()
    wait_until(lambda: listening.step(0.01).orders == 1)
    assert desk.outbox.count() == 0
    listening.close()
