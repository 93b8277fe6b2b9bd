"""The triggers of `capture = "listen"` on the shop's tables: their SQL, and its limits.

They are made for tables and columns that were found in the catalogue, never for what
somebody typed.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from zlib import crc32

from psycopg import sql

from syncd.capture.listen.outbox import channel_of, short_name
from syncd.core.errors import ConfigError, PermissionDeniedError
from syncd.core.target import EXAMPLE, Target
from syncd.postgres.database import Database
from syncd.postgres.statements import query
from syncd.setup.install.install import OUTBOX, Capture, Grantees, lacks
from syncd.setup.install.keys import refuse_other_keys
from syncd.setup.install.scripts import SqlScript, find_table, script
from syncd.source.views import Views

_UNFIT = {"v": "is a view", "m": "is a materialized view", "f": "is a foreign table"}
_GRANTS = "capture/outbox_grants.sql"
_BODY = re.compile(r"\$listen\$(.*)\$listen\$", re.DOTALL)
_ON_INSERT, _ON_UPDATE = 4, 16
"""PostgreSQL's `tgtype` of a statement trigger after INSERT, and after UPDATE."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """A trigger: what it calls, the statements that it fires for, and when."""

    name: str
    function: str
    type: int
    fires: str


@dataclass(frozen=True, slots=True)
class Place:
    """A table that gets triggers: the named one, or a partition of it.

    Attributes:
        kind: PostgreSQL's `relkind`.
        persistence: PostgreSQL's `relpersistence`.
        may_trigger: Whether this role may put triggers on it.
        is_owned: Whether this role may also set when they fire.
    """

    oid: int
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

    def missing(self, targets: Sequence[Target], names: Grantees) -> Capture:
        """Find what is missing of the outbox and the triggers; change nothing.

        Args:
            targets: What to listen to, each table once.
            names: The daemon's role and the views.

        Raises:
            ConfigError: A table or column is missing, or unfit.
            PermissionDeniedError: This role may not put triggers on a table.
            SchemaMismatchError: The views are missing.
        """
        self._views.check()
        attached: list[SqlScript] = []
        functions: list[SqlScript] = []
        seen: set[str] = set()
        for target in targets:
            places = self._places(target)
            places_named = {place.name.as_string() for place in places}
            if places_named & seen:
                raise ConfigError(
                    f"--listen names {target.table} twice, or a part of it",
                    "Name each table once, a partitioned one as a whole.",
                )
            seen |= places_named
            refuse_other_keys(self._database, names, target, places[0].oid)
            functions += self._function(target.key, places[0])
            attached += self._attached(target.key, places)
        sweep = [script("capture/listen_sweep.sql")] if functions else []
        return Capture([*self._outbox(names.role), *functions], [*attached, *sweep])

    def _outbox(self, role: str) -> Iterator[SqlScript]:
        """Find what is missing of the outbox; one whose faults are counted is reset."""
        is_there = self._database.value(bool, query("outbox_rights"))
        if not is_there:
            yield script(OUTBOX)
            yield script("defaults.sql")
        if not is_there or lacks(self._database, _GRANTS, role):
            yield script(_GRANTS, role=sql.Identifier(role))
        if is_there and self._database.value(int, query("faults")):
            yield script("capture/outbox_reset.sql")

    def _places(self, target: Target) -> list[Place]:
        """Find the table and its partitions."""
        oid = find_table(self._database, target.table)
        places = self._database.rows(Place, query("tables_of"), table=oid)
        if not places:
            raise ConfigError(
                f"--listen: there is no table {target.table} in this database", EXAMPLE
            )
        for place in places:
            _check_place(place, target, is_below=place is not places[0])
        return places

    def _called(self, key: str, top: Place) -> tuple[str, SqlScript]:
        """Compose a table's function; its name changes with what it does."""
        values = {
            "feed": sql.Literal(self._feed),
            "key": sql.Identifier(key),
            "channel": sql.Literal(channel_of(self._feed)),
            "slot": sql.Literal(2 * (crc32(self._feed.encode()) >> 2)),
        }

        def made(name: str) -> SqlScript:
            function = sql.Identifier("syncd", name)
            return script("capture/listen_function.sql", function=function, **values)

        what = repr((self._feed, top.schema, top.table)), made("").statement.text
        digest = sha256(repr(what).encode()).hexdigest()
        name = short_name(f"listen_{digest[:8]}_{top.table}")
        return name, made(name)

    def _function(self, key: str, top: Place) -> Iterator[SqlScript]:
        name, made = self._called(key, top)
        body = _BODY.search(made.statement.text.decode())
        standing = self._database.mapping(str, str, query("standing_functions"))
        if body is None or standing.get(name) != body[1]:
            yield made

    def _attached(self, key: str, places: Sequence[Place]) -> Iterator[SqlScript]:
        """Find the triggers that are missing; those that stand are not touched."""
        function, _ = self._called(key, places[0])
        on_insert = short_name(f"syncd_insert_{self._feed}")
        on_update = short_name(f"syncd_update_{self._feed}")
        on = {"on_insert": sql.Identifier(on_insert),
              "on_update": sql.Identifier(on_update)}  # fmt: skip
        wanted = {(on_insert, function, _ON_INSERT), (on_update, function, _ON_UPDATE)}
        for place in places:
            triggers = self._database.rows(
                _Standing, query("standing_triggers"), table=place.oid
            )
            standing = {(t.name, t.function, t.type): t.fires for t in triggers}
            stands = wanted <= set(standing)
            if not stands:
                yield script(
                    "capture/listen_triggers.sql",
                    **on,
                    table=place.name,
                    function=sql.Identifier("syncd", function),
                    feed=sql.Literal(self._feed),
                    key=sql.Literal(key),
                )
            always = all(standing.get(each) == "A" for each in wanted)
            if place.is_owned and not (stands and always):
                yield script("capture/listen_always.sql", **on, table=place.name)


def _check_place(place: Place, target: Target, *, is_below: bool) -> None:
    """Refuse what cannot have such triggers, or would break the shop with them."""
    which = f"{place.schema}.{place.table}"
    unfit = _UNFIT.get(place.kind) or (
        "is temporary" if place.persistence == "t" else ""
    )
    if unfit:
        below = f", below {target.table}" if is_below else ""
        raise ConfigError(
            f"--listen: {which} {unfit}{below}: such triggers are not possible there",
            'Name an ordinary table, or leave capture = "poll".',
        )
    if not place.may_trigger:
        raise PermissionDeniedError(
            f"--listen: this role may not put triggers on {which}",
            f"GRANT TRIGGER ON {which} to it, or install as the owner with --as.",
        )
