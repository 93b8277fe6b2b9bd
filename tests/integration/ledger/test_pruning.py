"""Pruning removes receipts, and never what keeps an order from being sent again."""

import io
import json
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.clock import Clock
from support.command import syncd
from support.feed_harness import FeedHarness, ago
from support.postgres import Cluster
from support.shop import Shop
from typing_extensions import override

from syncd.core.command_errors import RangePrunedError
from syncd.core.tally import ReconciliationTally
from syncd.daemon.jobs import ReconciliationJob
from syncd.daemon.wakeup import WakeUp
from syncd.diagnostics.order_history import read_history
from syncd.ledger.claim import Claim, ExcludedOrder, Receipt
from syncd.ledger.instance import Instance
from syncd.ledger.retention import PruningSteps, Retention
from syncd.log import log as logging
from syncd.log.log import Log
from syncd.postgres.database import Database
from syncd.postgres.statements import query

pytestmark = [pytest.mark.db, pytest.mark.slow]

KEEP = timedelta(days=30)


class PruningHarness(FeedHarness):
    """A feed whose orders are sent to no API, but counted."""

    def __init__(self, shop: Shop) -> None:
        super().__init__(shop, lookback=timedelta(milliseconds=1))
        shop.update("feed", {"floor_at": ago(days=41)})
        self._own = Database(shop.dsn)
        self.number = Instance(self._own, self.ledger.feed_id).number
        self.sent = Counter[str]()
        self.clock = Clock()
        self.pruning = self.retention()

    def retention(self, steps: PruningSteps | None = None) -> Retention:
        """Build the retention job, with steps of some size."""
        return Retention(
            self.ledger,
            KEEP,
            Log("shop"),
            threading.Event(),
            steps=steps or PruningSteps(),
            clock=self.clock,
        )

    def claim(self) -> Claim | None:
        return self.ledger.claim(self.number, "live", timedelta(minutes=1))

    def send(self) -> None:
        """Deliver what is pending, in its batches."""
        while claim := self.claim():
            self.sent.update(order.key for order in claim.orders)
            keys = [f"W-{order.key}" for order in claim.orders]
            receipt = Receipt("accepted", 200, None, len(keys), b"x", keys)
            self.ledger.deliver(claim, [o.key for o in claim.orders], receipt)

    def sell(self, orders: int = 1) -> list[str]:
        """Confirm, capture and deliver orders."""
        numbers = self.shop.confirm(orders)
        self.poll()
        self.send()
        return [number.removeprefix("W-") for number in numbers]

    def age(self) -> None:
        """Move everything in the ledger into the past."""
        self.shop.shift("batch", timedelta(days=-40), "created_at")

    def prune(self) -> None:
        self.shop.update("feed", {"pruned_at": None})
        self.clock.advance(3600)
        self.pruning.run()

    def touch(self, keys: list[str]) -> None:
        """Capture by key, as `listen` and `wal` do."""
        with self.ledger.admission():
            found = self.source.of_keys(keys)
            self.ledger.admit(found, "listen", size=3)

    def delivered(self) -> object:
        feed = self.ledger.feed_id
        return self.ledger.database.row(dict, query("totals"), feed=feed)["delivered"]

    def reconcile_all(self) -> ReconciliationTally:
        """Reconcile everything; no poll may follow."""
        self.shop.set_watermark(ago(seconds=-1))
        return self.tally()

    @override
    def close(self) -> None:
        self._own.close()
        super().close()


@pytest.fixture
def pruned(shop: Shop) -> Iterator[PruningHarness]:
    opened = PruningHarness(shop)
    yield opened
    opened.close()


def test_a_batch_delivered_long_ago_is_pruned(
    pruned: PruningHarness,
) -> None:
    """Its batches are merged; sums, reconciliation and the order itself stay."""
    for _ in range(5):
        pruned.sell(2)
    pruned.age()
    young = pruned.sell(3)
    before = pruned.delivered()
    pruned.prune()
    assert pruned.shop.batches() == 2
    assert pruned.shop.attempts() == 1
    assert pruned.delivered() == before == 13
    assert pruned.shop.captured() == 13
    assert sorted(batch.orders for batch in pruned.shop.rows_of("batch")) == [3, 10]
    assert pruned.shop.counts_agree()
    assert pruned.reconcile_all() == ReconciliationTally(delivered=13)
    feed = pruned.feeds.get()
    history = read_history(pruned.ledger.database, pruned.source, feed, "1")
    assert history
    assert history.state == "delivered"
    assert "its receipt is no longer kept" in list(history.lines())[1]
    kept = read_history(pruned.ledger.database, pruned.source, feed, young[0])
    assert kept
    assert "accepted, 3 events" in " ".join(kept.lines())


def test_batches_that_are_not_plainly_delivered_are_kept(
    pruned: PruningHarness,
) -> None:
    """Rejected, uncertain, held and pending orders, with the batches they were in."""
    pruned.sell(2)
    for state in ("rejected", "uncertain", "held", "pending"):
        pruned.shop.confirm(2)
        pruned.poll()
        if state == "pending":
            break
        claim = pruned.claim()
        assert claim
        if state == "rejected":
            refused = ExcludedOrder(claim.orders[0].key, "rejected", "no email", "W-3")
            pruned.ledger.exclude_orders(claim, [refused])
            left = [claim.orders[1].key]
            pruned.ledger.deliver(claim, left, Receipt("accepted", sent=1))
        else:
            unclear = Receipt("unclear")
            held = state == "held"
            pruned.ledger.requeue(claim, unclear, uncertain=True, held=held)
            if not held:
                pruned.send()
    pruned.age()
    before = pruned.reconcile_all()
    pruned.prune()
    assert pruned.reconcile_all() == before
    assert pruned.delivered() == 5
    states = Counter(
        (o.state, o.batch.state, o.batch.orders, o.batch.uncertain_attempts)
        for o in pruned.shop.captured_orders()
    )
    assert states == {
        ("rejected", "delivered", 0, 0): 1,
        (None, "delivered", 2, 1): 2,
        (None, "held", 2, 1): 2,
        (None, "pending", 2, 0): 2,
        (None, "delivered", 3, 0): 3,
    }
    assert pruned.shop.attempts() == 4


def test_the_history_of_a_rejected_order_keeps_its_beginning(
    pruned: PruningHarness,
) -> None:
    """It needs the batch that the order has left."""
    pruned.shop.confirm(2)
    pruned.poll()
    claim = pruned.claim()
    assert claim
    both = Receipt("refused", 422, orderids=["W-1", "W-2"])
    pruned.ledger.split(claim, [["1"], ["2"]], both, refusals=1)
    first = pruned.claim()
    assert first
    pruned.ledger.exclude_orders(
        first, [ExcludedOrder("1", "rejected", "refused", "W-1")]
    )
    pruned.ledger.close_empty(first, Receipt("refused", 422, orderids=["W-1"]))
    pruned.send()
    pruned.age()
    pruned.prune()
    history = read_history(
        pruned.ledger.database, pruned.source, pruned.feeds.get(), "1"
    )
    assert history
    assert [a.status for a in history.attempts] == [422, 422]
    pruned.shop.update("ledger", {"state": None, "reason": None, "orderid": None})
    pruned.shop.update("feed", {"pruned_after": 0})
    pruned.prune()
    assert pruned.shop.rows_of("order_move") == []


def test_a_pruned_order_is_not_sent_again_when_it_is_captured_anew(
    pruned: PruningHarness,
) -> None:
    """Captured by key, by time, or by a reconciliation."""
    keys = pruned.sell(3)
    pruned.age()
    pruned.prune()
    pruned.shop.sql("UPDATE orders SET confirmed_at = clock_timestamp()")
    pruned.touch(keys)
    pruned.poll(whole=True)
    pruned.reconcile_all()
    pruned.send()
    assert set(pruned.sent.values()) == {1}


def test_pruning_takes_small_steps_and_one_turn_an_hour(pruned: PruningHarness) -> None:
    """A turn is bounded and continued by the next; other daemons skip it."""
    lines = io.StringIO()
    logging.configure(style="json", stream=lines)
    pruned.pruning = pruned.retention(PruningSteps(batches=2, steps=2))
    for _ in range(7):
        pruned.sell()
    pruned.age()
    pruned.prune()
    assert pruned.shop.batches() == 4  # four of them were merged into one
    pruned.retention(PruningSteps(batches=2, steps=2)).run()
    pruned.pruning.run()
    assert pruned.shop.batches() == 4
    pruned.prune()
    assert pruned.shop.batches() == 1
    logged = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [(t["orders"], t["batches"]) for t in logged] == [(4, 4), (3, 3)]


def test_a_step_ends_after_a_number_of_orders(pruned: PruningHarness) -> None:
    """But it always includes at least one batch, however large."""
    pruned.pruning = pruned.retention(PruningSteps(orders=3, steps=1))
    for orders in (5, 2, 2):
        pruned.sell(orders)
    pruned.age()
    counts = []
    for _ in range(3):
        pruned.prune()
        counts.append(max(batch.orders for batch in pruned.shop.rows_of("batch")))
    assert counts == [5, 9, 9]


def test_nothing_is_pruned_by_default_or_after_a_stop(
    pruned: PruningHarness,
) -> None:
    """By default everything is kept; a stop ends a turn after the current step."""
    pruned.sell()
    pruned.age()
    Retention(pruned.ledger, None, Log("shop"), threading.Event()).run()
    assert pruned.shop.row_of("feed").pruned_at is None
    stopping = threading.Event()
    rounds = ReconciliationJob(
        pruned.reconciliation,
        WakeUp(),
        Log("shop"),
        stopping,
        Retention(pruned.ledger, KEEP, Log("shop"), stopping),
    )
    rounds.run()
    assert pruned.shop.row_of("feed").pruned_after > 0


def test_orders_of_another_feed_are_not_pruned(pruned: PruningHarness) -> None:
    """It may keep everything; the steps skip its batches."""
    pruned.sell(2)
    pruned.age()
    pruned.shop.update("feed", {"feed": "other"})
    second = PruningHarness(pruned.shop)
    second.sell(2)
    second.age()
    second.prune()
    stamped = {
        row.feed: row.pruned_batch is not None for row in pruned.shop.rows_of("feed")
    }
    assert stamped == {"other": False, "shop": True}
    second.close()


def test_a_reset_that_reaches_into_the_pruned_range_is_refused(
    pruned: PruningHarness, tmp_path: Path
) -> None:
    """The error has the next step; a reset of a later range is planned."""
    pruned.sell(2)
    pruned.age()
    pruned.prune()
    with pytest.raises(RangePrunedError):
        pruned.ledger.refuse_pruned(ago(days=1), ago(days=0))
    pruned.ledger.refuse_pruned(ago(days=9), ago(days=8))
    pruned.ledger.refuse_pruned(ago(days=0), ago(days=-1))
    pruned.shop.set_watermark(ago(seconds=-1))
    config = pruned.shop.configure(tmp_path, "http://127.0.0.1:9/x")
    reset = ("watermark", "reset", "--yes", "--config", config)
    refused = syncd(*reset, "--to", "2020-01-01")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "their receipts are no longer kept" in refused.stderr
    later = refused.stderr.split("at the earliest ")[1].strip(" .\n")
    assert "0 to send" in syncd(*reset, "--to", later).stdout
    assert pruned.shop.rows_of("backfill") == []


def test_a_retention_shorter_than_reconciliation_needs_is_refused(
    pruned: PruningHarness, tmp_path: Path
) -> None:
    """The error is one line."""
    config = pruned.shop.configure(tmp_path, "http://127.0.0.1:9/x")
    text = config.read_text()
    for keep, source in (("6d", ""), ("9d", 'lookback = "1d"\n')):
        changed = text.replace('lookback = "5s"\n', source or 'lookback = "5s"\n')
        config.write_text(
            changed.replace("[ledger]", f'[ledger]\nretention = "{keep}"')
        )
        refused = syncd("status", "--config", config)
        assert refused.returncode == 78
        assert "ledger.retention must be at least 7d, and ten times" in refused.stderr
    config.write_text(text.replace("[ledger]", '[ledger]\nretention = "7d"'))
    assert syncd("status", "--config", config).returncode == 0


# Any sequence of events


class PruningModel(RuleBasedStateMachine):
    """A shop, a feed and its ledger, which is pruned at any moment."""

    server: Cluster
    numbers = 0

    def __init__(self) -> None:
        super().__init__()
        PruningModel.numbers += 1
        self.name = f"thin{PruningModel.numbers}"
        self.server.sql(f"CREATE DATABASE {self.name}")
        self.shop = Shop.open(self.server.dsn(self.name))
        self.pruned = PruningHarness(self.shop)
        self.late: list[psycopg.Connection] = []

    @rule(orders=st.integers(1, 4))
    def confirm(self, orders: int) -> None:
        self.shop.confirm(orders)

    @rule()
    def begin_a_late_one(self) -> None:
        session = psycopg.connect(self.shop.owner)
        session.execute("INSERT INTO orders (confirmed_at) VALUES (clock_timestamp())")
        self.late.append(session)

    @precondition(lambda self: self.late)
    @rule()
    def commit_a_late_one(self) -> None:
        session = self.late.pop(0)
        session.commit()
        session.close()

    @rule()
    def poll(self) -> None:
        self.pruned.poll()

    @rule()
    def touch_all(self) -> None:
        rows = self.shop.rows("SELECT id::text FROM orders")
        self.pruned.touch([str(row[0]) for row in rows])

    @rule()
    def stamp_anew(self) -> None:
        self.shop.sql(
            "UPDATE orders SET confirmed_at = clock_timestamp() WHERE id % 3 = 0"
        )

    @rule()
    def reconcile(self) -> None:
        self.pruned.tally()

    @rule()
    def send(self) -> None:
        self.pruned.send()

    @rule()
    def send_and_split(self) -> None:
        claim = self.pruned.claim()
        if claim:
            pieces = [[order.key] for order in claim.orders]
            self.pruned.ledger.split(claim, pieces, Receipt("refused"), refusals=1)

    @rule(sold=st.booleans(), aged=st.booleans())
    def let_time_pass(self, *, sold: bool, aged: bool) -> None:
        """Prune, mostly after orders were sent and have become old."""
        if sold:
            self.shop.confirm(2)
            self.pruned.poll()
            self.pruned.send()
        if aged:
            self.pruned.age()
        delivered = self.pruned.delivered()
        self.pruned.prune()
        assert self.pruned.delivered() == delivered

    @override
    def teardown(self) -> None:
        try:
            while self.late:
                self.commit_a_late_one()
            for _ in range(3):
                self.pruned.poll(whole=True)
            self.pruned.tally()
            self.pruned.send()
            orders = self.shop.rows("SELECT id::text FROM orders")
            assert self.pruned.sent == Counter(str(row[0]) for row in orders)
            assert self.pruned.delivered() == len(orders)
        finally:
            self.pruned.close()
            self.shop.close()
            self.server.sql(f"DROP DATABASE {self.name} WITH (FORCE)")


@pytest.mark.timeout(300)
def test_no_order_is_sent_twice_or_missed_however_it_is_pruned(
    server: Cluster,
) -> None:
    """Late commits, captures by key, new stamps and reconciliations intervene."""
    PruningModel.server = server
    run_state_machine_as_test(
        PruningModel,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            phases=[Phase.generate],  # shrinking creates databases for minutes
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
