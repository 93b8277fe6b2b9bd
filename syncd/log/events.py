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
        "info",
        ("signal",),
        "a signal requested a stop; syncd finishes the batch in flight",
    ),
    "daemon.stopped": Event(
        "info", ("exit_code", "uptime_seconds", "delivered"), "the daemon has stopped"
    ),
    "daemon.failed": Event(
        "critical",
        ("reason", "hint", "codes", "exit_code"),
        "the daemon could not start, or cannot continue by itself",
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
        "a component has made no progress for longer than allowed, with its place in "
        "the code; syncd no longer notifies the watchdog, so systemd restarts it",
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
        "the machine's clock was set, or the machine slept; no order is lost",
        "nothing; if it happens again, check the machine's time synchronisation",
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
        "the triggers could not record changes (counted since they were installed, or "
        "since the last such line); the shop was not affected, the poll finds its "
        "orders",
        "`syncd check`, then `syncd install --listen` again, which resets the count",
    ),
    "stream.opened": Event(
        "info",
        ("slot", "behind_bytes"),
        "syncd starts to read the replication slot, `behind_bytes` behind",
    ),
    "stream.waiting": Event(
        "info",
        ("slot", "pid"),
        "another instance reads the slot; this one takes over when it ends",
    ),
    "stream.commits_invisible": Event(
        "warning",
        ("transactions", "age_seconds", "suppressed"),
        "commits are in the WAL but not visible yet; their orders wait",
        "check whether a synchronous standby is missing",
    ),
    "stream.gap_detected": Event(
        "error",
        ("slot", "since"),
        "a promoted standby's slot is ahead of the position in its ledger: orders may "
        "have been missed; capture continues",
        "`syncd reconcile --from` that time, unless the daemon does so itself",
    ),
    "slot.at_risk": Event(
        "warning",
        ("slot", "reason", "wal_status", "retained_bytes", "safe_bytes"),
        "the slot retains much WAL, or may retain too much; it is lost at the limit",
        "find out why syncd lags (`syncd status`), or raise `max_slot_wal_keep_size`",
    ),
    "publication.blocks_writes": Event(
        "error",
        ("table", "reason", "fix_sql"),
        "a published table was changed: PostgreSQL refuses the shop's UPDATEs on it, "
        "or syncd no longer follows it",
        "run `fix_sql` at once, then repair the table and `syncd install --wal` again",
    ),
    "window.closed": Event(
        "debug", ("watermark",), "the watermark moved; late orders are captured"
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
        "end the transaction if it is not needed",
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
        "nothing; if it continues, see `syncd status`",
    ),
    "batch.split": Event(
        "warning",
        ("batch", "attempt", "orders", "outcome", "status", "reason"),
        "the API refused a batch as a whole; syncd tries its halves one by one",
    ),
    "batch.uncertain": Event(
        "warning",
        ("batch", "attempt", "orders", "outcome", "status", "reason", "is_held"),
        "an attempt's outcome is unknown; its orders are sent again and may repeat, "
        'or wait for your decision (`is_held`, with `on_uncertain = "hold"`)',
        "nothing: Squeezely merges a repeat by its orderid; when held: "
        "`syncd uncertain list`",
    ),
    "api.response_changed": Event(
        "warning",
        ("batch", "attempt", "shape"),
        "a response has a shape that syncd does not know; it is classified all the "
        "same; logged once for each shape while the daemon runs",
        "compare it with docs/squeezely.md, and look for a newer version of syncd",
    ),
    "orders.rejected": Event(
        "error",
        ("batch", "attempt", "orders", "order_key", "status", "reason"),
        "orders cannot be sent and were set aside, all for one reason; the first one "
        "is named; with an `attempt`, the API refused it",
        "`syncd rejected list`, correct the data, `syncd rejected retry`",
    ),
    "orders.refused": Event(
        "error",
        ("rejected", "orders", "reason", "suppressed"),
        "more than a fifth of the newest orders, at least 5, are rejected; with the "
        "most frequent reason; logged each minute while it lasts",
        "correct the view purchases, then `syncd rejected retry --all`",
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
        "the orders' time stamps are off by a zone from the time when they become "
        "visible: syncd reads them in the wrong zone; one order is named",
        "set source.time_zone to the zone in which the shop writes, or correct the "
        "view",
    ),
    "fields.left_out": Event(
        "warning",
        ("field", "reason", "orders", "order_key", "suppressed"),
        "orders were sent without a detail, because the view returns it in a form that "
        "cannot be sent; the last one is named",
        "correct the column in the view purchases; `syncd check` shows the share",
    ),
    "orders.retried": Event(
        "info",
        ("orders",),
        "rejected orders were corrected and can be sent now, so syncd tries them "
        "again, each at most ten times",
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
        "a view could not be read for these orders: they wait, all others go on, none "
        "is rejected for it; accounts state how many they leave out",
        "read one of them from the view (EXPLAIN ANALYZE): a slow function, an "
        "unavailable foreign table, a cast; `syncd status` counts those that wait",
    ),
    "sending.held": Event(
        "error",
        ("status", "reason", "retry_seconds"),
        "the API refuses everything, or gave an answer of unknown meaning: syncd only "
        "sends a probe now and then (without `retry_seconds`, nothing); capture "
        "continues",
        "correct the credentials, the address or the view, then `syncd resume` or "
        "SIGHUP; for an unknown answer, `syncd verify`",
    ),
    "rejections.suspended": Event(
        "error",
        ("batch", "order_key", "status", "reason"),
        "the API refuses too many orders while it accepts others: no more are "
        "rejected, the refused ones wait, all others are sent",
        "`syncd rejected list`, correct the view, then `syncd resume`",
    ),
    "sending.retried": Event(
        "info",
        (),
        "SIGHUP: syncd tries the API again at once, whatever its last answer",
    ),
    "feed.paused": Event(
        "warning",
        ("what", "since", "reason"),
        "sending or capture is paused for every instance; nothing is lost",
        "`syncd resume` to continue",
    ),
    "feed.resumed": Event("info", ("what", "paused_seconds"), "a pause has ended"),
    "sending.resumed": Event("info", (), "the API accepts events again"),
    "database.unavailable": Event(
        "warning",
        ("error_kind", "reason", "retry_seconds", "suppressed"),
        "the database does not answer, or a standby does; syncd connects again",
        "see `syncd check`",
    ),
    "views.unavailable": Event(
        "error",
        ("error_kind", "reason", "retry_seconds", "suppressed"),
        "a view cannot be read (missing, forbidden, too slow, or something that it "
        "reads fails), or a setting of the role or database forbids the work: orders "
        "wait, none is lost or rejected; syncd continues by itself once it is fixed",
        "fix what the reason names, or `syncd install` to grant; `syncd check` has "
        "details",
    ),
    "table.replaced": Event(
        "error",
        ("table", "reason", "hint", "suppressed"),
        "a table's name now belongs to another table; the views, triggers or the "
        "publication still use the table that had it before, so that new orders may "
        "be missed; logged once a minute",
        "do what the hint says; reconciliation then captures what was missed",
    ),
    "keys.changed": Event(
        "error",
        ("reason", "suppressed"),
        "the views were changed and no longer list known orders under their keys: "
        "nothing is captured or sent, so that none is sent again",
        "`syncd rebind-keys --dry-run`, then `syncd rebind-keys`; or restore the views",
    ),
    "keys.reused": Event(
        "error",
        ("orders", "order_key"),
        "known keys now belong to other orders (a table was emptied, and its numbers "
        "start again): how many, and one of them; they are not sent until you decide",
        "`syncd reused list`, then `syncd reused send` or `syncd reused keep`",
    ),
    "views.accepted": Event(
        "info",
        ("reason",),
        "the views were changed, and their keys still identify the orders in the "
        "ledger",
    ),
    "database.promoted": Event(
        "warning",
        ("timeline", "orders"),
        "a standby took over from the ledger's database and may lack its last "
        "transactions: the pending orders, and those of the last day that have to be "
        "captured again, count as possible repeats",
        "nothing: syncd reconciles the last hours",
    ),
    "account.unverified": Event(
        "warning",
        ("payload", "batch_size"),
        "no test has shown that the account accepts this payload and batch size",
        "`syncd verify`",
    ),
    "source.unverified": Event(
        "warning",
        (),
        "orders are read on a hot standby, and syncd cannot query its primary: only "
        "reconciliation finds an order of a transaction longer than `lookback`",
        "set `source.primary_dsn`",
    ),
    "database.recovered": Event(
        "info", ("down_seconds",), "the database answers again"
    ),
    "orders.missed": Event(
        "error",
        ("scope", "orders", "captured", "order_key"),
        "reconciliation found confirmed orders that no capture had found, and captured "
        "them; the first one is named",
        "`syncd explain` that order, then `syncd check`: a larger `source.lookback`, "
        "or a table that is not followed",
    ),
    "orders.without_time": Event(
        "warning",
        ("capture", "orders", "suppressed"),
        "changed orders have no usable confirmation time (NULL, infinity), so they are "
        "not sent; the change that gives them a time brings them",
        "let the view return the time at which they were confirmed",
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
        "written every minute, also when idle; its absence is the alarm",
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
        "the orders' own rows stay, so none is sent again",
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
        "all orders of a backfill are settled; `rejected` ones wait for you",
        "`syncd rejected list` when some were rejected",
    ),
    "backfill.cancelled": Event(
        "info",
        _BACKFILL,
        "a backfill was cancelled; orders never in a request are `released`",
    ),
    "library.log": Event(
        "warning",
        ("logger", "message", "suppressed"),
        "a third-party library logged a warning",
    ),
}
