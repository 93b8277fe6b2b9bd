"""A feed's beginning: it starts at "now", in one database, and in no copy of it."""

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

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
            versions = [row[0] for row in self._database.all(query("migrations"))]
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
        rows = self._database.all(query("find_feed"), feed=self._name)
        if not rows:
            return None
        feed_id, started_at, *stored = rows[0]
        if list(self._identity().values()) != stored:
            raise ClonedDatabaseError(
                f"the ledger of feed {self._name!r} was made in another database: "
                "this one is a copy or was restored",
                "A copy must not send. If this database took the other's place, "
                "run `syncd confirm-move`.",
            )
        return Feed(cast("int", feed_id), cast("datetime", started_at))

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
        if others := [repr(row[0]) for row in self._database.all(query("feeds"))]:
            hint = (
                f"If `feed` should be {' or '.join(others)}, mend the configuration; "
            )
            hint += "else start it with `syncd run`."
        raise SchemaMismatchError(f"feed {self._name!r} was never started", hint)

    def others(self, view: str) -> list[str]:
        """Return the feeds of the same orders: of this view, in this database."""
        system, database = self.source_identity()
        rows = self._database.all(
            query("feeds_of_view"), system=system, database=database, view=view
        )
        return [str(row[0]) for row in rows]

    def source_identity(self) -> tuple[int, int]:
        """Return the cluster and the database of the orders."""
        row = self._connections.source.one(query("identity"))
        return cast("tuple[int, int]", tuple(row))

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
        rows = self._database.all(
            query("start_feed"),
            feed=self._name,
            started_at=started_at,
            floor=floor,
            view=source.views.confirmed,
            **self._identity(),
        )
        for (feed_id,) in rows:
            self._database.run(query("start_watermark"), feed=feed_id, watermark=floor)
            self._database.run(query("start_endpoint"), feed=feed_id)
            ledger = Ledger(self._database, cast("int", feed_id))
            IdentityGuard(source, self._database, ledger.feed_id, self._name).begin()
            with closing(source.listed(START_SECONDS)) as pages:
                for part, found in enumerate(pages):
                    ledger.keep_initial(found, part)

    def confirm_move(self, *, holds: bool) -> bool:
        """Bind the feed to the database that it is in now; False without a feed.

        What the original may have sent since counts as uncertain; `holds`: it waits for
        a person.
        """
        changed = self._database.run(
            query("confirm_move"), feed=self._name, holds=holds, **self._identity()
        )
        return changed > 0

    def _identity(self) -> dict[str, object]:
        """Read which clusters and databases these are, in the feed's order."""
        system, database = self._connections.source.one(query("identity"))
        ledger = self._connections.ledger.one(query("identity"))
        return {
            "system": system,
            "database": database,
            "ledger_system": ledger[0],
            "ledger_database": ledger[1],
        }
