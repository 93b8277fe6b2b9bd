"""What may have been sent stays counted, whatever becomes of the order afterwards."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import product

import pytest
from support.desk import LEASE, Desk
from support.ledgers import ago

from syncd.ledger.claim import Claim, ExcludedOrder, Receipt
from syncd.ledger.feed import FeedStore
from syncd.ledger.instance import Instance
from syncd.postgres.statements import compose, query
from syncd.source.connections import Connections

pytestmark = pytest.mark.db

SENT = Receipt("unclear", None, "no answer in time", 1)
LISTED = Receipt("nothing_to_send")


def standing(desk: Desk, key: str) -> tuple[object, ...]:
    """Return an order's own state, and what its batch counts."""
    (order,) = desk.shop.captured_orders(order_key=key)
    batch = order.batch
    return order.state, batch.state, batch.uncertain_attempts, batch.orders


class Order:
    """An order in doubt, and everything that may happen to it before it is sent."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.key = desk.confirm(1)[0].removeprefix("W-")
        self.ledger = desk.ledger
        desk.ledger.requeue(self.claim(), SENT, uncertain=True)

    def claim(self) -> Claim:
        self.desk.hurry()
        claim = self.desk.claim()
        assert [order.key for order in claim.orders] == [self.key]
        return claim

    def standing(self) -> tuple[object, ...]:
        return standing(self.desk, self.key)

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
        assert self.desk.admit() == 1

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


def walk(desk: Desk, moves: Sequence[Callable[[Order], None]]) -> None:
    order = Order(desk)
    for move in moves:
        move(order)
        assert order.standing() == (None, "pending", 1, 1), [m.__name__ for m in moves]
    assert desk.accept(order.claim()) == 1
    assert order.standing() == (None, "delivered", 1, 1)


@pytest.mark.parametrize("first", MOVES)
def test_a_doubt_survives_every_way_of_two_steps(
    desk: Desk, first: Callable[[Order], None]
) -> None:
    """The order is sent again as a possible repeat, in a batch of its own."""
    for second in MOVES:
        walk(desk, [first, second])


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_doubt_survives_every_way_of_four_steps(desk: Desk) -> None:
    """The same, however long it goes on."""
    for moves in product(MOVES, repeat=4):
        walk(desk, moves)


def test_an_order_that_is_new_stays_apart_from_one_in_doubt(desk: Desk) -> None:
    """It is sent as what it is: not a repeat."""
    order = Order(desk)
    order._aside("withdrawn")  # noqa: SLF001  # half of a move
    desk.shop.confirm(2)
    assert desk.admit() == 3
    batches = desk.shop.rows_of("batch", state="pending")
    counts = sorted((batch.uncertain_attempts, batch.orders) for batch in batches)
    assert counts == [(0, 2), (1, 1)]


def test_what_was_set_aside_before_an_attempt_is_not_doubted_by_it(desk: Desk) -> None:
    """It was not in that POST."""
    desk.confirm(2)
    claim = desk.claim()
    gone = [ExcludedOrder("1", "withdrawn", "x", None)]
    desk.ledger.exclude_orders(claim, gone)
    desk.ledger.requeue(claim, SENT, uncertain=True)
    desk.admit()
    assert standing(desk, "1") == (None, "pending", 0, 1)
    assert standing(desk, "2") == (None, "pending", 1, 1)


def test_an_order_that_is_sent_again_on_purpose_keeps_its_doubt(desk: Desk) -> None:
    """Both may have repeated it: the time-out then, the person now."""
    order = Order(desk)
    assert desk.accept(order.claim()) == 1
    database, feed = desk.database, desk.ledger.feed_id
    times = dict.fromkeys(("lower_at", "reached_at", "upper_at"), ago())
    purpose = {"purpose": "resend", "reason": "lost"}
    desk.shop.insert("backfill", feed_id=feed, **purpose, **times)
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
    assert database.row(dict, query("doubts"), feed=feed)["orders"] == 1


# Held, where a person decides


def cautious(desk: Desk) -> None:
    """Let a daemon that holds what is uncertain start here."""
    holding = Instance(
        Connections(desk.database, desk.database).ledger,
        desk.ledger.feed_id,
        holds=True,
    )
    assert holding.number


def test_an_order_in_doubt_that_is_confirmed_again_waits_for_a_person(
    desk: Desk,
) -> None:
    """Nothing sends it unasked; `syncd uncertain` lists it."""
    cautious(desk)
    order = Order(desk)
    order._aside("withdrawn")  # noqa: SLF001  # half of a move
    desk.shop.confirm(1)
    assert desk.admit() == 2
    assert order.standing() == (None, "held", 1, 1)
    held = desk.database.values(str, query("held"), feed=desk.ledger.feed_id, limit=9)
    assert held == [order.key]
    assert desk.deliver()
    assert desk.posts([f"W-{order.key}"]) == [0]


def test_an_order_in_doubt_that_was_mended_waits_for_a_person(desk: Desk) -> None:
    """Nobody has asked for it; who retries it by name has."""
    cautious(desk)
    order = Order(desk)
    order._aside("rejected")  # noqa: SLF001  # half of a move
    chosen = {"states": ["rejected"], "reason": None, "size": 8, "most_retries": 9}
    order._ask("retry_rejected", **chosen)  # noqa: SLF001  # as `mended` does
    assert order.standing() == (None, "held", 1, 1)


# A copy in the place of its original


def confirm_move(desk: Desk, *, holds: bool = False) -> None:
    feeds = FeedStore(Connections(desk.database, desk.database), "shop")
    assert feeds.confirm_move(holds=holds)


def uncertain(desk: Desk, key: str) -> object:
    _, state, doubts, _ = standing(desk, key)
    return state, doubts


@pytest.mark.parametrize(("holds", "left"), [(False, "pending"), (True, "held")])
def test_the_original_may_have_sent_what_was_pending_in_the_copy(
    desk: Desk, *, holds: bool, left: str
) -> None:
    """Or what was set aside, when somebody has it tried again."""
    if holds:
        cautious(desk)
    desk.confirm(1)
    claim = desk.claim()
    rejected = ExcludedOrder("1", "rejected", "no email", "W-1")
    desk.ledger.exclude_orders(claim, [rejected])
    desk.ledger.close_empty(claim, LISTED)
    desk.confirm(2)
    confirm_move(desk, holds=holds)
    assert uncertain(desk, "2") == uncertain(desk, "3") == (left, 1)
    desk.database.run(
        query("retry_rejected"),
        feed=desk.ledger.feed_id,
        states=["rejected"],
        orders=["1"],
        all=False,
        reason=None,
        size=8,
        most_retries=None,
    )
    assert uncertain(desk, "1") == ("pending", 1)


LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("age", ["1 second", "3 hours", "3 years"])
def test_the_original_may_have_sent_what_the_copy_captures_soon(
    desk: Desk, age: str
) -> None:
    """Whatever its stamp, if it was confirmed before; what is newer is new."""
    desk.shop.sql(
        f"INSERT INTO orders (confirmed_at) VALUES (now() - interval '{age}')"
    )
    desk.shop.update("feed", {"floor_at": LONG_AGO})
    desk.shop.update("watermark", {"confirmed_at": LONG_AGO})
    confirm_move(desk)
    desk.shop.confirm(1)
    assert desk.admit() == 2
    assert uncertain(desk, "1") == ("pending", 1)
    assert uncertain(desk, "2") == ("pending", 0)


def test_what_is_captured_much_later_is_judged_by_its_stamp(desk: Desk) -> None:
    """The original was stopped a week ago: an old order that appears now is new."""
    confirm_move(desk)
    desk.shop.update("feed", {"suspect_until": ago(), "floor_at": LONG_AGO})
    desk.shop.update("watermark", {"confirmed_at": LONG_AGO})
    desk.shop.sql(
        "INSERT INTO orders (confirmed_at) VALUES ('2020-01-01'), (now() - interval "
        "'5 min')"
    )
    desk.shop.update("feed", {"lost_until": ago()})
    assert desk.admit() == 2
    assert uncertain(desk, "1") == ("pending", 0)
    assert uncertain(desk, "2") == ("pending", 1)
