"""A worker admits what was touched in the transaction that claims it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Timer

import pytest
from support.claims import CLAIM_WAS_DURABLE, WATCH_CLAIMS
from support.harness import Harness
from support.postgres import wait_until
from support.shop import Shop

from syncd.capture.follower import ChangeFollower, StepResult
from syncd.capture.listen.outbox import Outbox
from syncd.core.errors import PausedError
from syncd.demo.sandbox import Sandbox
from syncd.ledger.admission import Capture
from syncd.ledger.pauses import PauseStore
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


class OfferHarness(Harness):
    """A worker that is offered what the shop's triggers noted."""

    def __init__(self, shop: Shop, sandbox: Sandbox, folder: Path) -> None:
        listen = {"capture": "listen", "poll_interval": "5s"}
        super().__init__(shop, sandbox, folder, source=listen, batch_size=5)
        self.noted: list[StepResult] = []
        self.wake_up = self.components.wake_ups.sending
        self.offer = self.components.offer
        self.offer.is_open, self.offer.note = True, self._note
        self.outbox = Outbox(self.database, self.database, "shop")

    def _note(self, capture: Capture, result: StepResult) -> None:
        assert capture == "listen"
        self.noted.append(result)

    def follower(self) -> ChangeFollower:
        """Make the capture, which offers before it admits."""
        follower = self.components.follower(self.feed)
        assert follower
        return follower


@pytest.fixture
def offer_harness(notifying_shop: Shop, tmp_path: Path) -> Iterator[OfferHarness]:
    notifying_shop.sql(VIEWS)
    notifying_shop.listen("orders:id")
    with Sandbox() as sandbox:
        opened = OfferHarness(notifying_shop, sandbox, tmp_path)
        yield opened
        opened.close()


def test_what_is_offered_is_admitted_and_sent_by_one_claim(
    offer_harness: OfferHarness,
) -> None:
    """And taken out of the outbox; an offer is taken once."""
    offer_harness.shop.confirm(3)
    assert offer_harness.deliver() is None
    assert offer_harness.outbox.count() == 3
    offer_harness.offer.make()
    result = offer_harness.deliver()
    assert result is not None
    assert (result.events, offer_harness.outbox.count()) == (3, 0)
    (noted,) = offer_harness.noted
    assert (noted.orders, sorted(noted.keys)) == (3, ["1", "2", "3"])
    offer_harness.shop.confirm()
    assert offer_harness.deliver() is None
    assert offer_harness.outbox.count() == 1


def test_what_is_offered_goes_before_past_orders(offer_harness: OfferHarness) -> None:
    """Also when a past one is asked for: a live one is due then."""
    (past,) = offer_harness.shop.confirm()
    offer_harness.outbox.empty()
    with offer_harness.ledger.admission() as watermark:
        found = offer_harness.source.between(watermark, "infinity")
        offer_harness.ledger.admit(found, "poll", size=5, is_behind=True)
    (live,) = offer_harness.shop.confirm()
    offer_harness.offer.make()
    assert offer_harness.delivery.deliver_next("backfill") is None
    assert offer_harness.deliver() is not None
    assert offer_harness.posts([past, live]) == [0, 1]
    assert offer_harness.delivery.deliver_next("backfill") is not None
    assert offer_harness.posts([past, live]) == [1, 1]


def test_a_full_batch_says_that_there_may_be_more(offer_harness: OfferHarness) -> None:
    """All touched orders are admitted; a claim takes one batch of them."""
    offer_harness.shop.confirm(7)
    offer_harness.offer.make()
    first, second = offer_harness.deliver(), offer_harness.deliver()
    assert first is not None
    assert second is not None
    assert [(r.events, r.full) for r in (first, second)] == [(5, True), (2, False)]


@pytest.mark.parametrize("total", [13, 14])
def test_a_row_that_cannot_be_read_holds_no_claim_up(
    offer_harness: OfferHarness, total: int
) -> None:
    """What is due is sent; what is offered stays in the outbox, for the capture."""
    (due,) = offer_harness.confirm()
    offer_harness.outbox.empty()
    offer_harness.shop.sql(
        "INSERT INTO orders (confirmed_at, total) "
        f"VALUES (clock_timestamp(), {total}), (clock_timestamp(), 25)"
    )
    offer_harness.offer.make()
    offer_harness.deliver_all()
    assert offer_harness.posts([due]) == [1]
    assert (offer_harness.outbox.count(), offer_harness.noted) == (2, [])


def test_a_pause_of_sending_captures_all_the_same(offer_harness: OfferHarness) -> None:
    """What was admitted is noted before the pause is reported."""
    PauseStore(offer_harness.database, offer_harness.ledger.feed_id).begin(
        "sending", None
    )
    offer_harness.shop.confirm()
    offer_harness.offer.make()
    with pytest.raises(PausedError):
        offer_harness.deliver()
    assert (offer_harness.outbox.count(), [n.orders for n in offer_harness.noted]) == (
        0,
        [1],
    )


def test_a_pause_of_capture_sends_all_the_same(offer_harness: OfferHarness) -> None:
    """What is due goes out; what was touched stays in the outbox."""
    (due,) = offer_harness.confirm()
    offer_harness.outbox.empty()
    PauseStore(offer_harness.database, offer_harness.ledger.feed_id).begin(
        "capture", None
    )
    offer_harness.shop.confirm()
    offer_harness.offer.make()
    offer_harness.deliver_all()
    assert (offer_harness.posts([due]), offer_harness.outbox.count()) == ([1], 1)


@pytest.mark.parametrize(("default", "kept"), [("off", "local"), ("on", "on")])
def test_the_claim_of_what_is_offered_waits_for_the_disk(
    offer_harness: OfferHarness, default: str, kept: str
) -> None:
    """Though an admission alone would not."""
    offer_harness.shop.sql(WATCH_CLAIMS)
    offer_harness.database.run(
        Statement(f"SET synchronous_commit = {default}".encode())
    )
    offer_harness.shop.confirm()
    offer_harness.offer.make()
    assert (
        len(offer_harness.claim(offer_harness.offer.take(offer_harness.source)).orders)
        == 1
    )
    assert offer_harness.shop.value(CLAIM_WAS_DURABLE) == kept


def test_the_capture_leaves_a_notification_to_a_worker_first(
    offer_harness: OfferHarness,
) -> None:
    """However long it had waited for it."""
    follower = offer_harness.follower()
    wait_until(lambda: follower.step(0.01).is_listening)

    def leaves_it() -> bool:
        heard = offer_harness.wake_up.count
        selling = Timer(1, offer_harness.shop.confirm)
        selling.start()
        keys: Sequence[str] = ()
        while offer_harness.wake_up.count == heard:
            keys = follower.step(0.5).keys
        selling.join()
        offer_harness.deliver_all()
        return not keys

    assert sum(leaves_it() for _ in range(5)) >= 4  # a machine may stall for 50 ms
    follower.close()


def test_an_offer_that_is_not_taken_is_the_captures(
    offer_harness: OfferHarness,
) -> None:
    """However often it is made anew, until a worker could take what there was."""
    offer_harness.shop.sql(
        "INSERT INTO orders (confirmed_at, total) VALUES (now(), 13)"
    )
    assert offer_harness.offer.make()
    wait_until(lambda: not offer_harness.offer.make())
    offer_harness.deliver()
    assert not offer_harness.offer.make()
    offer_harness.shop.sql("UPDATE orders SET total = 25")
    offer_harness.deliver()
    assert offer_harness.offer.make()


def test_the_capture_takes_what_no_worker_has_taken(
    offer_harness: OfferHarness,
) -> None:
    """Whether it was offered or not."""
    follower = offer_harness.follower()
    wait_until(lambda: not follower.step(0.01).keys)
    offer_harness.shop.confirm()
    wait_until(lambda: follower.step(0.01).orders == 1)
    assert offer_harness.outbox.count() == 0
    follower.close()
