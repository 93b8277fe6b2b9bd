"""What `syncd check` finds about lines that came after their order was sent."""

from collections.abc import Iterator

from syncd.config.settings import Settings
from syncd.core.event_diff import LINES, Difference
from syncd.diagnostics.check.finding import Finding
from syncd.diagnostics.comparison import EventDiff
from syncd.ledger.feed import FeedStore
from syncd.source.connections import Connections

NEWEST_ORDERS = 200
"""So many of the orders sent last are checked for added lines."""

_GROWN = {(LINES, "added"), (f"{LINES}.quantity", "changed")}


def check_growth(settings: Settings, connections: Connections) -> Iterator[Finding]:
    """Compare the newest orders as sent with the view; warn from one in a hundred."""
    feed = FeedStore(connections, settings.feed).find()
    if feed is None or not settings.api_key.get_secret_value():
        return
    comparison = EventDiff(settings, connections, feed).with_sent(NEWEST_ORDERS)
    grown = [d.key for d in comparison.differences if d.same_mapping and _has_grown(d)]
    if len(grown) * 100 > comparison.compared:
        message = (
            f"{len(grown)} of the last {comparison.compared} orders sent have gained "
            f"lines since, for example {grown[0]}"
        )
        yield Finding("orders.grew", "orders", message)


def _has_grown(difference: Difference) -> bool:
    return any((c.place.field, c.kind) in _GROWN for c in difference.changes)
