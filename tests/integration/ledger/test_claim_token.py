"""A settlement needs its claim's token: a lost or replaced claim changes nothing."""

from contextlib import closing, suppress
from pathlib import Path
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs
from support.feed_harness import ago
from support.harness import LEASE, Harness
from support.postgres import wait_until
from support.shop import Shop

from syncd.delivery.delivery import DeliveryResult
from syncd.delivery.squeezely import Squeezely
from syncd.demo.sandbox import Sandbox
from syncd.ledger.claim import ExcludedOrder, Receipt
from syncd.ledger.instance import Instance
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement

pytestmark = pytest.mark.db

SHOW_DURABLE = Statement(b"SHOW synchronous_commit")


def lose_claim(harness: Harness) -> None:
    """Undo a claim, as a server crash does before its commit is written."""
    unclaimed = {"claim_token": None, "instance_id": None, "lease_until": None}
    harness.shop.update("batch", {"state": "pending", "attempts": 0, **unclaimed})
    harness.shop.delete("attempt")


def standing(harness: Harness) -> list[tuple[object, ...]]:
    return [
        (order.order_key, order.batch.state, order.batch.uncertain_attempts)
        for order in harness.shop.captured_orders()
    ]


def test_a_late_success_of_a_lost_claim_delivers_nothing(harness: Harness) -> None:
    """The batch was extended meanwhile; both orders are counted, and sent."""
    harness.confirm(1)
    claim = harness.claim()
    lose_claim(harness)
    harness.confirm(1)
    assert harness.accept(claim) is None
    assert harness.ledger.mark_uncertain(claim, ["1"], holds=False) == 1
    assert standing(harness) == [("1", "pending", 1), ("2", "pending", 1)]


def test_a_late_success_never_settles_another_claim_with_its_numbers(
    harness: Harness,
) -> None:
    """A restored ledger assigns the same numbers of batch and attempt again."""
    harness.confirm(1)
    claim = harness.claim()
    lose_claim(harness)
    again = harness.claim()
    assert (again.batch_id, again.attempt) == (claim.batch_id, claim.attempt)
    assert again.token != claim.token
    assert harness.accept(claim) is None
    assert not harness.ledger.requeue(claim, Receipt("transient"))
    assert not harness.ledger.renew(claim, LEASE)
    assert not harness.ledger.postpone(claim, ["1"], LEASE)
    gone = [ExcludedOrder("1", "withdrawn", "gone", None)]
    assert not harness.ledger.exclude_orders(claim, gone)
    assert not harness.ledger.split(claim, [["1"]], Receipt("refused"), refusals=1)
    assert standing(harness) == [("1", "sending", 0)]
    assert harness.accept(again) == 1


def test_a_lost_claim_is_uncertain_however_its_exchange_ended(harness: Harness) -> None:
    """A missing response is as uncertain as one that came too late."""
    orders = harness.confirm(2)
    harness.sandbox.fail("accept-then-drop", times=1)
    post = Squeezely.post

    def lose(self: Squeezely, body: bytes) -> object:
        answer = post(self, body)
        lose_claim(harness)
        return answer

    with patch.object(Squeezely, "post", lose), capture_logs() as lines:
        harness.deliver()
    logged = [line for line in lines if line["event"] == "batch.uncertain"]
    assert "lost the claim" in logged[-1]["reason"]
    assert standing(harness) == [("1", "pending", 1), ("2", "pending", 1)]
    harness.finish(without_waits=True)
    assert harness.posts(orders) == [2, 2]


def test_a_success_never_delivers_an_order_that_was_not_sent(harness: Harness) -> None:
    """A crash reverted that it was set aside, and left the claim."""
    harness.confirm(2)
    claim = harness.claim()
    receipt = Receipt("accepted", 200, None, 1)
    delivered = harness.ledger.deliver(claim, ["2"], receipt)
    assert (delivered.orders, delivered.is_known) == (None, True)
    assert standing(harness) == [("1", "sending", 0), ("2", "sending", 0)]


def test_an_order_in_a_second_batch_is_marked_uncertain_there(harness: Harness) -> None:
    """It may be set aside, in a batch of its own, or delivered by then."""
    harness.confirm(3)
    claim = harness.claim()
    lose_claim(harness)
    second = harness.claim()
    aside = ExcludedOrder("1", "withdrawn", "gone", None)
    harness.ledger.exclude_orders(second, [aside])
    harness.ledger.postpone(second, ["2"], LEASE)
    left = Receipt("accepted", 200, None, 1)
    assert harness.ledger.deliver(second, ["3"], left).orders == 1
    assert harness.ledger.mark_uncertain(claim, ["1", "2", "3"], holds=True) == 3
    own = [order.uncertain_attempts for order in harness.shop.rows_of("ledger")]
    assert own == [1, None, None]
    states = ("1", "delivered", 1), ("2", "held", 1), ("3", "delivered", 1)
    assert standing(harness) == [*states]


def test_an_order_that_was_lost_is_uncertain_when_it_is_captured_again(
    harness: Harness,
) -> None:
    """The crash reverted its admission as well."""
    harness.confirm(2)
    claim = harness.claim()
    harness.shop.delete("ledger")
    harness.shop.delete("batch")
    assert harness.ledger.mark_uncertain(claim, ["1", "2"], holds=False) == 2
    harness.admit()
    assert [row[2] for row in standing(harness)] == [1, 1]


# From the first byte until there is a receipt


def broken(*_: object, **__: object) -> object:
    raise OverflowError("date value out of range")


@pytest.mark.parametrize(
    "place",
    [
        "delivery.classify",
        "delivery.Redactor",
        "delivery_log.DeliveryLog.answered",
        "squeezely._read",
    ],
)
@pytest.mark.parametrize("uncertain", ["resend", "hold"])
def test_any_error_during_an_exchange_makes_it_uncertain(
    shop: Shop, sandbox: Sandbox, tmp_path: Path, place: str, uncertain: str
) -> None:
    """Errors of syncd's own count: reading, classifying, logging."""
    harness = Harness(shop, sandbox, tmp_path, batch_size=8, on_uncertain=uncertain)
    orders = harness.confirm(2)
    with suppress(OverflowError), patch(f"syncd.delivery.{place}", broken):
        harness.deliver()
    assert harness.posts(orders) == [1, 1]
    harness.delivery.finish()
    assert harness.shop.uncertain_attempts() == int(
        place != "delivery_log.DeliveryLog.answered"
    )
    left = "held" if uncertain == "hold" else "pending"
    if place == "delivery_log.DeliveryLog.answered":
        left = "delivered"  # the response is known by then
    assert harness.shop.row_of("batch").state == left
    harness.close()


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("is_sent", [True, False])
def test_an_interrupted_exchange_is_uncertain_from_its_first_byte(
    harness: Harness, error: type[BaseException], *, is_sent: bool
) -> None:
    """Before that it was certainly not sent, and is not counted."""
    orders = harness.confirm(2)
    step = "getresponse" if is_sent else "_new_conn"
    place = f"syncd.delivery.transport._Connection.{step}"
    with patch(place, side_effect=error), suppress(error):
        harness.deliver()
    harness.delivery.finish()
    # The API may still be reading the request.
    wait_until(lambda: harness.posts(orders) == [int(is_sent)] * 2)
    assert harness.shop.uncertain_attempts() == int(is_sent)
    harness.finish(without_waits=True)
    assert harness.posts(orders) == [1 + is_sent] * 2


# Promotions and restarts


def test_nothing_is_claimed_from_a_ledger_with_an_unnoticed_promotion(
    harness: Harness,
) -> None:
    """Behind a pooler the connection stays: the claim itself compares the timelines.

    It is opened again then, which records the promotion before the next claim.
    """
    (order,) = harness.confirm(1)
    harness.shop.update("feed", {"timeline": 0})
    assert harness.delivery.deliver_next("live") is None
    assert harness.shop.uncertain_attempts() == 0
    assert harness.deliver() == DeliveryResult(1, accepted=True)
    assert (harness.posts([order]), harness.shop.uncertain_attempts()) == ([1], 1)


@pytest.mark.parametrize(
    ("default", "kept"),
    [("off", "local"), ("local", "local"), ("on", "on"), ("remote_apply",) * 2],
)
def test_a_claim_is_always_committed_durably(
    harness: Harness, default: str, kept: str
) -> None:
    """A pooler may switch sessions; a stricter setting is kept."""
    harness.database.run(Statement(f"SET synchronous_commit = {default}".encode()))
    harness.confirm(1)
    harness.database.run(Statement(b"BEGIN"))
    harness.claim()
    assert harness.database.value(str, SHOW_DURABLE) == kept
    harness.database.run(Statement(b"ROLLBACK"))
    harness.shop.sql(
        f"ALTER ROLE {harness.shop.role} SET synchronous_commit = {default}"
    )
    harness.database.close()
    assert harness.database.value(str, SHOW_DURABLE) == kept


def test_instances_that_captured_nothing_are_deleted(harness: Harness) -> None:
    """`run --once` from a timer leaves one row for each run that found something."""
    before = harness.shop.count("instance")

    def run_once() -> None:
        with closing(Database(harness.shop.dsn)) as database:
            Instance(database, harness.ledger.feed_id).stop()

    for _ in range(5):
        run_once()
    assert harness.shop.count("instance") == 1 + before
    harness.shop.update("instance", {"host": "other/x/y", "stopped_at": ago()})
    run_once()
    assert harness.shop.rows_of("instance", host="other/x/y")
