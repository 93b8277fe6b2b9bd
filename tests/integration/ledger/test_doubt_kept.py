"""What may have been sent stays counted, whatever becomes of the order afterwards."""

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
    """Return an order's own state, and what its batch counts."""
    (order,) = harness.shop.captured_orders(order_key=key)
    batch = order.batch
    return order.state, batch.state, batch.uncertain_attempts, batch.orders


class Order:
    """An order in doubt, and everything that may happen to it before it is sent."""

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

    def _aside(self, state: str) -> None:
        claim = self.claim()
        gone = ExcludedOrder(self.key, state, "x", f"W-{self.key}")  # type: ignore[arg-type]  # one of the two
        assert self.ledger.exclude_orders(claim, [gone])
        assert self.ledger.close_empty(claim, LISTED)

    def _ask(self, verb: str, **chosen: object) -> None:
        database, feed = self.ledger.database, self.ledger.feed_id
        asked = {"feed": feed, "orders": [self.key], "all": False, **chosen}
        assert database.value(int, query(verb), **asked) == 1

    def _retry(self) -> None:
        states = ["rejected", "withdrawn", "discarded"]
        self._ask(
            "retry_rejected", states=states, reason=None, size=8, most_retries=None
        )

    def withdraw(self) -> None:
        """It is confirmed again, and captured."""
        self._aside("withdrawn")
        assert self.harness.admit() == 1

    def withdraw_and_retry(self) -> None:
        self._aside("withdrawn")
        self._retry()

    def reject(self) -> None:
        self._aside("rejected")
        self._retry()

    def discard(self) -> None:
        assert self.ledger.requeue(self.claim(), Receipt("transient"), held=True)
        self._ask("discard_held")
        self._retry()

    def resend(self) -> None:
        assert self.ledger.requeue(self.claim(), Receipt("transient"), held=True)
        self._ask("resend_held")

    def postpone(self) -> None:
        claim = self.claim()
        assert self.ledger.postpone(claim, [self.key], LEASE)
        assert self.ledger.close_empty(claim, LISTED)

    def split(self) -> None:
        refused = Receipt("refused", 400)
        pieces = [[self.key]]
        assert self.ledger.split(self.claim(), pieces, refused, refusals=1)


MOVES: list[Callable[[Order], None]] = [
    Order.withdraw,
    Order.withdraw_and_retry,
    Order.reject,
    Order.discard,
    Order.resend,
    Order.postpone,
    Order.split,
]


def walk(harness: Harness, moves: Sequence[Callable[[Order], None]]) -> None:
    order = Order(harness)
    for move in moves:
        move(order)
        assert order.standing() == (None, "pending", 1, 1), [m.__name__ for m in moves]
    assert harness.accept(order.claim()) == 1
    assert order.standing() == (None, "delivered", 1, 1)


@pytest.mark.parametrize("first", MOVES)
def test_a_doubt_survives_every_way_of_two_steps(
    harness: Harness, first: Callable[[Order], None]
) -> None:
    """The order is sent again as a possible repeat, in a batch of its own."""
    for second in MOVES:
        walk(harness, [first, second])


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_doubt_survives_every_way_of_four_steps(harness: Harness) -> None:
    """The same, however long it goes on."""
    for moves in product(MOVES, repeat=4):
        walk(harness, moves)


def test_an_order_that_is_new_stays_apart_from_one_in_doubt(harness: Harness) -> None:
    """It is sent as what it is: not a repeat."""
    order = Order(harness)
    order._aside("withdrawn")  # noqa: SLF001  # half of a move
    harness.shop.confirm(2)
    assert harness.admit() == 3
    batches = harness.shop.rows_of("batch", state="pending")
    counts = sorted((batch.uncertain_attempts, batch.orders) for batch in batches)
    assert counts == [(0, 2), (1, 1)]


def test_what_was_set_aside_before_an_attempt_is_not_doubted_by_it(
    harness: Harness,
) -> None:
    """It was not in that POST."""
    harness.confirm(2)
    claim = harness.claim()
    gone = [ExcludedOrder("1", "withdrawn", "x", None)]
    harness.ledger.exclude_orders(claim, gone)
    harness.ledger.requeue(claim, SENT, uncertain=True)
    harness.admit()
    assert standing(harness, "1") == (None, "pending", 0, 1)
    assert standing(harness, "2") == (None, "pending", 1, 1)


def test_an_order_that_is_sent_again_on_purpose_keeps_its_doubt(
    harness: Harness,
) -> None:
    """Both may have repeated it: the time-out then, the person now."""
    order = Order(harness)
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


# Held, where a person decides


def cautious(harness: Harness) -> None:
    """Let a daemon that holds what is uncertain start here."""
    holding = Instance(
        harness.connections.ledger,
        harness.ledger.feed_id,
        holds=True,
    )
    assert holding.number


def test_an_order_in_doubt_that_is_confirmed_again_waits_for_a_person(
    harness: Harness,
) -> None:
    """Nothing sends it unasked; `syncd uncertain` lists it."""
    cautious(harness)
    order = Order(harness)
    order._aside("withdrawn")  # noqa: SLF001  # half of a move
    harness.shop.confirm(1)
    assert harness.admit() == 2
    assert order.standing() == (None, "held", 1, 1)
    held = harness.database.values(
        str, query("held"), feed=harness.ledger.feed_id, limit=9
    )
    assert held == [order.key]
    assert harness.deliver()
    assert harness.posts([f"W-{order.key}"]) == [0]


def test_an_order_in_doubt_that_was_mended_waits_for_a_person(harness: Harness) -> None:
    """Nobody has asked for it; who retries it by name has."""
    cautious(harness)
    order = Order(harness)
    order._aside("rejected")  # noqa: SLF001  # half of a move
    chosen = {"states": ["rejected"], "reason": None, "size": 8, "most_retries": 9}
    order._ask("retry_rejected", **chosen)  # noqa: SLF001  # as `mended` does
    assert order.standing() == (None, "held", 1, 1)


# A copy in the place of its original


def confirm_move(harness: Harness, *, holds: bool = False) -> None:
    feeds = FeedStore(harness.connections, "shop")
    assert feeds.confirm_move(holds=holds)


def uncertain(harness: Harness, key: str) -> object:
    _, state, doubts, _ = standing(harness, key)
    return state, doubts


@pytest.mark.parametrize(("holds", "left"), [(False, "pending"), (True, "held")])
def test_the_original_may_have_sent_what_was_pending_in_the_copy(
    harness: Harness, *, holds: bool, left: str
) -> None:
    """Or what was set aside, when somebody has it tried again."""
    if holds:
        cautious(harness)
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
def test_the_original_may_have_sent_what_the_copy_captures_soon(
    harness: Harness, age: str
) -> None:
    """Whatever its stamp, if it was confirmed before; what is newer is new."""
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


def test_what_is_captured_much_later_is_judged_by_its_stamp(harness: Harness) -> None:
    """The original was stopped a week ago: an old order that appears now is new."""
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
