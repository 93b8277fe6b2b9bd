"""What `syncd status` reads of a feed: often what is cheap, the rest rarely."""

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from syncd.capture.identity import identity_guard
from syncd.capture.listen.outbox import Outbox
from syncd.capture.poll import SAFETY_POLL_INTERVAL
from syncd.capture.tuning import HELD_SECONDS
from syncd.capture.wal.slot import SlotCatalog, SlotPositionStore
from syncd.config.settings import Settings
from syncd.core.errors import (
    DatabaseUnavailableError,
    SchemaMismatchError,
    SlowStatementError,
    SyncdError,
    TableBusyError,
)
from syncd.core.health_inputs import HealthInputs, InstanceInfo
from syncd.delivery.rendering import refuse_unknown_fields
from syncd.diagnostics.status.rows import (
    Delivered,
    LedgerLocation,
    OutboxState,
    PastRange,
    Quick,
    Slow,
    Stream,
    Totals,
    UncertainCounts,
)
from syncd.ledger.account import is_proven, load
from syncd.ledger.feed import Feed, FeedStore
from syncd.ledger.key_comparison import IdentityCheck
from syncd.ledger.order_quality import left_out, recent_refusals
from syncd.ledger.reused_keys import Reused
from syncd.ledger.start_journal import StartJournal
from syncd.ledger.stats import (
    FeedStats,
    read_accounts,
    read_refused,
    read_stats,
    read_unread,
)
from syncd.postgres.statements import query
from syncd.source.connections import Connections, source_on, transactions_of

SLOW_SECONDS = 30.0
"""How often a watch reads what is not cheap, or changes rarely."""


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How a feed stands, as it was read."""

    settings: Settings
    feed: Feed
    quick: Quick
    slow: Slow

    @property
    def delivered(self) -> int:
        """Count the orders delivered, up to now."""
        return self.slow.totals.delivered + self.quick.delivered.since

    def health_inputs(self) -> HealthInputs:
        """Take what is judged."""
        quick, slow = self.quick, self.slow
        stats = quick.stats
        behind = stats.watermark_age_seconds - _expected(self.settings)
        return HealthInputs(
            now=stats.now,
            members=quick.members,
            heartbeat_at=quick.place.heartbeat_at,
            moved_at=quick.place.moved_at,
            heartbeat=self.settings.log.heartbeat,
            waiting=stats.pending + stats.sending,
            lag=timedelta(seconds=stats.lag_seconds),
            held_back=timedelta(seconds=behind),
            endpoint=stats.endpoint,
            endpoint_reason=stats.endpoint_reason,
            suspect=stats.suspect,
            is_unknown=stats.is_unknown,
            is_spiked=stats.is_spiked,
            pauses=stats.pauses,
            rejected=stats.rejected,
            held=stats.held,
            unexplained=stats.unexplained,
            missed=stats.missed,
            without_time=stats.without_time,
            unread=quick.unread,
            refused=quick.refused,
            alarms=[*quick.alarms, *filter(None, slow.identity.alarms)],
            source_fault=slow.source_fault,
            keys_held=slow.identity.held,
            reused=slow.reused,
            replaced=[(r.reason, r.next_step) for r in slow.identity.replaced],
            slot_fault=slow.stream.lost if slow.stream else None,
            outbox_fault=slow.outbox.fault if slow.outbox else None,
            outbox_faults=(slow.outbox.faults or 0) if slow.outbox else 0,
            is_proven=slow.payload_verified,
            refusals=slow.refusals,
            details_left_out=[(d.field, d.reason, d.orders) for d in slow.left_out],
            failed_start=quick.failed_start,
        )


class StatusReader:
    """Reads one feed's status, repeatedly, over one set of connections."""

    def __init__(self, settings: Settings, connections: Connections) -> None:
        self._settings = settings
        self._connections = connections
        self._feed: Feed | None = None
        self._slow: Slow | None = None
        self._slow_at = float("-inf")

    def read(self) -> FeedStatus:
        """Read how the feed stands.

        Raises:
            DatabaseUnavailableError: One of the databases does not answer.
            SyncdError: There is no ledger, the feed was never started, it is a copy.
        """
        if self._feed is None:
            self._feed = self._find()
        if self._slow is None or time.monotonic() - self._slow_at >= SLOW_SECONDS:
            self._slow = self._read_slow(self._feed)
            self._slow_at = time.monotonic()
        quick = self._read_quick(self._feed, self._slow.totals.read_at)
        return FeedStatus(self._settings, self._feed, quick, self._slow)

    def _find(self) -> Feed:
        """Find the feed; if never started, return why its last start failed."""
        try:
            return FeedStore(self._connections, self._settings.feed).get()
        except SchemaMismatchError as error:
            failed = None
            with suppress(SyncdError):
                journal = StartJournal(self._settings)
                failed = journal.newest(self._connections.ledger)
            if failed is None:
                raise
            raise SchemaMismatchError(
                f"{error}; the last start on {failed.host} failed: {failed.reason}",
                failed.hint,
            ) from error

    def forget(self) -> None:
        """Check everything again: the databases were unreachable."""
        self._feed = self._slow = None

    def _read_quick(self, feed: Feed, since: datetime) -> Quick:
        ledger, key = self._connections.ledger, feed.feed_id
        stats = read_stats(ledger, key)
        return Quick(
            stats,
            ledger.row(LedgerLocation, query("place"), feed=key),
            ledger.rows(InstanceInfo, query("presence"), feed=key),
            ledger.row(Delivered, query("lately"), feed=key, since=since),
            ledger.row(UncertainCounts, query("uncertain_counts"), feed=key),
            holders(self._settings, self._connections, stats),
            read_unread(ledger, key),
            read_refused(ledger, key),
            StartJournal(self._settings).newest(ledger),
            [*ledger.mapping(str, str, query("alarms"), feed=key).values()],
        )

    def _read_slow(self, feed: Feed) -> Slow:
        settings, connections = self._settings, self._connections
        ledger, key = connections.ledger, feed.feed_id
        return Slow(
            ledger.row(Totals, query("totals"), feed=key),
            read_accounts(ledger, key),
            ledger.rows(PastRange, query("latest_backfills"), feed=key),
            _source_fault(settings, connections),
            is_proven(settings, load(ledger, settings)),
            recent_refusals(ledger, key),
            left_out(ledger, key),
            _outbox(settings, connections),
            _stream(settings, feed, connections),
            _identity(settings, connections, feed),
            ledger.row(Reused, query("count_reused"), feed=key).keys,
        )


def holders(
    settings: Settings, connections: Connections, stats: FeedStats
) -> list[str] | None:
    """Name the transactions that hold the watermark back; None when it is not late.

    Application and times are shown to roles with pg_read_all_stats only.
    """
    if stats.watermark_age_seconds < _expected(settings):
        return None
    return [
        (f"pid {pid} " if pid else "")
        + f"{application or ''} since {started or 'unknown'}"
        + (f", its query since {query}" if query else "")
        for pid, application, started, query in transactions_of(connections).holders()
    ]


def _expected(settings: Settings) -> float:
    """Return how old a watermark may be that nothing holds back, in seconds.

    A window is opened by one poll and closed by the next; underneath a follower they
    are rare.
    """
    expected = settings.source.lookback.total_seconds() + HELD_SECONDS
    if settings.source.capture == "poll":
        return expected
    return expected + 3 * SAFETY_POLL_INTERVAL.total_seconds()


def _source_fault(settings: Settings, connections: Connections) -> str | None:
    """Return why the two views cannot be read; None when they can."""
    source = source_on(settings, connections)
    try:
        source.views.check()
        columns = source.views.columns(settings.source.purchases_view)
        refuse_unknown_fields(settings.source.purchases_view, [c.name for c in columns])
        source.read([])
        source.still_confirmed([])
    except SyncdError as error:
        if _is_away(error):
            raise
        return str(error)
    return None


def _is_away(error: SyncdError) -> bool:
    """Return whether a database does not respond at all."""
    is_busy = isinstance(error, SlowStatementError | TableBusyError)
    return isinstance(error, DatabaseUnavailableError) and not is_busy


def _identity(
    settings: Settings, connections: Connections, feed: Feed
) -> IdentityCheck:
    """Compare what stands behind the views; nothing where they cannot be read."""
    try:
        return identity_guard(settings, connections, feed).preview()
    except SyncdError as error:
        if _is_away(error):
            raise
        return IdentityCheck()


def _outbox(settings: Settings, connections: Connections) -> OutboxState | None:
    """Return how the outbox stands; None for another capture."""
    if settings.source.capture != "listen":
        return None
    source = connections.source
    outbox = Outbox(source, connections.primary or source, settings.feed)
    try:
        return OutboxState(None, outbox.count(), outbox.condition().faults)
    except SyncdError as error:
        return OutboxState(f"cannot be read: {error}")


def _stream(settings: Settings, feed: Feed, connections: Connections) -> Stream | None:
    """Return how the replication slot stands; None for another capture."""
    if settings.source.capture != "wal":
        return None
    slot = SlotCatalog(connections.source, settings.feed).find()
    reached = SlotPositionStore(connections.ledger, feed.feed_id).read()
    reached_at = reached.at if reached else None
    if slot is None:
        return Stream("there is none", None, None, None, reached_at)
    return Stream(
        slot.lost, slot.wal_status, slot.retained, slot.active_pid, reached_at
    )
