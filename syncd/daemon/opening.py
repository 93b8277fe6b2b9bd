"""Opening a feed: it is found or started, and served by an instance, this process."""

from dataclasses import dataclass

from syncd.config.settings import Settings
from syncd.daemon.connector import Connector
from syncd.daemon.tuning import Tuning
from syncd.diagnostics.check.start import ask
from syncd.ledger.clone_guard import CloneGuard, StateFile
from syncd.ledger.feed import Feed, FeedStore
from syncd.ledger.instance import Instance
from syncd.ledger.state_file import Served
from syncd.log.log import Log
from syncd.postgres.database import Database
from syncd.source.connections import Connections


@dataclass(frozen=True, slots=True)
class OpenFeed:
    """A feed, and what this process serves it with.

    Attributes:
        settings: The feed's.
        log: Its lines name the instance.
        connector: Connects the components.
        ledger: The connection of the instance.
        feed: As it was started.
        instance: This process.
        clone_guard: Checks that the ledger is the one served before.
    """

    settings: Settings
    log: Log
    connector: Connector
    ledger: Database
    feed: Feed
    instance: Instance
    clone_guard: CloneGuard

    @classmethod
    def of(cls, settings: Settings, log: Log, connector: Connector) -> "OpenFeed":
        """Find the feed, or start it, and become an instance of it.

        Raises:
            SyncdError: The feed cannot be served.
        """
        connections = connector.connect("housekeeping")
        ledger = connections.ledger
        feed = _find_feed(settings, connector, connections)
        clone_guard = CloneGuard(
            ledger,
            feed.feed_id,
            settings.feed,
            StateFile.of(settings.ledger.state_directory, settings.feed),
            log,
            name=settings.instance,
        )
        clone_guard.check()
        connector.guard(clone_guard)
        instance = Instance(
            ledger,
            feed.feed_id,
            holds=settings.squeezely.on_uncertain == "hold",
            name=settings.instance,
            quiet=settings.source.quiet,
        )
        log.identify(instance.number)
        return cls(settings, log, connector, ledger, feed, instance, clone_guard)


def open_feed(
    settings: Settings, log: Log, tuning: Tuning, *, new_feed: bool
) -> OpenFeed:
    """Check the start conditions, then open the feed.

    Args:
        settings: The feed's.
        log: Names the instance from then on.
        tuning: How the feed is served.
        new_feed: Whether a new feed is wanted even beside others.

    Raises:
        SyncdError: The feed cannot be served; every connection is closed again.
    """
    ask(settings, new_feed=new_feed)
    connector = Connector(settings, log, tuning.unreadable_seconds)
    try:
        return OpenFeed.of(settings, log, connector)
    except BaseException:
        connector.close()
        raise


def _find_feed(
    settings: Settings, connector: Connector, connections: Connections
) -> Feed:
    """Start the feed, unless it was started before; note that it is served here."""
    feed = connector.start_feed(connections)
    if served := Served.of(settings):
        identity = FeedStore(connections, settings.feed).source_identity()
        served.keep(identity, settings.source.confirmed_view)
    return feed
