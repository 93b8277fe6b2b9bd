"""The daemon's components, each on connections of its own."""

import threading
from dataclasses import replace
from functools import partial

from syncd.capture.follower import ChangeFollower
from syncd.capture.identity import identity_guard
from syncd.capture.listen.capture import AdmissionContext, OutboxCapture, OutboxTuning
from syncd.capture.listen.notify import NotifyListener
from syncd.capture.listen.outbox import Outbox
from syncd.capture.poll import PollCapture
from syncd.capture.reconciliation import Reconciliation
from syncd.capture.stamps import StampWatch
from syncd.capture.wal.capture import follow_wal
from syncd.daemon.backfill_loop import BackfillLoop
from syncd.daemon.capture_log import PATIENCE_SECONDS, CaptureLog
from syncd.daemon.capture_loop import CaptureLoop
from syncd.daemon.delivery_loop import DeliveryLoop, RateLimiter, Rereader
from syncd.daemon.error_policy import ErrorPolicy
from syncd.daemon.jobs import ChangedOrders, IdentityJob, MendedJob, ReconciliationJob
from syncd.daemon.offer import Offer
from syncd.daemon.opening import Access, OpenFeed
from syncd.daemon.tuning import DEFAULTS, Tuning
from syncd.daemon.wakeup import WakeUps
from syncd.delivery.components import DeliveryComponents, Reads
from syncd.delivery.delivery import Delivery
from syncd.delivery.rendering import rules_of
from syncd.ledger.mended import MendedOrders
from syncd.ledger.retention import Retention
from syncd.ledger.reused_keys import ReusedKeys
from syncd.source.connections import transactions_of


class Components:
    """Makes the components of one daemon, and has what they share.

    Attributes:
        wake_ups: Wakes the threads that wait for work.
        offer: To the workers, of touched orders.
        rate_limiter: Shared by all workers.
        reads: What all workers know of reading the views.
        is_to_retry: Set when a probe of the API was requested.
    """

    def __init__(
        self, opened: OpenFeed, reactions: ErrorPolicy, tuning: Tuning = DEFAULTS
    ) -> None:
        settings = self._settings = opened.settings
        self._feed = opened.feed
        self._instance = opened.instance.number
        self._connector = opened.connector
        self._log = opened.log
        self._tuning = tuning
        self.reactions = reactions
        self.wake_ups = WakeUps(are_notified=settings.source.capture == "listen")
        self._changed = ChangedOrders()
        self._capture_log = CaptureLog(opened.log, self._changed.note)
        self.offer = Offer(settings, self.wake_ups.sending, self._capture_log.followed)
        self.rate_limiter = RateLimiter(settings.squeezely.rate, settings.backfill.rate)
        self.reads = Reads.of(settings)
        self.is_to_retry = threading.Event()
        self._senders: list[DeliveryLoop | Rereader] = []

    def delivered(self) -> int:
        """Count the events that were accepted since the start."""
        return sum(sender.delivered for sender in self._senders)

    def capture_loop(self) -> CaptureLoop:
        """Make the capture."""
        access = self._access("capture")
        return CaptureLoop(
            self.poll(access),
            self.follower(),
            self.wake_ups.sending,
            self.reactions,
            self._capture_log,
            access.reading,
        )

    def reconciliation_job(self) -> ReconciliationJob:
        """Make what reconciles by itself."""
        access = self._access("reconcile")
        stopping = self.reactions.stopping
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

    def mended_job(self) -> MendedJob:
        """Make what tries rejected orders again."""
        access = self._access("mended")
        orders = MendedOrders(
            access.source,
            access.ledger,
            rules_of(self._settings),
            size=self._settings.squeezely.orders_per_batch,
        )
        defers = self._settings.source.quiet is not None
        return MendedJob(
            orders, self._changed, self.wake_ups.sending, self._log, defers=defers
        )

    def stamp_watch(self) -> StampWatch:
        """Make what compares orders' stamps with the moments when they appear."""
        access = self._access("stamps")
        source, ledger, reading = access.source, access.ledger, access.reading
        tuning = self._tuning.stamps
        return StampWatch(source, ledger, self._log, reading=reading, tuning=tuning)

    def identity_job(self) -> IdentityJob:
        """Make what compares the tables behind the views, and the orders' keys."""
        access = self._access("identity")
        source, database = access.source, access.ledger.database
        guard = identity_guard(self._settings, access.connections, self._feed, source)
        keys = ReusedKeys(source, database, self._feed.feed_id)
        changed = self.reactions.views_changed
        return IdentityJob(guard, keys, self._log, changed, reading=access.reading)

    def backfill_loop(self) -> BackfillLoop:
        """Make what runs backfills."""
        access = self._access("backfill")
        keyed = self._access("backfill-ledger", by_key=True)
        limits = replace(
            self._tuning.backfill,
            size=self._settings.squeezely.orders_per_batch,
            rate=self._settings.backfill.rate,
        )
        return BackfillLoop(
            access.source,
            keyed.ledger,
            self.wake_ups,
            self._log,
            limits,
            access.reading,
        )

    def worker(self, number: int) -> DeliveryLoop:
        """Make what delivers one batch at a time."""
        access = self._access(f"delivery-{number}", by_key=True)
        worker = DeliveryLoop(
            number,
            self.delivery(access),
            access.ledger,
            self.rate_limiter,
            self.wake_ups,
            self.reactions,
        )
        self._senders.append(worker)
        return worker

    def rereader(self) -> Rereader:
        """Make what reads again the orders that could not be read."""
        access = self._access("rereading", by_key=True)
        rereader = Rereader(
            self.delivery(access, again=True),
            access.ledger,
            self.rate_limiter,
            self.wake_ups,
            self.reactions,
            access.connections.close,
        )
        self._senders.append(rereader)
        return rereader

    def delivery(self, access: Access, *, again: bool = False) -> Delivery:
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
            instance=self._instance,
            reads=reads,
        )

    def poll(self, access: Access) -> PollCapture:
        """Make the capture that reads what has become confirmed."""
        transactions = transactions_of(access.connections)
        if transactions.primary_unknown:
            self._log.emit("source.unverified")
        return PollCapture(
            transactions,
            access.source,
            access.ledger,
            lookback=self._settings.source.lookback,
            size=self._settings.squeezely.orders_per_batch,
            tuning=self._tuning.poll,
        )

    def follower(self) -> ChangeFollower | None:
        """Make the capture that is configured beside the poll; None for none."""
        capture = self._settings.source.capture
        if capture == "listen":
            return self._listen()
        if capture == "wal":
            connections, tuning = self._connector.connect("wal"), self._tuning.wal
            return follow_wal(
                self._settings, self._feed, connections, self._log, tuning
            )
        return None

    def _listen(self) -> OutboxCapture:
        settings = self._settings
        access = self._access("listen", by_key=True)
        connections = access.connections
        notifications = self._connector.connect("notifications")
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

    def _access(self, role: str, *, by_key: bool = False) -> Access:
        return self._connector.access(role, self._feed, by_key=by_key)
