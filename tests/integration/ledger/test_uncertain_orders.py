"""An uncertain order stays counted as uncertain, whatever happens to it afterwards."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import product

import pytest
from support.feed_harness import ago
from support.harness import LEASE, Harness

from syncd.ledger.claim import Claim, ExcludedOrder, Receipt
from syncd.ledger.feed import FeedStore
from syncd.ledger.instance import Instance
from syncd.postgres.statements import compose, query

pytestmark = pytest.mark.db

SENT = Receipt("unclear", None, "no answer in time", 1)
LISTED = Receipt("nothing_to_send")


def standing(harness: Harness, key: str) -> tuple[object, ...]:
    """Return an order's own state, and the counts of its batch."""
    (order,) = harness.shop.captured_orders(order_key=key)
    batch = order.batch
    return order.state, batch.state, batch.uncertain_attempts, batch.orders


class UncertainOrder:
    """An uncertain order, and everything that may happen to it before it is sent."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.key = harness.confirm(1)[0].removeprefix("W-")
        self.ledger = harness.ledger
        harness.ledger.requeue(self.claim(), SENT, uncertain=True)

    def claim(self) -> Claim:
        self.harness.end_waits()
        claim = self.harness.claim()
        assert [order.key for order in claim.orders] == [self.key]
        return claim

    def standing(self) -> tuple[object, ...]:
        return standing(self.harness, self.key)

    def set_aside(self, state: str) -> None:
        claim = self.claim()
        gone = ExcludedOrder(self.key, state, "x", f"W-{self.key}")  # type: ignore[arg-type]  # one of the two
        assert self.ledger.exclude_orders(claim, [gone])
        assert self.ledger.close_empty(claim, LISTED)

    def move(self, verb: str, **chosen: object) -> None:
        database, feed = self.ledger.database, self.ledger.feed_id
        parameters = {"feed": feed, "orders": [self.key], "all": False, **chosen}
        assert database.value(int, query(verb), **parameters) == 1

    def _retry(self) -> None:
        states = ["rejected", "withdrawn", "discarded"]
        self.move(
            "retry_rejected", states=states, reason=None, size=8, most_retries=None
        )

    def withdraw(self) -> None:
        """Confirm it again after it was withdrawn, and capture it."""
        self.set_aside("withdrawn")
        assert self.harness.admit() == 1

    def withdraw_and_retry(self) -> None:
        self.set_aside("withdrawn")
        self._retry()

    def reject(self) -> None:
        self.set_aside("rejected")
        self._retry()

    def discard(self) -> None:
        assert self.ledger.requeue(self.claim(), Receipt("transient"), held=True)
        self.move("discard_held")
        self._retry()

    def resend(self) -> None:
        assert self.ledger.requeue(self.claim(), Receipt("transient"), held=True)
        self.move("resend_held")

    def postpone(self) -> None:
        claim = self.claim()
        assert self.ledger.postpone(claim, [self.key], LEASE)
        assert self.ledger.close_empty(claim, LISTED)

    def split(self) -> None:
        refused = Receipt("refused", 400)
        pieces = [[self.key]]
        assert self.ledger.split(self.claim(), pieces, refused, refusals=1)


MOVES: list[Callable[[UncertainOrder], None]] = [
    UncertainOrder.withdraw,
    UncertainOrder.withdraw_and_retry,
    UncertainOrder.reject,
    UncertainOrder.discard,
    UncertainOrder.resend,
    UncertainOrder.postpone,
    UncertainOrder.split,
]


def apply(harness: Harness, moves: Sequence[Callable[[UncertainOrder], None]]) -> None:
    order = UncertainOrder(harness)
    for move in moves:
        move(order)
        assert order.standing() == (None, "pending", 1, 1), [m.__name__ for m in moves]
    assert harness.accept(order.claim()) == 1
    assert order.standing() == (None, "delivered", 1, 1)


@pytest.mark.parametrize("first", MOVES)
def test_an_order_stays_uncertain_after_any_two_moves(
    harness: Harness, first: Callable[[UncertainOrder], None]
) -> None:
    """It is sent again as a possible repeat, in a batch of its own."""
    for second in MOVES:
        apply(harness, [first, second])


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_an_order_stays_uncertain_after_any_four_moves(harness: Harness) -> None:
    """It is sent again as a possible repeat, as after two moves."""
    for moves in product(MOVES, repeat=4):
        apply(harness, moves)


def test_a_new_order_gets_another_batch_than_an_uncertain_one(harness: Harness) -> None:
    """It is not counted as a possible repeat."""
    order = UncertainOrder(harness)
    order.set_aside("withdrawn")
    harness.shop.confirm(2)
    assert harness.admit() == 3
    batches = harness.shop.rows_of("batch", state="pending")
    counts = sorted((batch.uncertain_attempts, batch.orders) for batch in batches)
    assert counts == [(0, 2), (1, 1)]


def test_an_order_set_aside_before_an_attempt_is_not_uncertain(
    harness: Harness,
) -> None:
    """The order was not in that POST."""
    harness.confirm(2)
    claim = harness.claim()
    gone = [ExcludedOrder("1", "withdrawn", "x", None)]
    harness.ledger.exclude_orders(claim, gone)
    harness.ledger.requeue(claim, SENT, uncertain=True)
    harness.admit()
    assert standing(harness, "1") == (None, "pending", 0, 1)
    assert standing(harness, "2") == (None, "pending", 1, 1)


def test_an_order_that_is_resent_on_purpose_stays_uncertain(
    harness: Harness,
) -> None:
    """Either may have repeated it: the earlier time-out, or the person."""
    order = UncertainOrder(harness)
    assert harness.accept(order.claim()) == 1
    database, feed = harness.database, harness.ledger.feed_id
    times = dict.fromkeys(("lower_at", "reached_at", "upper_at"), ago())
    purpose = {"purpose": "resend", "reason": "lost"}
    harness.shop.insert("backfill", feed_id=feed, **purpose, **times)
    taken = database.row(
        dict,
        compose("take_again", found=query("given")),
        keys=[order.key],
        times=["now"],
        feed=feed,
        backfill=1,
        is_resend=True,
        size=8,
        reason="lost",
    )
    assert [*taken.values()] == [1, 1]
    assert database.row(dict, query("uncertain_counts"), feed=feed)["orders"] == 1


# Held, for a person to decide


def hold_uncertain(harness: Harness) -> None:
    """Start a daemon that holds uncertain batches."""
    holding = Instance(
        harness.connections.ledger,
        harness.ledger.feed_id,
        holds=True,
    )
    assert holding.number


def test_an_uncertain_order_that_is_confirmed_again_waits_for_a_person(
    harness: Harness,
) -> None:
    """Nothing sends it automatically; `syncd uncertain` lists it."""
    hold_uncertain(harness)
    order = UncertainOrder(harness)
    order.set_aside("withdrawn")
    harness.shop.confirm(1)
    assert harness.admit() == 2
    assert order.standing() == (None, "held", 1, 1)
    held = harness.database.values(
        str, query("held"), feed=harness.ledger.feed_id, limit=9
    )
    assert held == [order.key]
    assert harness.deliver()
    assert harness.posts([f"W-{order.key}"]) == [0]


def test_an_uncertain_order_that_was_mended_waits_for_a_person(
    harness: Harness,
) -> None:
    """Only a retry by name is a decision to send it."""
    hold_uncertain(harness)
    order = UncertainOrder(harness)
    order.set_aside("rejected")
    chosen = {"states": ["rejected"], "reason": None, "size": 8, "most_retries": 9}
    order.move("retry_rejected", **chosen)
    assert order.standing() == (None, "held", 1, 1)


# A copy that replaces its original


def confirm_move(harness: Harness, *, holds: bool = False) -> None:
    feeds = FeedStore(harness.connections, "shop")
    assert feeds.confirm_move(holds=holds)


def uncertain(harness: Harness, key: str) -> object:
    _, state, doubts, _ = standing(harness, key)
    return state, doubts


@pytest.mark.parametrize(("holds", "left"), [(False, "pending"), (True, "held")])
def test_orders_pending_in_a_copy_may_have_been_sent_by_the_original(
    harness: Harness, *, holds: bool, left: str
) -> None:
    """Orders that were set aside count, too, once somebody retries them."""
    if holds:
        hold_uncertain(harness)
    harness.confirm(1)
    claim = harness.claim()
    rejected = ExcludedOrder("1", "rejected", "no email", "W-1")
    harness.ledger.exclude_orders(claim, [rejected])
    harness.ledger.close_empty(claim, LISTED)
    harness.confirm(2)
    confirm_move(harness, holds=holds)
    assert uncertain(harness, "2") == uncertain(harness, "3") == (left, 1)
    harness.database.run(
        query("retry_rejected"),
        feed=harness.ledger.feed_id,
        states=["rejected"],
        orders=["1"],
        all=False,
        reason=None,
        size=8,
        most_retries=None,
    )
    assert uncertain(harness, "1") == ("pending", 1)


LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("age", ["1 second", "3 hours", "3 years"])
def test_orders_that_a_copy_captures_soon_may_have_been_sent(
    harness: Harness, age: str
) -> None:
    """Whatever their stamps, if they were confirmed before; newer ones are new."""
    harness.shop.sql(
        f"INSERT INTO orders (confirmed_at) VALUES (now() - interval '{age}')"
    )
    harness.shop.update("feed", {"floor_at": LONG_AGO})
    harness.shop.update("watermark", {"confirmed_at": LONG_AGO})
    confirm_move(harness)
    harness.shop.confirm(1)
    assert harness.admit() == 2
    assert uncertain(harness, "1") == ("pending", 1)
    assert uncertain(harness, "2") == ("pending", 0)


def test_orders_that_a_copy_captures_much_later_are_judged_by_their_stamp(
    harness: Harness,
) -> None:
    """The original stopped a week ago: an old order that appears now is new."""
    confirm_move(harness)
    harness.shop.update("feed", {"suspect_until": ago(), "floor_at": LONG_AGO})
    harness.shop.update("watermark", {"confirmed_at": LONG_AGO})
    harness.shop.sql(
        "INSERT INTO orders (confirmed_at) VALUES ('2020-01-01'), (now() - interval "
        "'5 min')"
    )
    harness.shop.update("feed", {"lost_until": ago()})
    assert harness.admit() == 2
    assert uncertain(harness, "1") == ("pending", 0)
    assert uncertain(harness, "2") == ("pending", 1)
