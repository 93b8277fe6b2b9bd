"""A started feed in the test's own process, with a clock that the test sets."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import psycopg
from typing_extensions import override

from support.clock import Clock
from support.shop import Shop
from syncd.backfill.plan import Plan, Planner, Request
from syncd.backfill.store import BackfillStore
from syncd.capture.poll import PollCapture
from syncd.capture.reconciliation import Reconciliation
from syncd.capture.reconciliation_run import (
    Page,
    ReconciliationResult,
    ReconciliationRun,
)
from syncd.capture.tuning import PollTuning
from syncd.core.errors import SyncdError
from syncd.core.event import EventRules
from syncd.core.intervals import Interval
from syncd.core.tally import ReconciliationTally
from syncd.daemon.backfill_loop import BackfillLimits, BackfillLoop
from syncd.daemon.wakeup import WakeUps
from syncd.ledger.batches import Ledger
from syncd.ledger.feed import Feed, FeedStore
from syncd.log.log import Log
from syncd.postgres.database import Database
from syncd.source.connections import Connections
from syncd.source.orders import Source
from syncd.source.transactions import Transactions

VIEWS = ("syncd.confirmed_orders", "syncd.purchases")


class ClockedTransactions(Transactions):
    """The server's transactions, with a clock that the test sets."""

    now: datetime | None = None

    @override
    def clock(self) -> datetime:
        return self.now or super().clock()


class FeedHarness:
    """A feed that started in the past: the test sets its floor and its watermark."""

    def __init__(
        self,
        shop: Shop,
        *,
        lookback: timedelta = timedelta(minutes=5),
        time_zone: str | None = None,
        page: int = 1000,
        source: type[Source] = Source,
    ) -> None:
        self.shop = shop
        self._clock = Clock()
        database = Database(shop.dsn, time_zone=time_zone)
        state = Database(shop.state_dsn) if shop.state_dsn else database
        self.connections = Connections(database, state)
        self.source = source(database, *VIEWS, beside_ledger=self.connections.is_one)
        self.feeds = FeedStore(self.connections, "shop")
        try:
            feed: Feed = self.feeds.start(self.source, lookback)
        except SyncdError:
            self.close()
            raise
        self.ledger = Ledger(self.connections.ledger, feed.feed_id)
        self.transactions = ClockedTransactions(database)
        self._poll = PollCapture(
            self.transactions,
            self.source,
            self.ledger,
            lookback=lookback,
            size=100,
            tuning=PollTuning(step=timedelta(0), clock=self._clock),
        )
        self.reconciliation = Reconciliation(
            self.source, self.ledger, size=100, page=page
        )

    def poll(self, *, deep: bool = False, whole: bool = False) -> int:
        """Poll once; `deep`, `whole`: as if that kind of poll were due."""
        if deep:
            self._clock.advance(PollTuning().deep_seconds)
        if whole:
            self._clock.advance(PollTuning().whole_seconds)
        return self._poll.poll().orders

    def backdate(self, ago: str, watermark_ago: str = "0 s") -> None:
        """Move the start of the feed, and the watermark, into the past."""
        self.state(
            "UPDATE syncd.feed SET floor_at = now() - "
            f"interval '{ago}', started_at = now() - interval '{ago}'"
        )
        self.state(
            "UPDATE syncd.watermark SET confirmed_at = now() - "
            f"interval '{watermark_ago}'"
        )

    def state(self, statement: str) -> None:
        """Run a statement as the owner of the ledger."""
        owner = self.shop.state or self.shop.owner
        with psycopg.connect(owner, autocommit=True) as connection:
            connection.execute(statement.encode())

    def reconcile(
        self, lower: datetime | None = None, upper: datetime | None = None
    ) -> ReconciliationResult:
        """Reconcile a range, everything by default."""
        run = self.reconciliation.ask(lower, upper)
        self.pages(run)
        finished = self.reconciliation.finish(run)
        assert finished
        return finished

    def tally(self) -> ReconciliationTally:
        return self.reconcile().account

    def pages(self, run: ReconciliationRun) -> Sequence[Page]:
        return list(self.reconciliation.pages(run))

    def backfill(self, lower: datetime) -> None:
        backfill(self.source, self.ledger, lower)

    def captures(self) -> list[tuple[object, ...]]:
        return self.shop.ledger(
            "SELECT capture, count(*) FROM syncd.ledger GROUP BY 1 ORDER BY 1"
        )

    def close(self) -> None:
        self.connections.close()


def backfill_loop(
    source: Source,
    ledger: Ledger,
    *,
    size: int = 100,
    rate: float | None = None,
    **limits: int,
) -> BackfillLoop:
    """Build a backfill loop, without a rate limit by default."""
    taking = BackfillLimits(size=size, rate=rate, **limits)
    return BackfillLoop(source, ledger, WakeUps(), Log("shop"), taking)


def plan(source: Source, ledger: Ledger, lower: datetime) -> Plan:
    """Plan a backfill from a time up to the watermark."""
    planner = Planner(source, ledger, EventRules())
    return planner.plan(Request(Interval(lower, planner.ceiling())))


def backfill(source: Source, ledger: Ledger, lower: datetime) -> int:
    """Backfill from a time on, as `watermark reset` and a daemon do."""
    number = BackfillStore(ledger).open(plan(source, ledger, lower))
    loop = backfill_loop(source, ledger)
    while loop.step() == 0:
        pass
    return number


def ago(**span: float) -> datetime:
    return datetime.now(UTC) - timedelta(**span)


Begin = Callable[..., FeedHarness]
"""Makes a feed, with the options of `FeedHarness`."""
