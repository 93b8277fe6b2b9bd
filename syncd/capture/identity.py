"""The guard of a configured feed's views, with the tables that its capture follows."""

from syncd.capture.wal.slot import slot_name
from syncd.config.settings import Settings
from syncd.ledger.feed import Feed
from syncd.ledger.identity import IdentityGuard
from syncd.source.connections import Connections, source_on
from syncd.source.orders import Source


def identity_guard(
    settings: Settings,
    connections: Connections,
    feed: Feed,
    source: Source | None = None,
) -> IdentityGuard:
    """Make the guard of a feed's views on some connections; or of a source there."""
    return IdentityGuard(
        source or source_on(settings, connections),
        connections.ledger,
        feed.feed_id,
        settings.feed,
        publication=slot_name(settings.feed),
        capture=settings.source.capture,
    )
