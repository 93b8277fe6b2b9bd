"""What `syncd check` finds about `listen` and `wal`: triggers, outbox, slot."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from syncd.capture.listen.outbox import Outbox
from syncd.capture.wal.monitor import missed_since, slot_risk
from syncd.capture.wal.publication import Publication
from syncd.capture.wal.slot import Server, Slot, SlotCatalog, SlotPositionStore
from syncd.capture.wal.stream import stream_of
from syncd.config.settings import Settings
from syncd.diagnostics.check.finding import Finding
from syncd.ledger.feed import FeedStore
from syncd.postgres.database import Database
from syncd.postgres.statements import query
from syncd.source.connections import Connections


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger of the feed.

    Attributes:
        fires: PostgreSQL's `tgenabled`: A always, O not for replicas, D never.
        is_subscribed: Whether a subscription fills its table.
    """

    table: str
    name: str
    fires: str
    on_insert: bool
    on_update: bool
    is_subscribed: bool


class _Rights(NamedTuple):
    """Whether the outbox is there, and the role may take rows out of it."""

    is_there: bool
    may_take: bool


def check_listening(source: Database, writer: Database, feed: str) -> list[Finding]:
    """Check whether every change of the followed tables is noted, and can be taken."""
    rights = writer.row(_Rights, query("outbox_rights"))
    if not rights.is_there:
        return [Finding("outbox.missing", "outbox", "does not exist")]
    findings = [*_triggers(source, feed), *_replicas(source)]
    if rights.may_take:
        findings += _outbox(Outbox(source, writer, feed))
    else:
        message = "this role may not delete rows from it"
        findings.append(Finding("outbox.missing", "outbox", message))
    return findings


def check_limits(source: Database) -> Iterator[Finding]:
    """Check for limits that an UPDATE of many rows meets because of the triggers."""
    for who, limit, statement in source.rows(_Limit, query("temporary_limits")):
        message = (
            f"temp_file_limit is {limit} for {who}: PostgreSQL keeps the rows "
            "that a statement changes for the triggers, beyond work_mem in a file, so "
            "that a statement that changes more than fits fails"
        )
        yield Finding("trigger.limited", "triggers", message, f"{statement};")


class _Limit(NamedTuple):
    """Whose sessions may write how much to files, and what lifts that."""

    who: str
    temp_file_limit: str
    statement: str


def check_leftovers(source: Database, feed: str) -> Iterator[Finding]:
    """Check for triggers that fill an outbox which no daemon empties."""
    if source.rows(Trigger, query("listening"), feed=feed):
        message = 'triggers fill it, but capture is not "listen": nothing empties it'
        yield Finding("outbox.abandoned", "outbox", message)


def _replicas(source: Database) -> Iterator[Finding]:
    for role, database in source.pairs(str, str, query("replica_roles")):
        message = f"{role} in {database} has session_replication_role = replica"
        yield Finding("trigger.replica", "triggers", message)


def _triggers(source: Database, feed: str) -> Iterator[Finding]:
    triggers = source.rows(Trigger, query("listening"), feed=feed)
    if not triggers:
        yield Finding("trigger.missing", "triggers", "this feed has none")
    for table in dict.fromkeys(trigger.table for trigger in triggers):
        yield from _table([t for t in triggers if t.table == table])
    escaping = source.mapping(str, bool, query("escaping"), feed=feed)
    for name, is_foreign in escaping.items():
        subject = f"triggers on {name}"
        if is_foreign:
            message = "is a foreign table below a followed table: writes to it fail"
            yield Finding("trigger.foreign", subject, message)
        else:
            message = "has no trigger: rows written directly into it are not recorded"
            yield Finding("trigger.escaped", subject, message)


def _table(triggers: list[Trigger]) -> Iterator[Finding]:
    """Check the triggers of one table."""
    table = triggers[0].table
    subject = f"triggers on {table}"
    disabled = [t for t in triggers if t.fires not in "AO"]
    for trigger in disabled:
        message = f"trigger {trigger.name} is disabled"
        yield Finding("trigger.disabled", subject, message, _always(trigger))
    if not any(t.on_insert for t in triggers) or not any(t.on_update for t in triggers):
        yield Finding("trigger.missing", subject, "one of its two triggers is missing")
    if triggers[0].is_subscribed:
        message = "is filled by a subscription, whose changes fire no statement trigger"
        yield Finding("trigger.subscribed", subject, message)
    if disabled:
        return
    message, origin = "changes are recorded", [t for t in triggers if t.fires == "O"]
    if origin:
        message += ", but not for session_replication_role = replica"
        step = "; ".join(_always(t) for t in origin)
        yield Finding("trigger.origin", subject, message, step)
    else:
        yield Finding("trigger.fires", subject, message)


def _always(trigger: Trigger) -> str:
    return f"ALTER TABLE {trigger.table} ENABLE ALWAYS TRIGGER {trigger.name}"


def _outbox(outbox: Outbox) -> Iterator[Finding]:
    condition, waiting = outbox.condition(), outbox.count()
    if condition.faults:
        message = (
            f"{condition.faults} changes could not be recorded since the installation; "
            "the server's log has the SQLSTATE of the first and of each hundredth"
        )
        yield Finding("outbox.faults", "outbox", message)
    if condition.may_prepare:
        message = (
            "the triggers send no notifications, since max_prepared_transactions is "
            "not 0; syncd polls the outbox every poll_interval"
        )
        yield Finding("outbox.no_notifications", "outbox", message)
    yield Finding("outbox.ready", "outbox", f"{waiting} rows wait to be read")


def check_following(settings: Settings, connections: Connections) -> Iterator[Finding]:
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
    missed = missed_since(reached, started_at, settings.source.lookback)
    slot = slots.get(reached, missed)
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
        reason, step = problem.reason, problem.fix_sql
        yield Finding("publication.harmful", "publication", reason, step)
    for table in tables:
        if not table.key:
            unknown = "syncd does not know its key column"
            message = f"{table.title} is published, but {unknown}"
            yield Finding("publication.keyless", "publication", message)
        elif table.is_whole:
            message = f"{table.title}: whole rows are published, not only the key"
            yield Finding("publication.whole", "publication", message)
        else:
            message = f"{table.title}, key column {table.key}"
            yield Finding("publication.followed", "publication", message)
