"""Opening a feed: connections, the feed found or started, served by this process."""

from dataclasses import dataclass
from functools import partial

from syncd.capture.unreadable import Exclusion, Reading, UnreadableOrders
from syncd.config.settings import Settings
from syncd.daemon.tuning import Tuning
from syncd.diagnostics.check.start import ask
from syncd.ledger.batches import Ledger
from syncd.ledger.clone_guard import CloneGuard
from syncd.ledger.feed import Feed, FeedStore
from syncd.ledger.instance import Instance
from syncd.ledger.state_file import Served, StateFile
from syncd.log.log import Log
from syncd.postgres.database import Database
from syncd.source.connections import Connections, connect, source_on
from syncd.source.orders import Source


@dataclass(frozen=True, slots=True)
class Access:
    """One component's way to the shop's orders and to the ledger.

    Attributes:
        connections: Of this component alone.
        reading: Reads the views, without the orders that fail.
    """

    connections: Connections
    source: Source
    ledger: Ledger
    reading: Reading


class Connector:
    """Connects the components of one daemon, and closes every connection.

    Args:
        log: Names the orders that cannot be read.
        unreadable_seconds: How often those are read again.
    """

    def __init__(self, settings: Settings, log: Log, unreadable_seconds: float) -> None:
        self._settings = settings
        self._log = log
        self._exclusion = Exclusion(unreadable_seconds)
        self._connections: list[Connections] = []
        self._clone_guard: CloneGuard | None = None

    def connect(self, role: str, *, keeps_plans: bool = False) -> Connections:
        """Make the connections of one component; `role` shows in `pg_stat_activity`.

        With `keeps_plans` for one that reads by key only.
        """
        connections = connect(self._settings, role, keeps_plans=keeps_plans)
        self._connections.append(connections)
        self._check_promotion(connections.ledger)
        return connections

    def access(self, role: str, feed: Feed, *, by_key: bool = False) -> Access:
        """Make one component's way to a feed.

        With `by_key` for one that reads by key only, often: its plans are kept, and
        nothing is left out because other components could not read it.
        """
        connections = self.connect(role, keeps_plans=by_key)
        exclusion = Exclusion() if by_key else self._exclusion
        source = source_on(self._settings, connections, exclusion.left_out)
        ledger = Ledger(connections.ledger, feed.feed_id)
        reading = UnreadableOrders(source, ledger, self._log, exclusion)
        return Access(connections, source, ledger, reading)

    def start_feed(self, connections: Connections) -> Feed:
        """Find the feed; start it, unless it was started before."""
        settings = self._settings
        exclusion = Exclusion()  # its own, so that capture raises the alarm
        source = source_on(settings, connections, exclusion.left_out)
        reading = UnreadableOrders(source, None, self._log, exclusion)
        feeds = FeedStore(connections, settings.feed)
        return reading(lambda: feeds.start(source, settings.source.lookback))

    def guard(self, clone_guard: CloneGuard) -> None:
        """Make every connection, also existing ones, check."""
        self._clone_guard = clone_guard
        for connections in self._connections:
            self._check_promotion(connections.ledger)

    def close(self) -> None:
        """Close every connection that was made."""
        for connections in self._connections:
            connections.close()
        self._connections.clear()
        self._clone_guard = None

    def _check_promotion(self, ledger: Database) -> None:
        if self._clone_guard is not None:
            ledger.on_open(partial(self._clone_guard.note_promotion, ledger))


@dataclass(frozen=True, slots=True)
class OpenFeed:
    """A feed, and what this process serves it with.

    Attributes:
        log: Its lines name the instance.
        ledger: The connection of the instance.
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
        """Find the feed, or start it, and become an instance of it."""
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
    """Check the start conditions, then open the feed; `log` names the instance.

    With `new_feed` a new feed is wanted even beside others.

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
