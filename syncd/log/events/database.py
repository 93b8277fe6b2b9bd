"""The databases: their connections, the views, the tables and keys behind them."""

from collections.abc import Mapping

from syncd.log.events.event import Event

EVENTS: Mapping[str, Event] = {
    "database.unavailable": Event(
        "warning",
        ("error_kind", "reason", "retry_seconds", "suppressed"),
        "the database does not answer, or a standby does; syncd connects again",
        "see `syncd check`",
    ),
    "database.promoted": Event(
        "warning",
        ("timeline", "orders"),
        "a standby took over from the ledger's database and may lack its last "
        "transactions: the pending orders, and those of the last day that have to be "
        "captured again, count as possible repeats",
        "nothing: syncd reconciles the last hours",
    ),
    "database.recovered": Event(
        "info", ("down_seconds",), "the database answers again"
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
    "views.accepted": Event(
        "info",
        ("reason",),
        "the views were changed, and their keys still identify the orders in the "
        "ledger",
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
        "the views, or their keys, were changed and no longer list known orders: "
        "nothing is captured or sent, so that none is sent again",
        "`syncd rebind-keys --dry-run`, then `syncd rebind-keys`; or restore the views",
    ),
    "orders.unlisted": Event(
        "error",
        ("reason", "suppressed"),
        "confirmed_orders, which was not replaced, no longer lists the newest known "
        "orders: it may hide new ones too, which are then never sent",
        "correct the view, or what it reads: row level security, a limit of time, a "
        "status that changes later, deleted rows",
    ),
    "keys.reused": Event(
        "error",
        ("orders", "order_key"),
        "known keys now belong to other orders (a table was emptied, and its numbers "
        "start again): how many, and one of them; they are not sent until you decide",
        "`syncd reused list`, then `syncd reused send` or `syncd reused keep`",
    ),
    "source.unverified": Event(
        "warning",
        (),
        "orders are read on a hot standby, and syncd cannot query its primary: only "
        "reconciliation finds an order of a transaction longer than `lookback`",
        "set `source.primary_dsn`",
    ),
}
