"""The catalogue of log events: level, fields, meaning and what to do."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """A kind of log line: its level, its fields (units in their names), its meaning."""

    level: str
    fields: tuple[str, ...]
    when: str
    action: str = "nothing"


_BACKFILL = (
    "backfill",
    "purpose",
    "lower",
    "upper",
    "planned",
    "captured",
    "settled",
    "resent",
    "rejected",
    "released",
)

EVENTS: Mapping[str, Event] = {
    "daemon.started": Event(
        "info",
        ("version", "instance", "watermark", "started_at", "endpoint"),
        "the daemon is connected to database and ledger, and starts",
    ),
    "daemon.stopping": Event(
        "info", ("signal",), "a signal requested a stop; the batch in hand is finished"
    ),
    "daemon.stopped": Event(
        "info", ("exit_code", "uptime_seconds", "delivered"), "the daemon has stopped"
    ),
    "daemon.failed": Event(
        "critical",
        ("reason", "hint", "codes", "exit_code"),
        "the daemon could not start, or cannot go on by itself",
        "do what the hint says",
    ),
    "daemon.crashed": Event(
        "critical",
        ("error_kind", "exception"),
        "a bug in syncd; systemd restarts it, no order is lost",
        "report it with the line",
    ),
    "daemon.stalled": Event(
        "error",
        ("component", "age_seconds", "exception"),
        "a component has made no progress for longer than allowed, and where it is; "
        "the watchdog is no longer notified, so systemd restarts the daemon",
        "report it with the line",
    ),
    "config.reloaded": Event(
        "info",
        ("endpoint",),
        "SIGHUP: the configuration was reloaded and is in use",
    ),
    "config.rejected": Event(
        "error",
        ("reason", "hint"),
        "SIGHUP: the configuration is invalid; the daemon keeps the old one",
        "do what the hint says, then `systemctl reload` again; a restart would fail",
    ),
    "clock.jumped": Event(
        "warning",
        ("jump_seconds",),
        "the machine's clock was set by so much, or it slept; no order is lost",
        "nothing, or see to the machine's time synchronisation",
    ),
    "orders.captured": Event(
        "info",
        ("capture", "orders", "duration_ms"),
        "newly confirmed orders were written into the ledger",
    ),
    "capture.missed_changes": Event(
        "error",
        ("capture", "orders", "order_key"),
        "only the poll found these orders: a trigger is missing or disabled, or a "
        "table is not followed; no order was lost",
        "`syncd check`, then `syncd install --listen` or `--wal` again",
    ),
    "listen.notifications_lost": Event(
        "warning",
        ("reason",),
        "NOTIFY is not arriving, so syncd polls the outbox every `poll_interval`; "
        "logged once until notifications arrive again",
        "nothing, or connect source.dsn to PostgreSQL without a transaction pooler",
    ),
    "outbox.failed": Event(
        "error",
        ("missed_changes",),
        "the triggers could not note changes (counted since they were installed, or "
        "since the last such line); the shop went on, the poll finds its orders",
        "`syncd check`, then `syncd install --listen` again, which counts from 0",
    ),
    "stream.opened": Event(
        "info",
        ("slot", "behind_bytes"),
        "syncd reads the replication slot, starting so many bytes behind",
    ),
    "stream.waiting": Event(
        "info",
        ("slot", "pid"),
        "another instance reads the slot; this one takes over when it ends",
    ),
    "stream.commits_invisible": Event(
        "warning",
        ("transactions", "age_seconds", "suppressed"),
        "commits are in the WAL but not visible; their orders wait for them",
        "see whether a synchronous standby is missing",
    ),
    "stream.gap_detected": Event(
        "error",
        ("slot", "since"),
        "a promoted standby's slot is past what its ledger knows: orders may have "
        "been missed; capture goes on",
        "`syncd reconcile --from` that time, unless the daemon does so itself",
    ),
    "slot.at_risk": Event(
        "warning",
        ("slot", "reason", "wal_status", "retained_bytes", "safe_bytes"),
        "the slot keeps much WAL, or may keep too much; it is lost at the limit",
        "see why syncd lags (`syncd status`), or raise `max_slot_wal_keep_size`",
    ),
    "publication.blocks_writes": Event(
        "error",
        ("table", "reason", "fix_sql"),
        "a published table was changed: PostgreSQL refuses the shop's UPDATEs of it, "
        "or it is not followed any more",
        "run `fix_sql` at once, then mend the table and `syncd install --wal` again",
    ),
    "window.closed": Event(
        "debug", ("watermark",), "the watermark moved; late orders are in"
    ),
    "watermark.held_back": Event(
        "warning",
        (
            "age_seconds",
            "transactions",
            "prepared",
            "pid",
            "application",
            "query_start",
            "suppressed",
        ),
        "a long transaction holds the watermark back; visible orders are sent anyway",
        "end the transaction if nobody needs it",
    ),
    "batch.delivered": Event(
        "info",
        (
            "batch",
            "attempt",
            "orders",
            "duration_ms",
            "bytes",
            "lag_seconds",
            "repeat",
            "is_resend",
            "late",
        ),
        "the API accepted a batch",
    ),
    "batch.deferred": Event(
        "warning",
        ("batch", "attempt", "orders", "outcome", "status", "reason", "retry_seconds"),
        "an attempt did not succeed; the batch is sent again later",
        "nothing, unless it goes on: then see `syncd status`",
    ),
    "batch.split": Event(
        "warning",
        ("batch", "attempt", "orders", "outcome", "status", "reason"),
        "a batch was refused as a whole; its halves are tried one by one",
    ),
    "batch.uncertain": Event(
        "warning",
        ("batch", "attempt", "orders", "outcome", "status", "reason", "is_held"),
        "an attempt's outcome is unknown; its orders are sent again and may repeat, "
        'or wait for a person (`is_held`, with `on_uncertain = "hold"`)',
        "nothing: Squeezely merges a repeat by its orderid; when held: "
        "`syncd uncertain list`",
    ),
    "api.response_changed": Event(
        "warning",
        ("batch", "attempt", "shape"),
        "a response has a shape that the known contract lacks; it is classified all "
        "the same; logged once for each shape while the daemon runs",
        "compare it with docs/squeezely.md, and look for a newer syncd",
    ),
    "orders.rejected": Event(
        "error",
        ("batch", "attempt", "orders", "order_key", "status", "reason"),
        "orders cannot be sent and were set aside, for one reason; the first one is "
        "named; with an `attempt` it was the API that refused it",
        "`syncd rejected list`, mend the data, `syncd rejected retry`",
    ),
    "orders.refused": Event(
        "error",
        ("rejected", "orders", "reason", "suppressed"),
        "more than a fifth of the newest orders, at least 5, are rejected; the most "
        "frequent reason; logged each minute while it lasts",
        "mend the view purchases, then `syncd rejected retry --all`",
    ),
    "stamps.shifted": Event(
        "error",
        (
            "reason",
            "orders",
            "order_key",
            "offset_seconds",
            "time_zone",
            "suppressed",
        ),
        "orders are stamped a whole offset away from the moment when they become "
        "visible: their times are read in the wrong zone; one is named",
        "set source.time_zone to the zone in which the shop writes, or mend the view",
    ),
    "fields.left_out": Event(
        "warning",
        ("field", "reason", "orders", "order_key", "suppressed"),
        "orders were sent without a detail that the view gives in a form that cannot "
        "be sent; the last one is named",
        "mend the column in the view purchases; `syncd check` shows the share",
    ),
    "orders.retried": Event(
        "info",
        ("orders",),
        "rejected orders were changed and could be sent now, so they are tried again, "
        "each at most ten times",
    ),
    "orders.withdrawn": Event(
        "info",
        ("batch", "orders", "order_key"),
        "orders stopped being confirmed before they were sent",
    ),
    "orders.waiting": Event(
        "info",
        ("batch", "orders", "order_key", "reason"),
        "orders are incomplete; syncd reads them again shortly",
    ),
    "orders.unreadable": Event(
        "warning",
        ("batch", "orders", "order_key", "reason", "retry_seconds", "suppressed"),
        "a view could not be read for these orders: they wait for it, all others go "
        "on, nobody is rejected for it; accounts say how many they leave out",
        "read one of them from the view (EXPLAIN ANALYZE): a slow function, a foreign "
        "table that is away, a cast; `syncd status` counts those that wait",
    ),
    "sending.held": Event(
        "error",
        ("status", "reason", "retry_seconds"),
        "the API refuses everything, or gave an answer that nobody has explained: "
        "nothing is sent but a probe now and then (without `retry_seconds`, not even "
        "that); capture goes on",
        "mend the credentials, the address or the view, then `syncd resume` or SIGHUP; "
        "for an unknown answer, `syncd verify`",
    ),
    "rejections.suspended": Event(
        "error",
        ("batch", "order_key", "status", "reason"),
        "too many orders are refused while others are accepted: no more are rejected, "
        "those that are refused wait, all others are sent",
        "`syncd rejected list`, mend the view, then `syncd resume`",
    ),
    "sending.retried": Event(
        "info", (), "SIGHUP: the API is tried again at once, whatever it said before"
    ),
    "feed.paused": Event(
        "warning",
        ("what", "since", "reason"),
        "sending or capture is paused for every instance; nothing is lost",
        "`syncd resume` when it may go on",
    ),
    "feed.resumed": Event("info", ("what", "paused_seconds"), "a pause has ended"),
    "sending.resumed": Event("info", (), "the API accepts again after trouble"),
    "database.unavailable": Event(
        "warning",
        ("error_kind", "reason", "retry_seconds", "suppressed"),
        "the database does not answer, or a standby does; syncd connects anew",
        "see `syncd check`",
    ),
    "views.unavailable": Event(
        "error",
        ("error_kind", "reason", "retry_seconds", "suppressed"),
        "a view cannot be read (missing, forbidden, too slow, or what stands behind it "
        "fails), or a setting of the role or database forbids the work: orders wait, "
        "none is lost or blamed; syncd goes on by itself when it is mended",
        "mend what the reason names, or `syncd install` to grant; `syncd check` tells "
        "more",
    ),
    "table.replaced": Event(
        "error",
        ("table", "reason", "hint", "suppressed"),
        "a name belongs to another table now than when the views, triggers or the "
        "publication were made: they still read or hear the other one, so that new "
        "orders may not be seen; logged once a minute",
        "do what the hint says; reconciliation then captures what was not seen",
    ),
    "keys.changed": Event(
        "error",
        ("reason", "suppressed"),
        "the views were changed, and known orders are not listed under their keys any "
        "more: nothing is captured or sent, so that none is sent again",
        "`syncd rebind-keys --dry-run`, then `syncd rebind-keys`; or bring the views "
        "back as they were",
    ),
    "keys.reused": Event(
        "error",
        ("orders", "order_key"),
        "known keys stand for other orders now (a table was emptied, and its numbers "
        "begin again): so many of them, and one; they are not sent by themselves",
        "`syncd reused list`, then `syncd reused send` or `syncd reused keep`",
    ),
    "views.accepted": Event(
        "info",
        ("reason",),
        "the views were changed, and their keys still stand for the orders that the "
        "ledger has",
    ),
    "database.promoted": Event(
        "warning",
        ("timeline", "orders"),
        "a standby took over from the ledger's database and may lack its last moments: "
        "the pending orders, and those of the last day that have to be captured again, "
        "count as possible repeats",
        "nothing: the last hours are reconciled",
    ),
    "account.unverified": Event(
        "warning",
        ("payload", "batch_size"),
        "no test has shown that the account takes events in this form and number",
        "`syncd verify`",
    ),
    "source.unverified": Event(
        "warning",
        (),
        "the orders are read on a hot standby whose primary cannot be asked: an order "
        "of a transaction longer than `lookback` is found by reconciliation only",
        "set `source.primary_dsn`",
    ),
    "database.recovered": Event(
        "info", ("down_seconds",), "the database answers again"
    ),
    "orders.missed": Event(
        "error",
        ("scope", "orders", "captured", "order_key"),
        "reconciliation found confirmed orders that no capture had taken; they are "
        "captured now; the first one is named",
        "`syncd explain` that order, then `syncd check`: a larger `source.lookback`, "
        "or a table that is not followed",
    ),
    "orders.without_time": Event(
        "warning",
        ("capture", "orders", "suppressed"),
        "touched orders are confirmed at no usable time (NULL, infinity), so they are "
        "not sent; the change that gives them one brings them",
        "let the view give the time at which they were confirmed",
    ),
    "reconciliation.finished": Event(
        "info",
        (
            "scope",
            "lower",
            "upper",
            "confirmed",
            "delivered",
            "pending",
            "adopted",
            "rejected",
            "withdrawn",
            "held",
            "discarded",
            "erased",
            "reused",
            "initial",
            "arriving",
            "missing",
            "unexplained",
            "without_time",
            "unreadable",
            "duration_ms",
        ),
        "every confirmed order of a range is accounted for",
    ),
    "heartbeat": Event(
        "info",
        (
            "lag_seconds",
            "watermark_age_seconds",
            "pending",
            "pending_backfill",
            "sending",
            "rejected",
            "withdrawn",
            "held",
            "uncertain",
            "endpoint_state",
            "paused",
            "delivered",
            "delivered_per_minute",
            "rate_factor",
            "unexplained",
            "missed",
            "without_time",
            "reconciled_seconds",
            "rss_mb",
        ),
        "every minute, also when idle; its absence is the alarm",
    ),
    "orders.erased": Event(
        "warning",
        ("orders",),
        "orders were erased on request; syncd never sends them",
        "erase at Squeezely what `syncd erase` named",
    ),
    "ledger.pruned": Event(
        "info",
        ("orders", "batches", "duration_ms"),
        "receipts of orders delivered longer ago than `ledger.retention` were deleted; "
        "the orders stay known, so none is sent again",
    ),
    "watermark.reset": Event(
        "warning",
        ("backfill", "lower", "upper", "orders"),
        "past orders were requested; the daemon captures them page by page",
    ),
    "backfill.started": Event(
        "info",
        _BACKFILL,
        "a daemon starts a requested backfill",
    ),
    "backfill.progressed": Event(
        "info",
        _BACKFILL,
        "progress of a backfill; at most every 30 s, only while it makes progress",
    ),
    "backfill.paused": Event(
        "info",
        _BACKFILL,
        "a backfill was paused: none of its orders is sent",
        "`syncd backfill resume` continues it",
    ),
    "backfill.resumed": Event("info", _BACKFILL, "a backfill was resumed"),
    "backfill.finished": Event(
        "info",
        _BACKFILL,
        "all orders of a backfill are settled; `rejected` ones wait for a person",
        "`syncd rejected list` when some were rejected",
    ),
    "backfill.cancelled": Event(
        "info",
        _BACKFILL,
        "a backfill was cancelled; orders that were never in a request are `released`",
    ),
    "library.log": Event(
        "warning",
        ("logger", "message", "suppressed"),
        "a third-party library logged a warning",
    ),
}
