"""The triggers of `capture = "listen"` on the shop's tables: their SQL, and its limits.

They are made for tables and columns that were found in the catalogue, never for what
somebody typed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import cast
from zlib import crc32

from psycopg import sql

from syncd.capture.outbox import channel_of, short_name
from syncd.database import Database, named
from syncd.errors import ConfigError, PermissionDeniedError
from syncd.install.install import Script, script
from syncd.source import Views

_FAMILIES = (("int2", "int4", "int8"), ("text", "varchar"))
"""Types whose values have the same text."""

_NAME = r'("[^"]+"|[^".:]+)'
_TARGET = re.compile(rf"(?:{_NAME}\.)?{_NAME}:{_NAME}")
_EXAMPLE = "Write it like orders:id or public.payments:order_id."
_UNFIT = {
    "v": "is a view",
    "m": "is a materialized view",
    "f": "is a foreign table",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A table to listen to, and its column that holds the orders' key."""

    schema: str | None
    table: str
    key: str

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Read TABLE:KEYCOLUMN; names are taken as they are, quotes may stand around.

        Raises:
            ConfigError: It is not of this form.
        """
        found = _TARGET.fullmatch(text)
        if found is None:
            raise ConfigError(f"--listen {text!r}: is not TABLE:KEYCOLUMN", _EXAMPLE)
        schema, table, key = (name and name.strip('"') for name in found.groups())
        return cls(schema, table, key)

    @property
    def shown(self) -> str:
        """The table as somebody named it."""
        return f"{self.schema}.{self.table}" if self.schema else self.table


@dataclass(frozen=True, slots=True)
class Place:
    """A table that gets triggers: the named one, or a partition of it.

    Attributes:
        kind: PostgreSQL's `relkind`.
        persistence: PostgreSQL's `relpersistence`.
        may_trigger: Whether this role may put triggers on it.
        is_owned: Whether this role may also say when they fire.
    """

    schema: str
    table: str
    kind: str
    persistence: str
    may_trigger: bool
    is_owned: bool

    @property
    def name(self) -> sql.Identifier:
        """Its name, quoted."""
        return sql.Identifier(self.schema, self.table)


class Triggers:
    """The outbox and the triggers of one feed, on a connection that may make them."""

    def __init__(self, database: Database, feed: str, views: Views) -> None:
        self._database = database
        self._feed = feed
        self._views = views

    def scripts(self, targets: Sequence[Target], role: str) -> list[Script]:
        """Give the SQL that makes the outbox and the triggers; changes nothing.

        Args:
            targets: What to listen to, each table once.
            role: The daemon's.

        Raises:
            ConfigError: A table or column is missing, or unfit.
            PermissionDeniedError: This role may not put triggers on a table.
            SchemaMismatchError: The views are missing.
        """
        self._views.check()
        made = [script("capture/outbox.sql", role=sql.Identifier(role))]
        seen: set[str] = set()
        for target in targets:
            places = self._places(target)
            names = {place.name.as_string() for place in places}
            if names & seen:
                raise ConfigError(
                    f"--listen names {target.shown} twice, or a part of it",
                    "Name each table once, a partitioned one as a whole.",
                )
            seen |= names
            self._check_key(target, places[0])
            made += self._of_target(target.key, places)
        return made

    def _places(self, target: Target) -> list[Place]:
        """Find the table and its partitions."""
        rows = self._database.all(
            named("tables_of"), schema=target.schema, table=target.table
        )
        if not rows:
            raise ConfigError(
                f"--listen: there is no table {target.shown} in this database",
                "Names are taken as they are: mind the case, and name the schema.",
            )
        places = [
            Place(*cast("tuple[str, str, str, str, bool, bool]", r)) for r in rows
        ]
        for place in places:
            _check_place(place, target)
        return places

    def _check_key(self, target: Target, place: Place) -> None:
        """Refuse a key column that is missing or holds something else than keys."""
        table = place.name.as_string()
        columns = {c.name: c.type for c in self._views.columns(table)}
        kind = columns.get(target.key)
        if kind is None:
            raise ConfigError(
                f"--listen: the table {target.shown} has no column {target.key}",
                f"It has {', '.join(sorted(columns))}.",
            )
        view = self._views.confirmed
        wanted = {c.name: c.type for c in self._views.columns(view)}["order_key"]
        if kind != wanted and not any(kind in f and wanted in f for f in _FAMILIES):
            raise ConfigError(
                f"--listen: {target.shown}.{target.key} is {kind}, but the order_key "
                f"of {view} is {wanted}",
                "Name the column that holds the same key as the views.",
            )

    def _of_target(self, key: str, places: Sequence[Place]) -> list[Script]:
        top = places[0]
        digest = sha256(repr((self._feed, top.schema, top.table)).encode()).hexdigest()
        function = short_name(f"listen_{digest[:8]}_{top.table}")
        names = {
            "function": sql.Identifier("syncd", function),
            "feed": sql.Literal(self._feed),
        }
        made = [
            script(
                "capture/listen_function.sql",
                **names,
                key=sql.Identifier(key),
                channel=sql.Literal(channel_of(self._feed)),
                slot=sql.Literal(2 * (crc32(self._feed.encode()) >> 2)),
            )
        ]
        on = {
            "on_insert": sql.Identifier(short_name(f"syncd_insert_{self._feed}")),
            "on_update": sql.Identifier(short_name(f"syncd_update_{self._feed}")),
        }
        for place in places:
            made.append(
                script(
                    "capture/listen_triggers.sql",
                    **names,
                    **on,
                    table=place.name,
                    key=sql.Literal(key),
                )
            )
            if place.is_owned:
                made.append(script("capture/listen_always.sql", **on, table=place.name))
        return made


def _check_place(place: Place, target: Target) -> None:
    """Refuse what cannot have such triggers, or would break the shop with them."""
    which = f"{place.schema}.{place.table}"
    unfit = _UNFIT.get(place.kind) or (
        "is temporary" if place.persistence == "t" else ""
    )
    if unfit:
        below = "" if place.table == target.table else f", below {target.shown}"
        raise ConfigError(
            f"--listen: {which} {unfit}{below}: such triggers are not possible there",
            'Name an ordinary table, or leave capture = "poll".',
        )
    if not place.may_trigger:
        raise PermissionDeniedError(
            f"--listen: this role may not put triggers on {which}",
            f"GRANT TRIGGER ON {which} to it, or install as the owner with --as.",
        )
