"""The daemon's components, each on connections of its own."""

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
from syncd.capture.wal.capture import follow_wal
from syncd.capture.wal.replica_identity import identity_guard
from syncd.config.settings import Settings
from syncd.daemon.backfill_loop import BackfillLoop
from syncd.daemon.capture_loop import PATIENCE_SECONDS, CaptureLoop
from syncd.daemon.connector import Access, Connector
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
from syncd.ledger.feed import Feed
from syncd.ledger.instance import Instance
from syncd.ledger.mended import MendedOrders
from syncd.ledger.retention import Retention
from syncd.ledger.reused_keys import ReusedKeys
from syncd.log.log import Log
from syncd.source.connections import Connections, transactions_of


class Components:
    """Makes the components of one daemon.

    Attributes:
        connector: Of the components; it closes what they were made on.
        wake_ups: Wakes the threads that wait for work.
        offer: To the workers, of touched orders.
        rate_limiter: Shared by all workers.
        reads: What all workers know of reading the views.
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
        self.connector = Connector(settings, log, tuning.unreadable_seconds)
        self.wake_ups = WakeUps(are_notified=settings.source.capture == "listen")
        self.offer = Offer(settings, self.wake_ups.sending)
        self.rate_limiter = RateLimiter(settings.squeezely.rate, settings.backfill.rate)
        self.workers: list[DeliveryLoop] = []
        self._rereader: Rereader | None = None
        self.reads = Reads.of(settings)
        self.is_to_retry = threading.Event()

    def delivered(self) -> int:
        """Count the events that were accepted since the start."""
        again = self._rereader.delivered if self._rereader else 0
        return again + sum(worker.delivered for worker in self.workers)

    def trouble(self) -> str | None:
        """Return what fails in this daemon again and again; None: nothing does."""
        return self._reactions.trouble()

    def instance(self, connections: Connections, feed: Feed) -> Instance:
        """Register this process as an instance of the feed."""
        settings = self._settings
        return Instance(
            connections.ledger,
            feed.feed_id,
            holds=settings.squeezely.on_uncertain == "hold",
            name=settings.instance,
            quiet=settings.source.quiet,
        )

    def capture_loop(
        self, feed: Feed, touched: Callable[[Sequence[str]], None]
    ) -> CaptureLoop:
        """Make the capture; `touched` is called with changed orders."""
        poll, follower = self.poll(feed), self.follower(feed)
        capture = CaptureLoop(
            poll, follower, self.wake_ups.sending, self._reactions, self._log
        )
        capture.touched, self.offer.note = touched, capture.note
        return capture

    def reconciliation_job(self, feed: Feed) -> ReconciliationJob:
        """Make what reconciles by itself."""
        access = self.connector.access("reconcile", feed)
        stopping = self._reactions.stopping
        follows = self._settings.source.capture != "poll"
        reconciliation = Reconciliation(
            access.source,
            access.ledger,
            size=self._settings.squeezely.orders_per_batch,
            wait=lambda: follows and stopping.wait(PATIENCE_SECONDS),
            reading=access.reading,
        )
        retention = self._settings.ledger.retention
        pruning = Retention(access.ledger, retention, self._log, stopping)
        return ReconciliationJob(
            reconciliation, self.wake_ups.sending, self._log, stopping, pruning
        )

    def mended_job(self, feed: Feed) -> MendedJob:
        """Make what tries rejected orders again."""
        access = self.connector.access("mended", feed)
        orders = MendedOrders(
            access.source,
            access.ledger,
            rules_of(self._settings),
            size=self._settings.squeezely.orders_per_batch,
        )
        defers = self._settings.source.quiet is not None
        return MendedJob(orders, self.wake_ups.sending, self._log, defers=defers)

    def stamp_watch(self, feed: Feed) -> StampWatch:
        """Make what compares orders' stamps with the moments when they appear."""
        access = self.connector.access("stamps", feed)
        source, ledger, reading = access.source, access.ledger, access.reading
        tuning = self._tuning.stamps
        return StampWatch(source, ledger, self._log, reading=reading, tuning=tuning)

    def identity_job(self, feed: Feed) -> IdentityJob:
        """Make what compares the tables behind the views, and the orders' keys."""
        access = self.connector.access("identity", feed)
        source, database = access.source, access.ledger.database
        guard = identity_guard(self._settings, access.connections, feed, source)
        keys = ReusedKeys(source, database, feed.feed_id)
        changed = self._reactions.views_changed
        return IdentityJob(guard, keys, self._log, changed, reading=access.reading)

    def backfill_loop(self, feed: Feed) -> BackfillLoop:
        """Make what runs backfills."""
        access = self.connector.access("backfill", feed)
        keyed = self.connector.access("backfill-ledger", feed, by_key=True)
        loop = BackfillLoop(
            access.source,
            keyed.ledger,
            self.wake_ups,
            self._log,
            size=self._settings.squeezely.orders_per_batch,
            rate=self._settings.backfill.rate,
        )
        loop.reading = access.reading
        loop.page = self._tuning.backfill_page
        return loop

    def worker(self, number: int, feed: Feed, instance: int) -> DeliveryLoop:
        """Make what delivers one batch at a time."""
        access = self.connector.access(f"delivery-{number}", feed, by_key=True)
        worker = DeliveryLoop(
            number,
            self.delivery(access, instance),
            access.ledger,
            self.rate_limiter,
            self.wake_ups,
            self._reactions,
        )
        self.workers.append(worker)
        return worker

    def rereader(self, feed: Feed, instance: int) -> Rereader:
        """Make what reads again the orders that could not be read."""
        access = self.connector.access("rereading", feed, by_key=True)
        self._rereader = Rereader(
            self.delivery(access, instance, again=True),
            access.ledger,
            self.rate_limiter,
            self.wake_ups,
            self._reactions,
            access.connections.close,
        )
        return self._rereader

    def delivery(
        self, access: Access, instance: int, *, again: bool = False
    ) -> Delivery:
        """Make what delivers batches; with `again` those that could not be read."""
        settings, source, ledger = self._settings, access.source, access.ledger
        reads = replace(self.reads, again=again)
        components = DeliveryComponents.of(settings, source, ledger, self._log, reads)
        touched = partial(self.offer.take, source)
        margin = self._tuning.lease_margin
        return Delivery(
            settings,
            source,
            ledger,
            replace(components, touched=touched, lease_margin=margin),
            instance=instance,
            reads=reads,
        )

    def poll(self, feed: Feed) -> PollCapture:
        """Make the capture that reads what has become confirmed."""
        access = self.connector.access("capture", feed)
        connections = access.connections
        transactions = transactions_of(connections)
        poll = PollCapture(
            transactions,
            access.source,
            access.ledger,
            lookback=self._settings.source.lookback,
            size=self._settings.squeezely.orders_per_batch,
            tuning=self._tuning.poll,
        )
        poll.reading = access.reading
        for database in (connections.source, connections.primary):
            if database is not None:
                database.on_open(poll.forget)
        if transactions.primary_unknown:
            self._log.emit("source.unverified")
        return poll

    def follower(self, feed: Feed) -> ChangeFollower | None:
        """Make the capture that is configured beside the poll; None for none."""
        capture = self._settings.source.capture
        if capture == "listen":
            return self._listen(feed)
        if capture == "wal":
            connections, tuning = self.connector.connect("wal"), self._tuning.wal
            return follow_wal(self._settings, feed, connections, self._log, tuning)
        return None

    def _listen(self, feed: Feed) -> OutboxCapture:
        settings = self._settings
        access = self.connector.access("listen", feed, by_key=True)
        connections = access.connections
        notifications = self.connector.connect("notifications")
        writer = connections.primary or connections.source
        listener = notifications.primary or notifications.source
        seconds = settings.source.poll_interval.total_seconds()
        intake = AdmissionContext(
            access.source,
            access.ledger,
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
