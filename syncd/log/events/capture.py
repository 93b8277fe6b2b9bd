"""Capture: confirmed orders are found and written into the ledger."""

from collections.abc import Mapping

from syncd.log.events.event import Event

EVENTS: Mapping[str, Event] = {
    "orders.captured": Event(
        "info",
        ("capture", "orders", "duration_ms"),
        "newly confirmed orders were written into the ledger",
    ),
    "orders.without_time": Event(
        "warning",
        ("capture", "orders", "suppressed"),
        "changed orders have no usable confirmation time (NULL, infinity), so they are "
        "not sent; the change that gives them a time brings them",
        "let the view return the time at which they were confirmed",
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
}
