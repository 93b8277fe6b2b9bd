"""Delivery: batches are sent, and what the API or a rule makes of their orders."""

from collections.abc import Mapping

from syncd.log.events.event import Event

EVENTS: Mapping[str, Event] = {
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
        "a view could not be read for these orders: they wait, others are sent, none "
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
    "sending.retried": Event(
        "info",
        (),
        "SIGHUP: syncd tries the API again at once, whatever its last answer",
    ),
    "sending.resumed": Event("info", (), "the API accepts events again"),
    "rejections.suspended": Event(
        "error",
        ("batch", "order_key", "status", "reason"),
        "the API refuses too many orders while it accepts others: no more are "
        "rejected, the refused ones wait, all others are sent",
        "`syncd rejected list`, correct the view, then `syncd resume`",
    ),
    "feed.paused": Event(
        "warning",
        ("what", "since", "reason"),
        "sending or capture is paused for every instance; nothing is lost",
        "`syncd resume` to continue",
    ),
    "feed.resumed": Event("info", ("what", "paused_seconds"), "a pause has ended"),
    "account.unverified": Event(
        "warning",
        ("payload", "batch_size"),
        "no test has shown that the account accepts this payload and batch size",
        "`syncd verify`",
    ),
}
