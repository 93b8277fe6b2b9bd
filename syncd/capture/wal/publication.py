"""A feed's publication: the tables that are followed, and the harm it must never do.

The invariant: the shop's UPDATEs keep working. PostgreSQL refuses them on a published
table without a replica identity, or whose identity columns are not published.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from syncd.capture.keys import KeyTable, key_table
from syncd.capture.wal.slot import slot_name
from syncd.core.errors import ConfigError, SyncdError
from syncd.core.target import Target
from syncd.postgres.database import Database
from syncd.postgres.statements import query

CHOOSE = "Name a table and its key column, as in --wal public.orders:id."
"""What to do when a table cannot be found."""

AGAIN = "Run `syncd install --wal …` with every table that is to be followed."
"""What to do when the tables are not those of the installation any more."""

_KEYS = 'Give it a primary key, or choose capture = "poll" or "listen".'


@dataclass(frozen=True, slots=True)
class ReplicaIdentity:
    """How PostgreSQL names a table's rows when they are updated.

    Attributes:
        table: Its name, quoted where it must be; a partition has one of its own.
        is_partitioned: Whether it holds no rows itself, only its partitions do.
        kind: d default (the primary key), i an index, f the full row, n nothing.
        columns: Of the key or the index; empty when there is none.
    """

    table: str
    is_partitioned: bool
    kind: str
    columns: Sequence[str]

    def problem(self, published: Sequence[str] | None) -> str | None:
        """Return why UPDATEs would fail with these columns (None: all) published."""
        if self.kind == "n":
            return "has REPLICA IDENTITY NOTHING"
        if self.is_partitioned:
            return None if self.columns else "is partitioned and has no primary key"
        if self.kind == "f":
            return "has REPLICA IDENTITY FULL" if published is not None else None
        if not self.columns:
            return "has no primary key that names its rows"
        if published is not None and not set(self.columns) <= set(published):
            return "is named by other columns than before"
        return None


@dataclass(frozen=True, slots=True)
class Table:
    """A table to follow, as in the catalogue.

    Attributes:
        oid: Stays when it is renamed.
        key: The column that holds the order's key.
        columns: Those published; None for whole rows.
    """

    oid: int
    schema: str
    name: str
    key: str
    columns: Sequence[str] | None

    @property
    def is_whole(self) -> bool:
        """Whether whole rows are published, including personal data."""
        return self.columns is None

    @property
    def title(self) -> str:
        """Its name for people."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class PublicationProblem:
    """A table on which the shop's UPDATEs fail, or that is not followed any more."""

    table: str
    reason: str
    fix_sql: str


class Publication:
    """Checks a feed's publication, and what may be published."""

    def __init__(self, database: Database, feed: str) -> None:
        self._database = database
        self.name = slot_name(feed)

    # Before

    def choose(self, target: Target, oid: int | None, view: str) -> tuple[Table, str]:
        """Find a table that can be followed without harm.

        `oid` is that of the target's table, None: there is none; `view` lists the
        orders.

        Returns:
            The table, and why whole rows are published ("" when they are not).

        Raises:
            ConfigError: It cannot; the shop's writes would fail, or orders be missed.
        """
        table = key_table(self._database, target, oid, view)
        if fault := _why_unusable(table):
            raise ConfigError(f"{target.table} {fault}", CHOOSE)
        identities = self.identities(table.oid)
        columns = {target.key}.union(*(i.columns for i in identities))
        whole = _why_whole(identities)
        chosen = Table(
            table.oid,
            table.schema,
            table.name,
            target.key,
            None if whole else sorted(columns),
        )
        for identity in identities:
            if reason := identity.problem(chosen.columns):
                raise ConfigError(
                    f"{identity.table} {reason}: PostgreSQL would refuse its UPDATEs "
                    "once it is published",
                    _KEYS,
                )
        return chosen, whole

    def identities(self, oid: int) -> list[ReplicaIdentity]:
        """Read how a table's rows are named, and those of its partitions."""
        return self._database.rows(ReplicaIdentity, query("identities"), table=oid)

    # After

    def keys(self) -> Mapping[int, str]:
        """Read the key column of each table that is followed, by the table's oid.

        Raises:
            SyncdError: The publication is missing, or not of our making.
        """
        found = self._database.find(_Found, query("publication"), publication=self.name)
        if found is None:
            raise self._misconfigured("is missing")
        if not found.is_ours:
            raise self._misconfigured("is not as syncd made it")
        return self._noted(found.note)

    def _noted(self, note: str | None) -> Mapping[int, str]:
        try:
            return msgspec.json.decode(str(note), type=dict[int, str])
        except msgspec.DecodeError as error:
            raise self._misconfigured("has lost its note of the key columns") from error

    def _misconfigured(self, fault: str) -> SyncdError:
        return ConfigError(
            f"the publication {self.name} {fault}",
            "Run `syncd install --wal …` again; if the daemon ran meanwhile, with "
            "--recreate-slot, then `syncd reconcile`.",
        )

    def is_of(self, tables: Sequence[Table]) -> bool:
        """Return whether it is as syncd makes it, for exactly these tables."""
        try:
            found = self.tables()
        except SyncdError:
            return False
        return not any(has_filter for _, has_filter in found) and _as_sets(
            table for table, _ in found
        ) == _as_sets(tables)

    def tables(self) -> list[tuple[Table, bool]]:
        """List the published tables, and whether they have a row filter."""
        keys = self.keys()
        published = self._database.rows(
            _Published, query("published"), publication=self.name
        )
        return [
            (each.table(keys.get(each.oid, "")), each.has_filter) for each in published
        ]

    def problems(self) -> Iterator[PublicationProblem]:
        """Find the tables on which the shop's UPDATEs fail because they are published.

        PostgreSQL lets their owner change them any time; syncd can only report the fix.
        Followed tables that are not published any more are named as well.
        """
        tables = self.tables()
        for oid in set(self.keys()) - {table.oid for table, _ in tables}:
            yield PublicationProblem(
                f"oid {oid}", f"table {oid} is not published any more", AGAIN
            )
        for table, has_filter in tables:
            reasons = [
                f"{identity.table} {reason}"
                for identity in self.identities(table.oid)
                if (reason := identity.problem(table.columns))
            ]
            if has_filter:
                reasons.append(f"{table.title} has a row filter")
            for reason in reasons:
                fix_sql = f"ALTER PUBLICATION {self.name} DROP TABLE {_quoted(table)};"
                yield PublicationProblem(table.title, reason, fix_sql)


@dataclass(frozen=True, slots=True)
class _Found:
    is_ours: bool
    note: str | None


@dataclass(frozen=True, slots=True)
class _Published:
    oid: int
    schema: str
    name: str
    columns: Sequence[str] | None
    has_filter: bool

    def table(self, key: str) -> Table:
        return Table(self.oid, self.schema, self.name, key, self.columns)


def _as_sets(tables: Iterable[Table]) -> set[tuple[int, str, frozenset[str] | None]]:
    return {
        (t.oid, t.key, None if t.columns is None else frozenset(t.columns))
        for t in tables
    }


def _why_whole(identities: Sequence[ReplicaIdentity]) -> str:
    full = [i.table for i in identities if i.kind == "f" and not i.is_partitioned]
    return f"{full[0]} has REPLICA IDENTITY FULL" if full else ""


def _why_unusable(table: KeyTable) -> str | None:
    if table.kind not in {"r", "p"}:
        return "is no table"
    if table.persistence != "p":
        return "is temporary or unlogged: its changes are not in the WAL"
    if table.has_heirs:
        return "has tables that inherit from it: name each of them instead"
    return None


def _quoted(table: Table) -> str:
    return ".".join(
        name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else f'"{name}"'
        for name in (table.schema, table.name)
    )


def ledger_publications(database: Database) -> Mapping[str, str]:
    """Name the publications that take syncd's own tables to their subscribers.

    Returns:
        By name, the statements that leave syncd's tables out.
    """
    found = database.mapping(str, str, query("publications_of_all"))
    return found | database.mapping(str, str, query("publications_of_schema"))
