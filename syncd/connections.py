"""The connections of one part of syncd: to the shop's order database and the ledger's.

They are one and the same unless `[state] dsn` names another database.
"""

from dataclasses import dataclass

from syncd.config import Settings
from syncd.database import Database
from syncd.source import Source


@dataclass(frozen=True, slots=True)
class Connections:
    """The two databases that a feed lies between; each opens on first use."""

    source: Database
    ledger: Database

    @property
    def is_one(self) -> bool:
        """Whether both are one connection, so that one transaction spans them."""
        return self.source is self.ledger

    def close(self) -> None:
        """Close both; the next use opens them again."""
        self.source.close()
        self.ledger.close()


def connect(settings: Settings, role: str) -> Connections:
    """Make the connections for one part; `role` shows in `pg_stat_activity`."""
    source = _database(settings, settings.source_dsn.get_secret_value(), role)
    state = settings.state_dsn.get_secret_value()
    return Connections(source, _database(settings, state, role) if state else source)


def connect_primary(settings: Settings, role: str) -> Database | None:
    """Make a connection to the primary of a hot standby; None when none is named."""
    dsn = settings.primary_dsn.get_secret_value()
    return _database(settings, dsn, role) if dsn else None


def source_on(settings: Settings, connections: Connections) -> Source:
    """Make the source of the configured views on a part's connections."""
    return Source(
        connections.source,
        settings.source.confirmed,
        settings.source.purchases,
        beside_ledger=connections.is_one,
    )


def _database(settings: Settings, dsn: str, role: str) -> Database:
    return Database(
        dsn,
        application_name=f"syncd/{settings.feed}/{role}",
        time_zone=settings.source.time_zone,
    )
