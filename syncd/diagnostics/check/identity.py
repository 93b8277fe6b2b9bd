"""What `syncd check` finds about the tables behind the views, and the orders' keys."""

from collections.abc import Iterator

from syncd.capture.identity import identity_guard
from syncd.config.settings import Settings
from syncd.diagnostics.check.finding import Finding
from syncd.diagnostics.check.ledger import feed_of
from syncd.source.connections import Connections


def check_identity(settings: Settings, connections: Connections) -> Iterator[Finding]:
    """Compare the tables and keys behind the views with those of the ledger.

    Nothing is found before the feed was started.
    """
    feed = feed_of(settings, connections)
    if feed is None:
        return
    compared = identity_guard(settings, connections, feed).preview()
    for table in compared.replaced:
        yield Finding("tables.replaced", table.table, table.reason, table.next_step)
    if compared.held is not None:
        yield Finding("keys.changed", "order_key", compared.held)
    elif compared.accepted is not None:
        message = f"{compared.accepted}; the same orders are listed under their keys"
        yield Finding("keys.same", "order_key", message)
    elif compared.unlisted is not None:
        yield Finding("orders.unlisted", "confirmed_orders", compared.unlisted)
    elif not compared.replaced:
        message = "the views read the tables that they were accepted with"
        yield Finding("keys.same", "order_key", message)
