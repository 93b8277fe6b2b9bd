"""The connections of a daemon's components, and what each uses on its own.

Before a connection to the ledger is used, it is checked for a promotion.
"""

from dataclasses import dataclass
from functools import partial

from syncd.capture.unreadable import Exclusion, Reading, UnreadableOrders
from syncd.config.settings import Settings
from syncd.ledger.batches import Ledger
from syncd.ledger.clone_guard import CloneGuard
from syncd.ledger.feed import Feed, FeedStore
from syncd.log.log import Log
from syncd.postgres.database import Database
from syncd.source.connections import Connections, connect, source_on
from syncd.source.orders import Source


@dataclass(frozen=True, slots=True)
class Access:
    """One component's way to the shop's orders and to the ledger.

    Attributes:
        connections: Of this component alone.
        source: The two views.
        ledger: Of the feed.
        reading: Reads the views, without the orders that fail.
    """

    connections: Connections
    source: Source
    ledger: Ledger
    reading: Reading


class Connector:
    """Connects the components of one daemon, and closes every connection.

    Args:
        settings: Where to.
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
