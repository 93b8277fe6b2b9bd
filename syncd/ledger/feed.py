"""A feed's beginning: it starts at "now", in one database, and in no copy of it."""

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from syncd.core.errors import ClonedDatabaseError, SchemaMismatchError
from syncd.ledger.batches import Ledger
from syncd.ledger.identity import IdentityGuard
from syncd.postgres.statements import query
from syncd.source.connections import Connections
from syncd.source.orders import Source

START_SECONDS = 600.0
"""How long the view may take to list all its orders, or a page of them."""

SCHEMA_VERSION = 1
"""Number of the newest migration that this code works with."""


@dataclass(frozen=True, slots=True)
class Feed:
    """A started feed: what was listed at `started_at` is not sent unasked."""

    feed_id: int
    started_at: datetime


class DatabaseIdentity(NamedTuple):
    """A database: its cluster's identifier, and its oid."""

    system: int
    database: int


@dataclass(frozen=True, slots=True)
class _Found(Feed):
    is_here: bool


class FeedStore:
    """The feed of a name in the ledger's database."""

    def __init__(self, connections: Connections, name: str) -> None:
        self._connections = connections
        self._database = connections.ledger
        self._name = name

    def check_schema(self) -> None:
        """Refuse a database without the ledger, or with one of another version.

        Raises:
            SchemaMismatchError: It needs `syncd install`, or a newer syncd.
        """
        hint = "Run `syncd install` with a role that may create the schema."
        try:
            versions = self._database.values(int, query("migrations"))
        except SchemaMismatchError as error:
            raise SchemaMismatchError("there is no ledger yet", hint) from error
        if versions != list(range(1, SCHEMA_VERSION + 1)):
            raise SchemaMismatchError(
                f"the ledger has migrations {versions}, this syncd needs 1 to "
                f"{SCHEMA_VERSION}",
                hint,
            )

    def find(self) -> Feed | None:
        """Find the feed; None before its first start.

        Raises:
            ClonedDatabaseError: The ledger was made in another cluster or database.
        """
        found = self._database.find(
            _Found, query("find_feed"), feed=self._name, **self._identity()
        )
        if found is None:
            return None
        if not found.is_here:
            raise ClonedDatabaseError(
                f"the ledger of feed {self._name!r} was made in another database: "
                "this one is a copy or was restored",
                "A copy must not send. If this database took the other's place, "
                "run `syncd confirm-move`.",
            )
        return Feed(found.feed_id, found.started_at)

    def get(self) -> Feed:
        """Find the feed.

        Raises:
            SchemaMismatchError: There is no ledger, or the feed was never started.
            ClonedDatabaseError: See `find`.
        """
        self.check_schema()
        if feed := self.find():
            return feed
        hint = "Start it with `syncd run`."
        if others := list(map(repr, self._database.values(str, query("feeds")))):
            hint = (
                f"If `feed` should be {' or '.join(others)}, mend the configuration; "
            )
            hint += "else start it with `syncd run`."
        raise SchemaMismatchError(f"feed {self._name!r} was never started", hint)

    def others(self, view: str) -> list[str]:
        """Return the feeds of the same orders: of this view, in this database."""
        system, database = self.source_identity()
        return self._database.values(
            str, query("feeds_of_view"), system=system, database=database, view=view
        )

    def source_identity(self) -> DatabaseIdentity:
        """Return the cluster and the database of the orders."""
        return self._connections.source.row(DatabaseIdentity, query("identity"))

    def start(self, source: Source, lookback: timedelta) -> Feed:
        """Start the feed at "now" unless it was started before.

        What the view lists then, at a usable time, is kept as old, and is not sent
        (ADR-0021). What is listed later is newly confirmed.
        """
        self.check_schema()
        if feed := self.find():
            view = source.views.confirmed
            self._database.run(query("note_view"), feed=feed.feed_id, view=view)
            return feed
        with self._database.patient_transaction(START_SECONDS):
            self._insert(source, lookback)
        return self.get()

    def _insert(self, source: Source, lookback: timedelta) -> None:
        started_at = source.clock()
        floor = started_at - lookback
        feed_id = self._database.find_value(
            int,
            query("start_feed"),
            feed=self._name,
            started_at=started_at,
            floor=floor,
            view=source.views.confirmed,
            **self._identity(),
        )
        if feed_id is not None:
            self._database.run(query("start_watermark"), feed=feed_id, watermark=floor)
            self._database.run(query("start_endpoint"), feed=feed_id)
            IdentityGuard(source, self._database, feed_id, self._name).begin()
            self._keep_initial(source, feed_id)

    def _keep_initial(self, source: Source, feed_id: int) -> None:
        ledger = Ledger(self._database, feed_id)
        with closing(source.listed(START_SECONDS)) as pages:
            for chunk, found in enumerate(pages):
                ledger.keep_initial(found, chunk)

    def confirm_move(self, *, holds: bool) -> bool:
        """Bind the feed to the database that it is in now; False without a feed.

        What the original may have sent since counts as uncertain; `holds`: it waits for
        a person.
        """
        changed = self._database.run(
            query("confirm_move"), feed=self._name, holds=holds, **self._identity()
        )
        return changed > 0

    def _identity(self) -> dict[str, int]:
        """Read which clusters and databases these are."""
        source = self.source_identity()
        ledger = self._connections.ledger.row(DatabaseIdentity, query("identity"))
        return {
            "system": source.system,
            "database": source.database,
            "ledger_system": ledger.system,
            "ledger_database": ledger.database,
        }
