"""What `syncd check` finds about `capture = "listen"`: triggers and outbox."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from syncd.capture.outbox import Outbox
from syncd.check.finding import Finding
from syncd.database import Database, named

_INSTALL = "syncd install --listen TABLE:KEYCOLUMN, for each table"


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


def look_at_listening(source: Database, writer: Database, feed: str) -> list[Finding]:
    """Look whether every change of the followed tables is noted, and can be taken."""
    is_there, may_take = writer.one(named("outbox_rights"))
    if not is_there:
        return [Finding("error", "outbox", "is not there", _INSTALL)]
    findings = list(_triggers(source, feed))
    if may_take:
        findings += _outbox(Outbox(source, writer, feed))
    else:
        message = "this role may not take rows out of it"
        findings.append(Finding("error", "outbox", message, _INSTALL))
    return findings


def look_at_leftovers(source: Database, feed: str) -> Iterator[Finding]:
    """Look for triggers that fill an outbox which nobody empties."""
    if source.all(named("listening"), feed=feed):
        yield Finding(
            "warning",
            "outbox",
            'triggers fill it, but capture is not "listen": nobody takes the rows out',
            "syncd uninstall --listen, or set source.capture.",
        )


def _triggers(source: Database, feed: str) -> Iterator[Finding]:
    rows = source.all(named("listening"), feed=feed)
    triggers = [
        Trigger(*cast("tuple[str, str, str, bool, bool, bool]", row)) for row in rows
    ]
    if not triggers:
        yield Finding("error", "triggers", "there are none for this feed", _INSTALL)
    for table in dict.fromkeys(trigger.table for trigger in triggers):
        yield from _table([t for t in triggers if t.table == table])
    for name, is_foreign in source.all(named("escaping"), feed=feed):
        if is_foreign:
            message = "is a foreign table below a followed one: writes to it fail"
            yield Finding(
                "error", f"triggers on {name}", message, "syncd uninstall --listen"
            )
        else:
            message = "has no trigger: what is written straight into it is not noted"
            yield Finding("warning", f"triggers on {name}", message, _INSTALL)


def _table(triggers: list[Trigger]) -> Iterator[Finding]:
    """Look at the triggers of one table."""
    table = triggers[0].table
    subject = f"triggers on {table}"
    firing = [t for t in triggers if t.fires in "AO"]
    for trigger in triggers:
        if trigger not in firing:
            message = f"its trigger {trigger.name} is disabled"
            step = f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger.name}"
            yield Finding("error", subject, message, step)
    if not any(t.on_insert for t in triggers) or not any(t.on_update for t in triggers):
        yield Finding("error", subject, "one of its two triggers is gone", _INSTALL)
    if triggers[0].is_subscribed:
        message = "is filled by a subscription, whose changes fire no statement trigger"
        yield Finding("warning", subject, message, 'capture = "poll" or "wal"')
    if firing == triggers:
        always = all(t.fires == "A" for t in firing)
        but = "" if always else ", but not for session_replication_role = replica"
        yield Finding("ok", subject, f"changes are noted{but}")


def _outbox(outbox: Outbox) -> Iterator[Finding]:
    condition, waiting = outbox.condition(), outbox.count()
    if condition.faults:
        yield Finding(
            "warning",
            "outbox",
            f"{condition.faults} changes could not be noted since the installation; "
            "the server's log has the SQLSTATE of the first and of each hundredth",
            "Mend the cause, then install again: it counts from 0.",
        )
    if condition.may_prepare:
        yield Finding(
            "warning",
            "outbox",
            "the triggers send no hints, since max_prepared_transactions is not 0; it "
            "is looked at every poll_interval",
        )
    yield Finding("ok", "outbox", f"{waiting} rows wait to be taken")
