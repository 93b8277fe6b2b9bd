"""What `syncd check` finds about `source.lookback`: whether it covers late orders."""

from collections.abc import Iterator

from syncd.config.settings import Settings
from syncd.diagnostics.check.finding import Finding
from syncd.diagnostics.check.lateness import Lateness, measure, recommended, short_span
from syncd.ledger.feed import FeedStore
from syncd.postgres.statements import query
from syncd.source.connections import Connections


def check_lookback(settings: Settings, connections: Connections) -> Iterator[Finding]:
    """Return whether `lookback` covers what was seen of late orders."""
    feed = FeedStore(connections, settings.feed).find()
    if feed is None:
        return
    alarms = connections.ledger.mapping(str, str, query("alarms"), feed=feed.feed_id)
    if shifted := alarms.get("stamps.shifted"):  # then a longer lookback is no cure
        yield Finding("orders.shifted", "lookback", shifted)
        return
    late = measure(connections.ledger, feed.feed_id)
    lookback = settings.source.lookback
    if late.missed and late.oldest > lookback:
        yield _too_small(
            f"{late.missed} orders were stamped up to {short_span(late.oldest)} before "
            f"they were found, by reconciliation; lookback is {short_span(lookback)}",
            late,
            "Set",
        )
    elif late.longest > lookback:
        yield _too_small(
            f"an order became visible {short_span(late.longest)} after its stamp "
            f"(p99 {short_span(late.usual)}); lookback is {short_span(lookback)}",
            late,
            "Unless a long transaction explains it, set",
        )
    elif late.orders:
        yield Finding(
            "lookback.enough",
            "lookback",
            f"{short_span(lookback)}; the last {late.orders} orders became visible "
            f"within {short_span(late.longest)} (p99 {short_span(late.usual)})",
        )


def _too_small(message: str, late: Lateness, verb: str) -> Finding:
    enough = recommended(max(late.oldest, late.longest))
    step = f'{verb} source.lookback to "{enough}".'
    return Finding("lookback.small", "lookback", message, step)
