"""A worker admits outbox rows in the transaction that claims them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Timer

import pytest
from support.claims import CLAIM_WAS_DURABLE, WATCH_CLAIMS
from support.harness import Harness
from support.log_lines import LogLines
from support.postgres import wait_until
from support.shop import Shop

from syncd.capture.follower import ChangeFollower
from syncd.capture.listen.outbox import Outbox
from syncd.core.errors import PausedError
from syncd.demo.sandbox import Sandbox
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
"""An order with a total of 13 is unreadable in one view, with 14 in the other."""


class OfferHarness(Harness):
    """A worker with an offer of the outbox rows that triggers recorded."""

    def __init__(self, shop: Shop, sandbox: Sandbox, folder: Path) -> None:
        listen = {"capture": "listen", "poll_interval": "5s"}
        self.log = LogLines()
        super().__init__(
            shop, sandbox, folder, source=listen, log=self.log, batch_size=5
        )
        self.wake_up = self.components.wake_ups.sending
        self.offer = self.components.offer
        self.offer.open()
        self.outbox = Outbox(self.database, self.database, "shop")

    def captured(self) -> list[object]:
        """Return the numbers of orders that were logged as captured."""
        lines = self.log.of("orders.captured")
        assert {line["capture"] for line in lines} <= {"listen"}
        return [line["orders"] for line in lines]

    def follower(self) -> ChangeFollower:
        """Make the capture, which offers before it admits."""
        follower = self.components.follower()
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


def test_offered_rows_are_admitted_and_claimed_together(
    offer_harness: OfferHarness,
) -> None:
    """They are deleted from the outbox; an offer is taken once."""
    offer_harness.shop.confirm(3)
    assert offer_harness.deliver() is None
    assert offer_harness.outbox.count() == 3
    offer_harness.offer.make()
    result = offer_harness.deliver()
    assert result is not None
    assert (result.events, offer_harness.outbox.count()) == (3, 0)
    assert offer_harness.captured() == [3]
    offer_harness.shop.confirm()
    assert offer_harness.deliver() is None
    assert offer_harness.outbox.count() == 1


def test_offered_rows_are_sent_before_past_orders(offer_harness: OfferHarness) -> None:
    """A live batch is due even when a past one is requested."""
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


def test_a_full_batch_reports_that_more_may_follow(offer_harness: OfferHarness) -> None:
    """All offered orders are admitted; a claim takes one batch of them."""
    offer_harness.shop.confirm(7)
    offer_harness.offer.make()
    first, second = offer_harness.deliver(), offer_harness.deliver()
    assert first is not None
    assert second is not None
    assert [(r.events, r.full) for r in (first, second)] == [(5, True), (2, False)]


@pytest.mark.parametrize("total", [13, 14])
def test_an_unreadable_row_does_not_block_a_claim(
    offer_harness: OfferHarness, total: int
) -> None:
    """What is due is sent; the offered rows stay in the outbox for the capture."""
    (due,) = offer_harness.confirm()
    offer_harness.outbox.empty()
    offer_harness.shop.sql(
        "INSERT INTO orders (confirmed_at, total) "
        f"VALUES (clock_timestamp(), {total}), (clock_timestamp(), 25)"
    )
    offer_harness.offer.make()
    offer_harness.deliver_all()
    assert offer_harness.posts([due]) == [1]
    assert (offer_harness.outbox.count(), offer_harness.captured()) == (2, [])


def test_offered_rows_are_captured_while_sending_is_paused(
    offer_harness: OfferHarness,
) -> None:
    """The admission is recorded before the pause is reported."""
    PauseStore(offer_harness.database, offer_harness.ledger.feed_id).begin(
        "sending", None
    )
    offer_harness.shop.confirm()
    offer_harness.offer.make()
    with pytest.raises(PausedError):
        offer_harness.deliver()
    assert (offer_harness.outbox.count(), offer_harness.captured()) == (0, [1])


def test_due_batches_are_sent_while_capture_is_paused(
    offer_harness: OfferHarness,
) -> None:
    """The offered rows stay in the outbox."""
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
def test_a_claim_of_offered_rows_is_committed_durably(
    offer_harness: OfferHarness, default: str, kept: str
) -> None:
    """An admission alone would not be."""
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
    """It does so however long it had waited for the notification."""
    follower = offer_harness.follower()
    wait_until(lambda: follower.step(0.01).is_listening)

    def leaves_it() -> bool:
        notifications = offer_harness.wake_up.count
        selling = Timer(1, offer_harness.shop.confirm)
        selling.start()
        keys: Sequence[str] = ()
        while offer_harness.wake_up.count == notifications:
            keys = follower.step(0.5).keys
        selling.join()
        offer_harness.deliver_all()
        return not keys

    assert sum(leaves_it() for _ in range(5)) >= 4  # a machine may stall for 50 ms
    follower.close()


def test_an_offer_that_no_worker_takes_returns_to_the_capture(
    offer_harness: OfferHarness,
) -> None:
    """However often it is renewed, until a worker could take it."""
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


def test_the_capture_admits_what_no_worker_has_taken(
    offer_harness: OfferHarness,
) -> None:
    """It admits rows whether they were offered or not."""
    follower = offer_harness.follower()
    wait_until(lambda: not follower.step(0.01).keys)
    offer_harness.shop.confirm()
    wait_until(lambda: follower.step(0.01).orders == 1)
    assert offer_harness.outbox.count() == 0
    follower.close()
