"""What `syncd check` finds about `capture = "listen"`: triggers and outbox."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from syncd.capture.listen.outbox import Outbox
from syncd.diagnostics.check.finding import Finding
from syncd.postgres.database import Database
from syncd.postgres.statements import query


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


class _ReplicaRole(NamedTuple):
    """Whose sessions fire no ordinary triggers, and where."""

    role: str
    database: str


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


def check_leftovers(source: Database, feed: str) -> Iterator[Finding]:
    """Check for triggers that fill an outbox which no daemon empties."""
    if source.rows(Trigger, query("listening"), feed=feed):
        message = 'triggers fill it, but capture is not "listen": nothing empties it'
        yield Finding("outbox.abandoned", "outbox", message)


def _replicas(source: Database) -> Iterator[Finding]:
    for role, database in source.rows(_ReplicaRole, query("replica_roles")):
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
