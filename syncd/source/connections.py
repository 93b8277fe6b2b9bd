"""A component's connections: to the shop's order database and the ledger's.

They are one and the same unless `[ledger] dsn` names another database.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from syncd.config.settings import Settings
from syncd.postgres.database import Database
from syncd.source.orders import Source
from syncd.source.transactions import Transactions
from syncd.source.views import LeftOut


@dataclass(frozen=True, slots=True)
class Connections:
    """The two databases of a feed; each opens on first use.

    Attributes:
        primary: Where the shop writes, should the source be a hot standby.
    """

    source: Database
    ledger: Database
    primary: Database | None = None

    @property
    def is_one(self) -> bool:
        """Whether both are one connection, so that one transaction spans them."""
        return self.source is self.ledger

    @property
    def span_outbox(self) -> bool:
        """Whether one transaction spans ledger and outbox."""
        return (self.primary or self.source) is self.ledger

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Open a transaction in each database, one where they are one.

        The source's commits first; nothing holds the two together.
        """
        with ExitStack() as transactions:
            transactions.enter_context(self.ledger.transaction())
            if not self.is_one:
                transactions.enter_context(self.source.transaction())
            yield

    def close(self) -> None:
        """Close both; the next use opens them again."""
        self.source.close()
        self.ledger.close()
        if self.primary is not None:
            self.primary.close()


def connect(settings: Settings, role: str, *, keeps_plans: bool = False) -> Connections:
    """Make the connections of one component; `role` shows in `pg_stat_activity`.

    With `keeps_plans` for one that reads by key only, often.
    """

    def open_on(dsn: str, *, writes: bool) -> Database:
        return Database(
            dsn,
            application_name=f"syncd/{settings.feed}/{role}",
            time_zone=settings.source.time_zone,
            keeps_plans=keeps_plans,
            writes=writes,
        )

    state = settings.ledger_dsn.get_secret_value()
    source = open_on(settings.source_dsn.get_secret_value(), writes=not state)
    primary = settings.primary_dsn.get_secret_value()
    return Connections(
        source,
        open_on(state, writes=True) if state else source,
        open_on(primary, writes=True) if primary else None,
    )


def transactions_of(connections: Connections) -> Transactions:
    """Make what reads the shop's transactions over a component's connections."""
    return Transactions(connections.source, connections.primary)


def source_on(
    settings: Settings, connections: Connections, left_out: LeftOut | None = None
) -> Source:
    """Make the source of the configured views on a component's connections."""
    return Source(
        connections.source,
        settings.source.confirmed_view,
        settings.source.purchases_view,
        beside_ledger=connections.is_one,
        left_out=left_out,
    )
