"""A feed's beginning: it starts at "now", in one database, and in no copy of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from syncd.database import Database, named
from syncd.errors import ClonedDatabaseError, SchemaMismatchError
from syncd.ledger import Ledger
from syncd.source import Views

SCHEMA_VERSION = 1
"""Number of the newest migration that this code works with."""


@dataclass(frozen=True, slots=True)
class Feed:
    """A started feed: what was confirmed before `started_at` is not sent unasked."""

    feed_id: int
    started_at: datetime


class Feeds:
    """The feed of a name in the ledger's database."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name

    def check_schema(self) -> None:
        """Refuse a database without the ledger, or with one of another version.

        Raises:
            SchemaMismatchError: It needs `syncd install`, or a newer syncd.
        """
        hint = "Run `syncd install` with a role that may create the schema."
        try:
            versions = [row[0] for row in self._database.all(named("migrations"))]
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
        rows = self._database.all(named("find_feed"), feed=self._name)
        if not rows:
            return None
        feed_id, started_at, *stored = rows[0]
        if self._identity() != tuple(stored):
            raise ClonedDatabaseError(
                f"the ledger of feed {self._name!r} was made in another database: "
                "this one is a copy or was restored",
                "A copy must not send. If this database took the other's place, "
                "run `syncd accept-copy`.",
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
        raise SchemaMismatchError(
            f"feed {self._name!r} was never started", "Start it with `syncd run`."
        )

    def start(self, views: Views, lookback: timedelta) -> Feed:
        """Start the feed at "now" unless it was started before.

        What is visible above the first watermark is adopted: it counts as handled,
        and is not sent. What becomes visible later is newly confirmed.
        """
        self.check_schema()
        if feed := self.find():
            return feed
        with self._database.transaction():
            self._insert(views, lookback)
        return self.get()

    def _insert(self, views: Views, lookback: timedelta) -> None:
        system, database = self._identity()
        rows = self._database.all(
            named("start_feed"), feed=self._name, system=system, database=database
        )
        for feed_id, started_at in rows:
            floor = cast("datetime", started_at) - lookback
            self._database.run(named("start_watermark"), feed=feed_id, watermark=floor)
            self._database.run(named("start_endpoint"), feed=feed_id)
            ledger = Ledger(self._database, cast("int", feed_id))
            ledger.admit(views, floor, "infinity", size=1_000_000, adopt=True)

    def accept_copy(self) -> bool:
        """Bind the feed to the database that it is in now; False without a feed."""
        system, database = self._identity()
        changed = self._database.run(
            named("accept_copy"), feed=self._name, system=system, database=database
        )
        return changed > 0

    def _identity(self) -> tuple[object, ...]:
        return self._database.one(named("identity"))
