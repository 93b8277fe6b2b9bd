"""What `syncd check` finds about capture from the WAL."""

from collections.abc import Iterator

from syncd.capture.wal.monitor import missed_since, slot_risk
from syncd.capture.wal.publication import Publication
from syncd.capture.wal.slot import Server, Slot, SlotCatalog, SlotPositionStore
from syncd.capture.wal.stream import stream_of
from syncd.config.settings import Settings
from syncd.diagnostics.check.finding import Finding
from syncd.ledger.feed import FeedStore
from syncd.postgres.database import Database
from syncd.source.connections import Connections


def wal_findings(settings: Settings, connections: Connections) -> Iterator[Finding]:
    """Check server, slot, role and publication.

    Raises:
        SyncdError: Capture from the WAL is not possible.
    """
    slots = SlotCatalog(connections.source, settings.feed)
    server = slots.server()
    server.check()
    feed = FeedStore(connections, settings.feed).find()
    started_at = feed.started_at if feed else server.now
    progress = SlotPositionStore(connections.ledger, feed.feed_id) if feed else None
    reached = progress.read() if progress else None
    slot = slots.get(
        reached, missed_since(reached, started_at, settings.source.lookback)
    )
    stream_of(settings).try_login()
    message = f"{slots.name}: {slot.wal_status}, retains {slot.retained} bytes"
    yield Finding("slot.reserved", "slot", f"{message} of WAL")
    yield from _slot(server, slot)
    yield from _publication(Publication(connections.source, settings.feed))


def check_leftover_slot(source: Database, feed: str) -> Iterator[Finding]:
    """Check for a slot that retains WAL without a reader."""
    slot = SlotCatalog(source, feed).find()
    if slot and slot.is_here:
        message = f"it retains {slot.retained} bytes of WAL"
        message += ', but capture is not "wal": nothing reads it'
        yield Finding("slot.abandoned", "slot", message)


def _slot(server: Server, slot: Slot) -> Iterator[Finding]:
    if reason := slot_risk(server, slot):
        yield Finding("slot.at_risk", "slot", reason)
    if slot.active_pid is None:
        message = f"no process reads it; it retains {slot.retained} bytes of WAL"
        yield Finding("slot.unread", "slot", message)
    if server.idle_seconds:
        message = f"PostgreSQL drops it after {server.idle_seconds} s without syncd"
        yield Finding("slot.dropped_when_idle", "slot", message)
    if server.has_failover and not slot.failover:
        message = "it does not survive a failover to a standby"
        yield Finding("slot.stays_behind", "slot", message)


def _publication(publication: Publication) -> Iterator[Finding]:
    tables = [table for table, _ in publication.tables()]
    for problem in publication.problems():
        yield Finding(
            "publication.harmful", "publication", problem.reason, problem.fix_sql
        )
    for table in tables:
        if not table.key:
            message = (
                f"{table.title} is published, but syncd does not know its key column"
            )
            yield Finding("publication.keyless", "publication", message)
        elif table.is_whole:
            message = f"{table.title}: whole rows are published, not only the key"
            yield Finding("publication.whole", "publication", message)
        else:
            message = f"{table.title}, key column {table.key}"
            yield Finding("publication.followed", "publication", message)
