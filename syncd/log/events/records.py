"""The ledger over time: reconciliation, retention, erasure."""

from collections.abc import Mapping

from syncd.log.events.event import Event

EVENTS: Mapping[str, Event] = {
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
    "orders.missed": Event(
        "error",
        ("scope", "orders", "captured", "order_key"),
        "reconciliation found confirmed orders that no capture had found, and captured "
        "them; the first one is named",
        "`syncd explain` that order, then `syncd check`: a larger `source.lookback`, "
        "or a table that is not followed",
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
}
