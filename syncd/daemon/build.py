"""The daemon's parts, each on connections of its own.

Before a connection to the ledger is used, it is checked for a promotion.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from syncd.capture.follower import ChangeFollower
from syncd.capture.listen.capture import AdmissionContext, OutboxCapture, OutboxTuning
from syncd.capture.listen.notify import NotifyListener
from syncd.capture.listen.outbox import Outbox
from syncd.capture.poll import PollCapture
from syncd.capture.reconciliation import Reconciliation
from syncd.capture.stamps import StampWatch
from syncd.capture.unreadable import Exclusion, Reading, UnreadableOrders
from syncd.capture.wal.capture import follow_wal
from syncd.capture.wal.replica_identity import identity_guard
from syncd.config.settings import Settings
from syncd.daemon.backfill_loop import BackfillLoop
from syncd.daemon.capture_loop import PATIENCE_SECONDS, CaptureLoop
from syncd.daemon.delivery_loop import DeliveryLoop, RateLimiter
from syncd.daemon.error_policy import ErrorPolicy
from syncd.daemon.identity_job import IdentityJob
from syncd.daemon.mended_job import MendedJob
from syncd.daemon.offer import Offer
from syncd.daemon.reconciliation_job import ReconciliationJob
from syncd.daemon.rereading import Rereader
from syncd.daemon.tuning import DEFAULTS, Tuning
from syncd.daemon.wakeup import WakeUps
from syncd.delivery.components import DeliveryComponents, Reads
from syncd.delivery.delivery import Delivery
from syncd.delivery.rendering import rules_of
from syncd.ledger.batches import Ledger
from syncd.ledger.clone_guard import CloneGuard
from syncd.ledger.feed import Feed
from syncd.ledger.mended import MendedOrders
from syncd.ledger.retention import Retention
from syncd.ledger.reused_keys import ReusedKeys
from syncd.log.log import Log
from syncd.postgres.database import Database
from syncd.source.connections import Connections, connect, source_on, transactions_of
from syncd.source.orders import Source


class Components:
    """Makes the parts of one daemon, and closes what they were made on.

    Attributes:
        wake_ups: Wakes the threads that wait for work.
        pace: Shared by all workers.
        is_to_retry: Set when a probe of the API was requested.
    """

    def __init__(
        self,
        settings: Settings,
        log: Log,
        reactions: ErrorPolicy,
        tuning: Tuning = DEFAULTS,
    ) -> None:
        self._settings = settings
        self._tuning = tuning
        self._log = log
        self._reactions = reactions
        self._connections: list[Connections] = []
        self._clone_guard: CloneGuard | None = None
        self.wake_ups = WakeUps(are_notified=settings.source.capture == "listen")
        self.offer = Offer(settings, self.wake_ups.sending)
        self.pace = RateLimiter(settings.squeezely.rate, settings.backfill.rate)
        self.workers: list[DeliveryLoop] = []
        self._rereader: Rereader | None = None
        self._reads = Reads.of(settings)
        self._exclusion = Exclusion(tuning.unreadable_seconds)
        self.is_to_retry = threading.Event()

    def connect(self, role: str, *, keeps_plans: bool = False) -> Connections:
        """Make the connections of one part; `role` shows in `pg_stat_activity`.

        With `keeps_plans` for one that reads by key only.
        """
        connections = connect(self._settings, role, keeps_plans=keeps_plans)
        self._connections.append(connections)
        self._watch_over(connections.ledger)
        return connections

    def close(self) -> None:
        """Close every connection that was made."""
        for connections in self._connections:
            connections.close()
        self._connections.clear()
        self._clone_guard = None

    def guard(self, clone_guard: CloneGuard) -> None:
        """Make every connection, also existing ones, check."""
        self._clone_guard = clone_guard
        for connections in self._connections:
            self._watch_over(connections.ledger)

    def delivered(self) -> int:
        """Count the events that were accepted since the start."""
        again = self._rereader.delivered if self._rereader else 0
        return again + sum(worker.delivered for worker in self.workers)

    def trouble(self) -> str | None:
        """Return what fails in this daemon again and again; None: nothing does."""
        return self._reactions.trouble()

    def watch(
        self, feed: Feed, touched: Callable[[Sequence[str]], None]
    ) -> CaptureLoop:
        """Make the capture; `touched` is called with changed orders."""
        poll, follower = self._poll(feed), self._follower(feed)
        self._capture = CaptureLoop(
            poll, follower, self.wake_ups.sending, self._reactions, self._log
        )
        self._capture.touched = touched
        return self._capture

    def rounds(self, feed: Feed) -> ReconciliationJob:
        """Make what reconciles by itself."""
        connections = self.connect("reconcile")
        stopping = self._reactions.stopping
        follows = self._settings.source.capture != "poll"
        ledger = Ledger(connections.ledger, feed.feed_id)
        source = self._source(connections)
        reconciliation = Reconciliation(
            source,
            ledger,
            size=self._settings.squeezely.orders_per_batch,
            wait=lambda: follows and stopping.wait(PATIENCE_SECONDS),
            reading=self._reading(source, ledger),
        )
        pruning = Retention(
            ledger, self._settings.ledger.retention, self._log, stopping
        )
        return ReconciliationJob(
            reconciliation, self.wake_ups.sending, self._log, stopping, pruning
        )

    def mended(self, feed: Feed) -> MendedJob:
        """Make what tries rejected orders again."""
        connections = self.connect("mended")
        orders = MendedOrders(
            source_on(self._settings, connections),
            Ledger(connections.ledger, feed.feed_id),
            rules_of(self._settings),
            size=self._settings.squeezely.orders_per_batch,
        )
        defers = self._settings.source.quiet is not None
        return MendedJob(orders, self.wake_ups.sending, self._log, defers=defers)

    def stamps(self, feed: Feed) -> StampWatch:
        """Make what compares orders' stamps with the moments when they appear."""
        connections = self.connect("stamps")
        ledger = Ledger(connections.ledger, feed.feed_id)
        source = self._source(connections)
        reading = self._reading(source, ledger)
        tuning = self._tuning.stamps
        return StampWatch(source, ledger, self._log, reading=reading, tuning=tuning)

    def identity(self, feed: Feed) -> IdentityJob:
        """Make what compares the tables behind the views, and the orders' keys."""
        connections = self.connect("identity")
        source = self._source(connections)
        guard = identity_guard(self._settings, connections, feed, source)
        keys = ReusedKeys(source, connections.ledger, feed.feed_id)
        ledger = Ledger(connections.ledger, feed.feed_id)
        changed, reading = self._reactions.views_changed, self._reading(source, ledger)
        return IdentityJob(guard, keys, self._log, changed, reading=reading)

    def driver(self, feed: Feed) -> BackfillLoop:
        """Make what drives backfills."""
        source = self._source(self.connect("backfill"))
        connections = self.connect("backfill-ledger", keeps_plans=True)
        ledger = Ledger(connections.ledger, feed.feed_id)
        size = self._settings.squeezely.orders_per_batch
        rate = self._settings.backfill.rate
        driver = BackfillLoop(
            source, ledger, self.wake_ups, self._log, size=size, rate=rate
        )
        driver.reading = self._reading(source, ledger)
        driver.page = self._tuning.backfill_page
        return driver

    def worker(self, number: int, feed: Feed, instance: int) -> DeliveryLoop:
        """Make what delivers one batch at a time."""
        connections = self.connect(f"delivery-{number}", keeps_plans=True)
        ledger = Ledger(connections.ledger, feed.feed_id)
        delivery = self._delivery(connections, ledger, instance, self._reads)
        worker = DeliveryLoop(
            number, delivery, ledger, self.pace, self.wake_ups, self._reactions
        )
        self.workers.append(worker)
        return worker

    def rereader(self, feed: Feed, instance: int) -> Rereader:
        """Make what reads again the orders that could not be read."""
        connections = self.connect("rereading", keeps_plans=True)
        ledger = Ledger(connections.ledger, feed.feed_id)
        reads = replace(self._reads, again=True)
        self._rereader = Rereader(
            self._delivery(connections, ledger, instance, reads),
            ledger,
            self.pace,
            self.wake_ups,
            self._reactions,
            connections.close,
        )
        return self._rereader

    def _delivery(
        self, connections: Connections, ledger: Ledger, instance: int, reads: Reads
    ) -> Delivery:
        settings = self._settings
        source = source_on(settings, connections)
        components = DeliveryComponents.of(settings, source, ledger, self._log, reads)
        touched = partial(self.offer.take, source, self._capture.note)
        margin = self._tuning.lease_margin
        return Delivery(
            settings,
            source,
            ledger,
            replace(components, touched=touched, lease_margin=margin),
            instance=instance,
            reads=reads,
        )

    def starting(self, connections: Connections) -> tuple[Source, Reading]:
        """Make what reads the views for the first start of the feed."""
        exclusion = Exclusion()  # its own, so that capture raises the alarm
        source = source_on(self._settings, connections, exclusion.left_out)
        return source, UnreadableOrders(source, None, self._log, exclusion)

    def _source(self, connections: Connections) -> Source:
        """Make a source that leaves out the orders that the parts found unreadable."""
        return source_on(self._settings, connections, self._exclusion.left_out)

    def _reading(self, source: Source, ledger: Ledger) -> Reading:
        return UnreadableOrders(source, ledger, self._log, self._exclusion)

    def _watch_over(self, ledger: Database) -> None:
        if self._clone_guard is not None:
            ledger.on_open(partial(self._clone_guard.note_promotion, ledger))

    def _follower(self, feed: Feed) -> ChangeFollower | None:
        """Make the capture that is configured beside the poll; None for none."""
        capture = self._settings.source.capture
        if capture == "listen":
            return self._listen(feed)
        if capture == "wal":
            connections, tuning = self.connect("wal"), self._tuning.wal
            return follow_wal(self._settings, feed, connections, self._log, tuning)
        return None

    def _listen(self, feed: Feed) -> OutboxCapture:
        settings = self._settings
        connections = self.connect("listen", keeps_plans=True)
        ears = self.connect("notifications")
        writer = connections.primary or connections.source
        listener = ears.primary or ears.source
        seconds = settings.source.poll_interval.total_seconds()
        intake = AdmissionContext(
            source_on(settings, connections),
            Ledger(connections.ledger, feed.feed_id),
            settings.squeezely.orders_per_batch,
            spans_outbox=connections.span_outbox,
        )
        return OutboxCapture(
            Outbox(connections.source, writer, settings.feed),
            NotifyListener(listener, writer, settings.feed, self.wake_ups.notify),
            intake,
            self._log,
            tuning=OutboxTuning(fallback_seconds=seconds),
            offer=self.offer.make if connections.span_outbox else lambda: False,
        )

    def _poll(self, feed: Feed) -> PollCapture:
        connections = self.connect("capture")
        transactions = transactions_of(connections)
        source = self._source(connections)
        ledger = Ledger(connections.ledger, feed.feed_id)
        poll = PollCapture(
            transactions,
            source,
            ledger,
            lookback=self._settings.source.lookback,
            size=self._settings.squeezely.orders_per_batch,
            tuning=self._tuning.poll,
        )
        poll.reading = self._reading(source, ledger)
        for database in (connections.source, connections.primary):
            if database is not None:
                database.on_open(poll.forget)
        if transactions.primary_unknown:
            self._log.emit("source.unverified")
        return poll
