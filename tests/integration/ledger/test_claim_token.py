"""A settlement proves its claim: what is late, lost or taken over changes nothing."""

from contextlib import closing, suppress
from pathlib import Path
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs
from support.desk import LEASE, Desk
from support.ledgers import ago
from support.postgres import wait_until
from support.shop import Shop

from syncd.delivery.delivery import DeliveryResult
from syncd.delivery.squeezely import Squeezely
from syncd.demo.sandbox import Sandbox
from syncd.ledger.claim import ExcludedOrder, Receipt
from syncd.ledger.clone_guard import CloneGuard
from syncd.ledger.instance import Instance
from syncd.log.log import Log
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement

pytestmark = pytest.mark.db

SHOW_DURABLE = Statement(b"SHOW synchronous_commit")


def lose_claim(desk: Desk) -> None:
    """Undo a claim, as a crash of the server does that had not written its commit."""
    unclaimed = {"claim_token": None, "instance_id": None, "lease_until": None}
    desk.shop.update("batch", {"state": "pending", "attempts": 0, **unclaimed})
    desk.shop.delete("attempt")


def standing(desk: Desk) -> list[tuple[object, ...]]:
    return [
        (order.order_key, order.batch.state, order.batch.uncertain_attempts)
        for order in desk.shop.captured_orders()
    ]


def test_a_late_success_of_a_lost_claim_delivers_nothing(desk: Desk) -> None:
    """The batch was topped up meanwhile; both are counted, and sent."""
    desk.confirm(1)
    claim = desk.claim()
    lose_claim(desk)
    desk.confirm(1)
    assert desk.accept(claim) is None
    assert desk.ledger.doubt(claim, ["1"], holds=False) == 1
    assert standing(desk) == [("1", "pending", 1), ("2", "pending", 1)]


def test_a_late_success_never_settles_the_claim_that_has_its_numbers(
    desk: Desk,
) -> None:
    """Another life of the ledger gives batch and attempt the same numbers again."""
    desk.confirm(1)
    claim = desk.claim()
    lose_claim(desk)
    again = desk.claim()
    assert (again.batch_id, again.attempt) == (claim.batch_id, claim.attempt)
    assert again.token != claim.token
    assert desk.accept(claim) is None
    assert not desk.ledger.requeue(claim, Receipt("transient"))
    assert not desk.ledger.renew(claim, LEASE)
    assert not desk.ledger.postpone(claim, ["1"], LEASE)
    gone = [ExcludedOrder("1", "withdrawn", "gone", None)]
    assert not desk.ledger.exclude_orders(claim, gone)
    assert not desk.ledger.split(claim, [["1"]], Receipt("refused"), refusals=1)
    assert standing(desk) == [("1", "sending", 0)]
    assert desk.accept(again) == 1


def test_a_lost_claim_is_counted_whatever_ended_its_exchange(desk: Desk) -> None:
    """An answer that never came is as uncertain as one that came too late."""
    orders = desk.confirm(2)
    desk.sandbox.fail("accept-then-drop", times=1)
    post = Squeezely.post

    def lose(self: Squeezely, body: bytes) -> object:
        answer = post(self, body)
        lose_claim(desk)
        return answer

    with patch.object(Squeezely, "post", lose), capture_logs() as lines:
        desk.deliver()
    told = [line for line in lines if line["event"] == "batch.uncertain"]
    assert "lost the claim" in told[-1]["reason"]
    assert standing(desk) == [("1", "pending", 1), ("2", "pending", 1)]
    desk.finish_hurriedly()
    assert desk.posts(orders) == [2, 2]


def test_a_success_never_delivers_an_order_that_was_not_sent(desk: Desk) -> None:
    """A crash took back that it was set aside, and left the claim."""
    desk.confirm(2)
    claim = desk.claim()
    receipt = Receipt("accepted", 200, None, 1)
    delivered = desk.ledger.deliver(claim, ["2"], receipt)
    assert (delivered.orders, delivered.is_known) == (None, True)
    assert standing(desk) == [("1", "sending", 0), ("2", "sending", 0)]


def test_an_order_in_a_second_batch_is_doubted_there(desk: Desk) -> None:
    """Wherever it is by now: set aside, in a batch of its own, delivered."""
    desk.confirm(3)
    claim = desk.claim()
    lose_claim(desk)
    second = desk.claim()
    aside = ExcludedOrder("1", "withdrawn", "gone", None)
    desk.ledger.exclude_orders(second, [aside])
    desk.ledger.postpone(second, ["2"], LEASE)
    left = Receipt("accepted", 200, None, 1)
    assert desk.ledger.deliver(second, ["3"], left).orders == 1
    assert desk.ledger.doubt(claim, ["1", "2", "3"], holds=True) == 3
    own = [order.uncertain_attempts for order in desk.shop.rows_of("ledger")]
    assert own == [1, None, None]
    states = ("1", "delivered", 1), ("2", "held", 1), ("3", "delivered", 1)
    assert standing(desk) == [*states]


def test_an_order_that_is_lost_itself_is_counted_when_it_is_captured_again(
    desk: Desk,
) -> None:
    """The crash took the admission along."""
    desk.confirm(2)
    claim = desk.claim()
    desk.shop.delete("ledger")
    desk.shop.delete("batch")
    assert desk.ledger.doubt(claim, ["1", "2"], holds=False) == 2
    desk.admit()
    assert [row[2] for row in standing(desk)] == [1, 1]


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
def test_whatever_ends_an_exchange_is_uncertain(
    shop: Shop, sandbox: Sandbox, tmp_path: Path, place: str, uncertain: str
) -> None:
    """A fault of syncd's own, too: in reading an answer, judging it, telling of it."""
    desk = Desk(shop, sandbox, tmp_path, batch_size=8, on_uncertain=uncertain)
    orders = desk.confirm(2)
    with suppress(OverflowError), patch(f"syncd.delivery.{place}", broken):
        desk.deliver()
    assert desk.posts(orders) == [1, 1]
    desk.delivery.finish()
    assert desk.uncertain() == int(place != "delivery_log.DeliveryLog.answered")
    left = "held" if uncertain == "hold" else "pending"
    if place == "delivery_log.DeliveryLog.answered":
        left = "delivered"  # what it said is known by then
    assert desk.shop.row_of("batch").state == left
    desk.close()


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("is_sent", [True, False])
def test_an_exchange_that_is_broken_off_is_uncertain_from_its_first_byte(
    desk: Desk, error: type[BaseException], *, is_sent: bool
) -> None:
    """Before that it was certainly not sent, and is not counted."""
    orders = desk.confirm(2)
    step = "getresponse" if is_sent else "_new_conn"
    place = f"syncd.delivery.transport._Connection.{step}"
    with patch(place, side_effect=error), suppress(error):
        desk.deliver()
    desk.delivery.finish()
    # The API may still be reading what was sent to it.
    wait_until(lambda: desk.posts(orders) == [int(is_sent)] * 2)
    assert desk.uncertain() == int(is_sent)
    desk.finish_hurriedly()
    assert desk.posts(orders) == [1 + is_sent] * 2


# Promoted, restarted


def test_nothing_is_claimed_of_a_ledger_that_was_promoted_unnoticed(desk: Desk) -> None:
    """Behind a pooler the connection stays: the claim itself compares the timelines."""
    (order,) = desk.confirm(1)
    desk.shop.update("feed", {"timeline": 0})
    assert desk.deliver() is None
    assert desk.uncertain() == 0
    lineage = CloneGuard(desk.database, desk.ledger.feed_id, "shop", None, Log("shop"))
    desk.database.on_open(lambda: lineage.note_promotion(desk.database))
    assert desk.deliver() == DeliveryResult(1, accepted=True)
    assert (desk.posts([order]), desk.uncertain()) == ([1], 1)


@pytest.mark.parametrize(
    ("default", "kept"),
    [("off", "local"), ("local", "local"), ("on", "on"), ("remote_apply",) * 2],
)
def test_a_claim_waits_for_the_disk_whatever_the_default(
    desk: Desk, default: str, kept: str
) -> None:
    """Also where a pooler has another session for it; a wish for more is kept."""
    desk.database.run(Statement(f"SET synchronous_commit = {default}".encode()))
    desk.confirm(1)
    desk.database.run(Statement(b"BEGIN"))
    desk.claim()
    assert desk.database.value(str, SHOW_DURABLE) == kept
    desk.database.run(Statement(b"ROLLBACK"))
    desk.shop.sql(f"ALTER ROLE {desk.shop.role} SET synchronous_commit = {default}")
    desk.database.close()
    assert desk.database.value(str, SHOW_DURABLE) == kept


def test_instances_that_captured_nothing_do_not_pile_up(desk: Desk) -> None:
    """`run --once` by a timer leaves a row for each run that found something."""
    before = desk.shop.count("instance")

    def run_once() -> None:
        with closing(Database(desk.shop.dsn)) as database:
            Instance(database, desk.ledger.feed_id).stop()

    for _ in range(5):
        run_once()
    assert desk.shop.count("instance") == 1 + before
    desk.shop.update("instance", {"host": "other/x/y", "stopped_at": ago()})
    run_once()
    assert desk.shop.rows_of("instance", host="other/x/y")
