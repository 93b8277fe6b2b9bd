"""The fields of the log: one meaning, one type and one unit each, in every event.

Only these can be written at all; a value of another type than declared is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["integer", "number", "flag", "text", "time"]


@dataclass(frozen=True, slots=True)
class Field:
    """What a field holds, and what others call it.

    Attributes:
        kind: Its type: a number always has a decimal point, an integer none; a time is
            ISO 8601 with its zone.
        meaning: What it says.
        unit: Of what it is a number, if that is one.
        otel: Its name in OpenTelemetry's conventions; "" for `syncd.<field>`.
        ecs: Its name in the Elastic Common Schema, likewise.
    """

    kind: Kind
    meaning: str
    unit: str = ""
    otel: str = ""
    ecs: str = ""


FIRST = ("timestamp", "level", "event", "feed", "run", "instance")
"""What every line begins with, in this order (`instance` once there is one)."""

FIELDS: Mapping[str, Field] = {
    "timestamp": Field(
        "time", "when it was written, in UTC", "", "Timestamp", "@timestamp"
    ),
    "level": Field("text", "how serious it is", "", "SeverityText", "log.level"),
    "event": Field(
        "text", "its kind: the tables below", "", "EventName", "event.action"
    ),
    "feed": Field("text", "whose orders; `-` where none is meant"),
    "run": Field(
        "text",
        "this run of the process: systemd's INVOCATION_ID, or a random one",
        "",
        "service.instance.id",
        "service.node.name",
    ),
    "instance": Field("integer", "number of this daemon in the ledger"),
    "adopted": Field("integer", "delivered by something else, not sent", "orders"),
    "age_seconds": Field("number", "since when it lasts", "s"),
    "application": Field("text", "`application_name` of the session"),
    "attempt": Field("integer", "number of the attempt of its batch, from 1"),
    "backfill": Field("integer", "number of the backfill in the ledger"),
    "batch": Field("integer", "number of the batch in the ledger"),
    "batch_size": Field("integer", "most orders in a request", "orders"),
    "batches": Field("integer", "how many batches it is about", "batches"),
    "behind_bytes": Field("integer", "how far the slot lies behind", "B"),
    "payload": Field("text", "form of the requests: `events` or `single`"),
    "bytes": Field(
        "integer",
        "size of the request's body",
        "B",
        "http.request.body.size",
        "http.request.body.bytes",
    ),
    "capture": Field("text", "which capture: `poll`, `listen`, `wal`"),
    "captured": Field("integer", "captured now, or so far", "orders"),
    "endpoint_state": Field(
        "text",
        "`available`, `backing_off` after a failure, or `held` until a person acts",
    ),
    "confirmed": Field("integer", "confirmed by the view", "orders"),
    "fix_sql": Field("text", "the SQL that mends it"),
    "delivered": Field(
        "integer", "delivered: by this process, or in the range", "orders"
    ),
    "delivered_per_minute": Field(
        "number", "delivered by this process since the last heartbeat", "orders/min"
    ),
    "scope": Field(
        "text", "which account: `hours`, `days`, `all`, `promotion`, `asked`"
    ),
    "discarded": Field("integer", "given up by a person", "orders"),
    "down_seconds": Field("number", "how long it had failed", "s"),
    "duration_ms": Field(
        "integer", "how long the work took", "ms", "", "event.duration (ns)"
    ),
    "endpoint": Field("text", "address of the API", "", "url.full", "url.full"),
    "error_kind": Field("text", "kind of the error", "", "error.type", "error.type"),
    "exception": Field(
        "text",
        "where it was raised: file and line, outermost first",
        "",
        "exception.stacktrace",
        "error.stack_trace",
    ),
    "codes": Field("text", "the findings of `syncd check` that say the same"),
    "exit_code": Field(
        "integer",
        "how the process ends (docs/operations.md, exit codes)",
        "",
        "process.exit.code",
        "process.exit_code",
    ),
    "missed_changes": Field(
        "integer", "changes that a trigger could not note", "changes"
    ),
    "field": Field("text", "name of an event's field"),
    "arriving": Field("integer", "stamped lately, yet to be captured", "orders"),
    "missed": Field("integer", "that the last accounts had to capture", "orders"),
    "without_time": Field("integer", "confirmed without a usable time", "orders"),
    "unreadable": Field(
        "integer", "left out: the view fails over their own rows", "orders"
    ),
    "reused": Field(
        "integer", "under keys that stood for other orders, not sent", "orders"
    ),
    "initial": Field("integer", "listed when the feed was started, not sent", "orders"),
    "erased": Field("integer", "erased on request", "orders"),
    "held": Field("integer", "may have arrived, and wait for a person", "orders"),
    "hint": Field("text", "what to do"),
    "is_held": Field("flag", "whether they wait for a person"),
    "jump_seconds": Field("number", "by how much the clock was set, back below 0", "s"),
    "lag_seconds": Field("number", "age of the oldest live order not settled", "s"),
    "late": Field("flag", "whether the attempt had been given up already"),
    "logger": Field("text", "name of the library's logger", "", "", "log.logger"),
    "lower": Field("time", "begin of the range, excluded"),
    "message": Field("text", "what it said, without its values", "", "Body", "message"),
    "missing": Field("integer", "not in the ledger", "orders"),
    "offset_seconds": Field(
        "number", "by how much stamps are off; below 0 where they are too early", "s"
    ),
    "order_key": Field("text", "primary key of the first order"),
    "orders": Field("integer", "how many orders it is about", "orders"),
    "outcome": Field(
        "text",
        "`refused`, `client_refused`, `transient`, `unclear`; `uncertain` when nobody "
        "saw the answer; `unread` when the view failed",
    ),
    "rate_factor": Field("number", "share of the configured rate that is used, 0 to 1"),
    "component": Field("text", "of the daemon: `capture`, `keeper`, `reconcile` …"),
    "paused": Field("text", "what a person has paused: `sending`, `capture`, or both"),
    "paused_seconds": Field("number", "how long it was paused", "s"),
    "pending": Field("integer", "captured and not sent yet", "orders"),
    "pending_backfill": Field("integer", "the same in the backfill lane", "orders"),
    "pid": Field("integer", "PostgreSQL's process"),
    "planned": Field("integer", "counted by the plan", "orders"),
    "prepared": Field("integer", "prepared transactions", "transactions"),
    "purpose": Field("text", "`send`, `resend` or `adopt`"),
    "query_start": Field("time", "since when its statement runs"),
    "reason": Field("text", "why, in words", "", "", "error.message"),
    "reconciled_seconds": Field("number", "since the last finished account", "s"),
    "rejected": Field("integer", "set aside; a person has to mend them", "orders"),
    "released": Field("integer", "given back by a cancelled backfill", "orders"),
    "repeat": Field("flag", "whether an earlier attempt may have arrived"),
    "is_resend": Field("flag", "whether it is sent again on request"),
    "resent": Field("integer", "delivered before, sent again on purpose", "orders"),
    "retained_bytes": Field("integer", "WAL that the slot keeps", "B"),
    "retry_seconds": Field("number", "until the next try", "s"),
    "rss_mb": Field("number", "most memory that was resident so far", "MiB"),
    "safe_bytes": Field("integer", "WAL that may be written before it is lost", "B"),
    "sending": Field("integer", "in requests under way", "orders"),
    "settled": Field("integer", "captured, and not waiting to be sent", "orders"),
    "shape": Field("text", "keys and types of the answer, no values"),
    "signal": Field("text", "name of the signal"),
    "since": Field("time", "from when on"),
    "slot": Field("text", "name of the replication slot"),
    "started_at": Field("time", "first start of the feed"),
    "status": Field(
        "integer",
        "status of the answer",
        "",
        "http.response.status_code",
        "http.response.status_code",
    ),
    "suppressed": Field("integer", "equal lines left out since the last one", "lines"),
    "table": Field("text", "name of the table", "", "db.collection.name"),
    "timeline": Field("integer", "the new timeline of the cluster"),
    "time_zone": Field("text", "zone that would fit, where one is known"),
    "transactions": Field("integer", "how many of them", "transactions"),
    "uncertain": Field("integer", "not settled, and may have arrived", "orders"),
    "unexplained": Field("integer", "confirmed, and nowhere in the ledger", "orders"),
    "upper": Field("time", "end of the range, included"),
    "uptime_seconds": Field(
        "number", "how long it ran", "s", "process.uptime", "process.uptime"
    ),
    "version": Field(
        "text", "version of syncd", "", "service.version", "service.version"
    ),
    "wal_status": Field("text", "as in `pg_replication_slots`"),
    "watermark": Field("time", "at or below it every order is in the ledger"),
    "watermark_age_seconds": Field("number", "how far it lies behind the clock", "s"),
    "what": Field("text", "what was paused: `sending` or `capture`"),
    "withdrawn": Field("integer", "not confirmed any more", "orders"),
}
