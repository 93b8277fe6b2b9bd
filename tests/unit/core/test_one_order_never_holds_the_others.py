"""Every set of bad orders, in every split into batches, with failing credentials."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from syncd.core.response import Classification, NoResponse, Outcome, Response, classify
from syncd.core.settlement import HOLD_PROBE, Action, Decision, EndpointHistory, decide

BAD_KEY = Classification(Outcome.CLIENT_REFUSED, "HTTP 401 Invalid credentials")
FIREWALL = Classification(Outcome.CLIENT_REFUSED, "HTTP 403 Forbidden")
REFUSED = Classification(Outcome.REFUSED, "HTTP 400 email is odd")
ACCEPTED = Classification(Outcome.ACCEPTED)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
TICK = timedelta(milliseconds=1)
NEW_ORDER = timedelta(minutes=2)


@dataclass
class Batch:
    number: int
    orders: tuple[int, ...]
    attempts: int = 0
    due_at: datetime = LONG_AGO
    refused_at: datetime | None = None
    refusals: int = 0


@dataclass
class Feed:
    """How claim and settlement treat a feed, as `delivery.sql` does.

    Attributes:
        guilty: Orders for which the endpoint refuses a batch with the status `says`.
        bad: Numbers of requests, from 0, at which it refuses the key.
    """

    guilty: frozenset[int]
    says: Classification
    bad: frozenset[int]
    batches: list[Batch]
    now: datetime = datetime(2026, 11, 28, tzinfo=UTC)
    state: str = "available"
    retry_at: datetime = LONG_AGO
    failures: int = 0
    refusals: int = 0
    accepted_at: datetime | None = None
    accepted: float = 0
    rejected: float = 0
    requests: int = 0
    delivered: set[int] = field(default_factory=set)
    set_aside: set[int] = field(default_factory=set)
    held: timedelta = timedelta(0)

    def claim(self) -> Batch | None:
        """A held feed probes with the batch whose refusal is the oldest."""
        if self.retry_at > self.now:
            return None
        due = [batch for batch in self.batches if batch.due_at <= self.now]
        if self.state == "held":
            due.sort(key=lambda batch: batch.refused_at or LONG_AGO)
        return due[0] if due else None

    def send(self, batch: Batch) -> None:
        self.now += TICK
        answer = self._answer(batch)
        self.requests += 1
        batch.attempts += 1
        self.batches.remove(batch)
        if answer.outcome is Outcome.ACCEPTED:
            self._accept(batch)
            return
        if answer.outcome is Outcome.REFUSED:
            self.refusals += batch.attempts == 1
            self.retry_at = min(self.retry_at, self.now)
        self._settle(batch, decide(answer, self._history(batch), 0.5))

    def _answer(self, batch: Batch) -> Classification:
        if self.requests in self.bad:
            return BAD_KEY
        return self.says if self.guilty & set(batch.orders) else ACCEPTED

    def _accept(self, batch: Batch) -> None:
        self.delivered.update(batch.orders)
        self.state, self.failures, self.refusals = "available", 0, 0
        self.accepted_at, self.retry_at = self.now, self.now
        self.accepted += len(batch.orders)

    def _history(self, batch: Batch) -> EndpointHistory:
        return EndpointHistory(
            sent=len(batch.orders),
            attempt=batch.attempts,
            failures=self.failures,
            refusals=self.refusals,
            batch_refusals=batch.refusals,
            refused_at=batch.refused_at,
            accepted_at=self.accepted_at,
            recent_accepted=self.accepted,
            recent_rejected=self.rejected,
            batch_size=8,
        )

    def _settle(self, batch: Batch, decision: Decision) -> None:
        if decision.endpoint != "available":
            self.state = decision.endpoint
            self.retry_at = self.now + decision.endpoint_wait
            self.failures += 1
        if decision.action is Action.REJECT:
            self.set_aside.update(batch.orders)
            self.rejected += 1
            return
        pieces = [batch.orders]
        if decision.action is Action.SPLIT:
            middle = (len(batch.orders) + 1) // 2
            pieces = [batch.orders[:middle], batch.orders[middle:]]
        for orders in pieces:
            waits = decision.batch_wait or timedelta(0)
            is_whole = len(pieces) == 1
            self.batches.append(
                Batch(
                    batch.number if is_whole else self._number(),
                    orders,
                    batch.attempts if is_whole else 0,
                    self.now + waits,
                    self.now if decision.is_refused else batch.refused_at,
                    decision.evidence,
                )
            )
        self.batches.sort(key=lambda one: one.number)

    def _number(self) -> int:
        return max((batch.number for batch in self.batches), default=0) + 1000

    def run(self, orders: int, until: timedelta) -> None:
        """Deliver; another good order is confirmed every two minutes."""
        end, next_order = self.now + until, self.now + NEW_ORDER
        more = itertools.count(orders)
        while self.now < end and not self._is_done(orders):
            while (batch := self.claim()) is not None:
                self.send(batch)
            later = max(min(next_order, self._next_due()), self.now + TICK)
            if self.state == "held" and self._others_wait():
                self.held += later - self.now
            self.now = later
            if self.now >= next_order:
                next_order += NEW_ORDER
                self.batches.append(Batch(self._number(), (next(more),)))

    def _others_wait(self) -> bool:
        return any(not self.guilty & set(batch.orders) for batch in self.batches)

    def _next_due(self) -> datetime:
        due = (max(batch.due_at, self.retry_at) for batch in self.batches)
        return min(due, default=datetime.max.replace(tzinfo=UTC))

    def _is_done(self, orders: int) -> bool:
        return len({o for o in self.delivered | self.set_aside if o < orders}) == orders


def cuts(orders: int, sizes: Iterable[int]) -> Iterator[list[Batch]]:
    for size in sizes:
        keys = range(orders)
        yield [
            Batch(number, tuple(keys[at : at + size]))
            for number, at in enumerate(range(0, orders, size))
        ]


def subsets(orders: int, most: int | None = None) -> Iterator[frozenset[int]]:
    for count in range((orders if most is None else most) + 1):
        for chosen in itertools.combinations(range(orders), count):
            yield frozenset(chosen)


def check(
    orders: int,
    guilty: frozenset[int],
    batches: Sequence[Batch],
    says: Classification,
    bad: frozenset[int] = frozenset(),
) -> Feed:
    feed = Feed(guilty, says, bad, [*map(replace, batches)])
    feed.run(orders, timedelta(hours=4))
    case = (orders, sorted(guilty), len(batches), says.reason, sorted(bad))
    good = set(range(orders)) - guilty
    assert good <= feed.delivered, case
    assert not feed.set_aside - guilty, case
    assert feed.set_aside == guilty, case
    more = len(feed.delivered) - len(good)
    assert feed.requests <= 40 + 10 * orders + 2 * more, case
    return feed


@pytest.mark.parametrize("says", [FIREWALL, REFUSED], ids=["403", "400"])
def test_exactly_the_bad_orders_are_set_aside(says: Classification) -> None:
    """All sets of six, all small and large ones of eight; in batches of all sizes."""
    for guilty in subsets(6):
        for batches in cuts(6, (1, 2, 6)):
            check(6, guilty, batches, says)
    for guilty in subsets(8, 2):
        for batches in cuts(8, (1, 3, 8)):
            check(8, guilty, batches, says)
            check(8, frozenset(range(8)) - guilty, batches, says)


@pytest.mark.parametrize("says", [FIREWALL, REFUSED], ids=["403", "400"])
def test_a_key_that_fails_temporarily_rejects_no_order(says: Classification) -> None:
    """Whenever it begins and ends, and whichever orders are bad as well."""
    spans = [range(b, b + n) for b in range(9) for n in (1, 4)]
    for guilty in subsets(4):
        for batches in cuts(4, (1, 4)):
            for span in spans:
                check(4, guilty, batches, says, frozenset(span))


def test_a_key_that_fails_twice_rejects_no_order() -> None:
    """A key that one of two servers refuses, at its worst, rejects none either."""
    spans = [range(b, b + n) for b in range(0, 12, 2) for n in (1, 4)]
    for guilty in (frozenset[int](), frozenset({1}), frozenset({0, 3})):
        for batches in cuts(4, (1, 2, 4)):
            for first, second in itertools.product(spans, spans):
                bad = frozenset(first) | frozenset(n + 12 for n in second)
                check(4, guilty, batches, FIREWALL, bad)


def test_a_wrong_key_is_probed_slowly_and_rejects_no_order() -> None:
    """With another batch each time; once it is correct, everything is sent."""
    for batches in cuts(8, (1, 3, 8)):
        feed = Feed(
            frozenset(),
            REFUSED,
            frozenset(range(10**6)),
            [*map(replace, batches)],
        )
        feed.run(8, timedelta(hours=8))
        assert not feed.delivered
        assert not feed.set_aside
        assert feed.requests <= 8 * 12 + 10
        assert feed.state == "held"
        assert feed.retry_at - feed.now <= HOLD_PROBE
        feed.bad = frozenset()
        feed.run(8, timedelta(minutes=15))
        assert feed.delivered >= set(range(8))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_an_order_that_is_always_postponed_does_not_block_others(status: int) -> None:
    """A server or a gateway says "later"; the order is not rejected."""
    feed = Feed(
        frozenset({0}), FIREWALL, frozenset(), [Batch(0, (0, 1)), Batch(1, (2,))]
    )
    feed.says = classify(Response(status), 1, feed.now)
    feed.run(3, timedelta(hours=8))
    youngest = max(order for batch in feed.batches for order in batch.orders)
    assert {1, 2} <= feed.delivered
    assert len(feed.delivered) >= youngest - 10
    assert not feed.set_aside


def test_an_unreachable_endpoint_does_not_change_the_order_of_batches() -> None:
    """A missing response is no batch's fault, however often."""
    away = classify(NoResponse("refused", taken=False), 1, Feed.now)
    for attempt in range(1, 100):
        decision = decide(away, EndpointHistory(1, attempt), 0.5)
        assert decision.batch_wait is None


def test_one_order_holds_a_busy_feed_for_seconds_only() -> None:
    """Such an order may have a product name that a firewall refuses."""
    (batches,) = cuts(8, (1,))
    feed = check(8, frozenset({2}), batches, FIREWALL)
    assert feed.held <= timedelta(seconds=20)
