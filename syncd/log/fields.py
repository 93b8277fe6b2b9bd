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
        meaning: For the documentation.
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
        "text", "its name: the table above", "", "EventName", "event.action"
    ),
    "feed": Field("text", "name of the feed; `-` for none"),
    "run": Field(
        "text",
        "this run of the process: systemd's INVOCATION_ID, or a random one",
        "",
        "service.instance.id",
        "service.node.name",
    ),
    "instance": Field("integer", "number of this daemon in the ledger"),
    "adopted": Field("integer", "delivered by something else, not sent", "orders"),
    "age_seconds": Field("number", "how long it has lasted", "s"),
    "application": Field("text", "`application_name` of the session"),
    "attempt": Field("integer", "number of the attempt of its batch, from 1"),
    "backfill": Field("integer", "number of the backfill in the ledger"),
    "batch": Field("integer", "number of the batch in the ledger"),
    "batch_size": Field("integer", "most orders in a request", "orders"),
    "batches": Field("integer", "number of batches concerned", "batches"),
    "behind_bytes": Field("integer", "how far the slot is behind", "B"),
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
    "confirmed": Field("integer", "confirmed, according to the view", "orders"),
    "fix_sql": Field("text", "the SQL that fixes it"),
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
    "down_seconds": Field("number", "how long it was unavailable", "s"),
    "duration_ms": Field(
        "integer", "how long the work took", "ms", "", "event.duration (ns)"
    ),
    "endpoint": Field("text", "address of the API", "", "url.full", "url.full"),
    "error_kind": Field("text", "class of the error", "", "error.type", "error.type"),
    "exception": Field(
        "text",
        "where it was raised: file and line, outermost first",
        "",
        "exception.stacktrace",
        "error.stack_trace",
    ),
    "codes": Field("text", "the findings of `syncd check` for the same cause"),
    "exit_code": Field(
        "integer",
        "exit code of the process (docs/operations.md, exit codes)",
        "",
        "process.exit.code",
        "process.exit_code",
    ),
    "missed_changes": Field(
        "integer", "changes that a trigger could not record", "changes"
    ),
    "field": Field("text", "name of an event's field"),
    "arriving": Field("integer", "stamped lately, not captured yet", "orders"),
    "missed": Field("integer", "that the last accounts had to capture", "orders"),
    "without_time": Field("integer", "confirmed without a usable time", "orders"),
    "unreadable": Field(
        "integer", "left out, because the view fails on their rows", "orders"
    ),
    "reused": Field(
        "integer", "under keys that belonged to other orders, not sent", "orders"
    ),
    "initial": Field("integer", "listed when the feed started, not sent", "orders"),
    "erased": Field("integer", "erased on request", "orders"),
    "held": Field("integer", "may have arrived, and wait for a person", "orders"),
    "hint": Field("text", "what to do"),
    "is_held": Field("flag", "whether they wait for a person"),
    "jump_seconds": Field("number", "change of the clock; below 0 if set back", "s"),
    "lag_seconds": Field("number", "age of the oldest live order not settled", "s"),
    "late": Field("flag", "whether syncd had already given the attempt up"),
    "logger": Field("text", "name of the library's logger", "", "", "log.logger"),
    "lower": Field("time", "start of the range, excluded"),
    "message": Field("text", "its message without values", "", "Body", "message"),
    "missing": Field("integer", "not in the ledger", "orders"),
    "offset_seconds": Field(
        "number", "error of the time stamps; below 0 if they are too early", "s"
    ),
    "order_key": Field("text", "primary key of the first order"),
    "orders": Field("integer", "number of orders concerned", "orders"),
    "outcome": Field(
        "text",
        "`refused`, `client_refused`, `transient`, `unclear`; `uncertain` for an "
        "attempt without an answer; `unread` if the view failed",
    ),
    "rate_factor": Field("number", "share of the configured rate that is used, 0 to 1"),
    "component": Field(
        "text", "of the daemon: `capture`, `housekeeping`, `reconcile` …"
    ),
    "paused": Field("text", "what a person has paused: `sending`, `capture`, or both"),
    "paused_seconds": Field("number", "how long it was paused", "s"),
    "pending": Field("integer", "captured and not sent yet", "orders"),
    "pending_backfill": Field("integer", "the same in the backfill lane", "orders"),
    "pid": Field("integer", "PostgreSQL's process id"),
    "planned": Field("integer", "counted by the plan", "orders"),
    "prepared": Field("integer", "prepared transactions", "transactions"),
    "purpose": Field("text", "`send`, `resend` or `adopt`"),
    "query_start": Field("time", "start of its statement"),
    "reason": Field("text", "the cause, in words", "", "", "error.message"),
    "reconciled_seconds": Field("number", "since the last finished account", "s"),
    "rejected": Field("integer", "set aside until a person corrects them", "orders"),
    "released": Field("integer", "given back by a cancelled backfill", "orders"),
    "repeat": Field("flag", "whether an earlier attempt may have arrived"),
    "is_resend": Field("flag", "whether it is sent again on request"),
    "resent": Field("integer", "delivered before, sent again on purpose", "orders"),
    "retained_bytes": Field("integer", "WAL that the slot retains", "B"),
    "retry_seconds": Field("number", "until the next attempt", "s"),
    "rss_mb": Field("number", "peak resident memory", "MiB"),
    "safe_bytes": Field("integer", "WAL that may be written before it is lost", "B"),
    "sending": Field("integer", "in requests in flight", "orders"),
    "settled": Field("integer", "captured, and not waiting to be sent", "orders"),
    "shape": Field("text", "keys and types of the answer, no values"),
    "signal": Field("text", "name of the signal"),
    "since": Field("time", "start of the state or gap"),
    "slot": Field("text", "name of the replication slot"),
    "started_at": Field("time", "first start of the feed"),
    "status": Field(
        "integer",
        "HTTP status of the answer",
        "",
        "http.response.status_code",
        "http.response.status_code",
    ),
    "suppressed": Field("integer", "equal lines omitted since the last one", "lines"),
    "table": Field("text", "name of the table", "", "db.collection.name"),
    "timeline": Field("integer", "the new timeline of the cluster"),
    "time_zone": Field("text", "zone that would fit, if one is known"),
    "transactions": Field("integer", "number of transactions", "transactions"),
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
    "watermark": Field("time", "at or below it, every order is in the ledger"),
    "watermark_age_seconds": Field("number", "how far it is behind the clock", "s"),
    "what": Field("text", "what was paused: `sending` or `capture`"),
    "withdrawn": Field("integer", "no longer confirmed", "orders"),
}
