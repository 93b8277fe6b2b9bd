"""A feed's publication: the tables that are followed, and the harm it must never do.

The invariant: the shop's UPDATEs go on working. PostgreSQL refuses them on a published
table whose rows it cannot name, or whose naming columns do not travel.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import msgspec

from syncd.capture.slot import slot_name
from syncd.database import Database, named
from syncd.errors import ConfigError, SchemaMismatchError, SyncdError

_NAME = r'(?:"[^"]+"|[A-Za-z_][\w$]*)'
_TABLE = re.compile(rf"({_NAME}(?:\.{_NAME})?):({_NAME})")
_ALIKE = (
    {"smallint", "integer", "bigint"},
    {"text", "character varying"},
)
"""Types whose values have the same text, so that a key of one is found as the other."""

CHOOSE = "Name a table and its key column, as in --wal public.orders:id."
"""What to do when a table cannot be found."""

_CAPITALS = """Capitals want double quotes, as in '"Order":id'."""

AGAIN = "Run `syncd install --wal …` with every table that is to be followed."
"""What to do when the tables are not those of the installation any more."""

_KEYS = 'Give it a primary key, or choose capture = "poll" or "listen".'


@dataclass(frozen=True, slots=True)
class Identity:
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

    def harm(self, published: Sequence[str] | None) -> str | None:
        """Tell why UPDATEs would fail if these columns were published; None: all work.

        Args:
            published: None for every column.
        """
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
    """A table to follow, as the catalogue knows it.

    Attributes:
        oid: Stays when it is renamed.
        key: The column that holds the order's key.
        columns: Those that travel; None for whole rows.
    """

    oid: int
    schema: str
    name: str
    key: str
    columns: Sequence[str] | None

    @property
    def is_whole(self) -> bool:
        """Whether whole rows travel, personal data and all."""
        return self.columns is None

    @property
    def title(self) -> str:
        """Its name for people."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Harm:
    """A table on which the shop's UPDATEs fail, or that is not followed any more."""

    table: str
    reason: str
    cure: str


class Publication:
    """Looks at a feed's publication, and at what may be published."""

    def __init__(self, database: Database, feed: str) -> None:
        self._database = database
        self.name = slot_name(feed)

    # Before

    def choose(
        self, wanted: str, view: str, *, has_column_lists: bool
    ) -> tuple[Table, str]:
        """Find a table that can be followed without harm.

        Args:
            wanted: TABLE:KEYCOLUMN, as SQL would write the names.
            view: That with the orders' keys.
            has_column_lists: Whether the server can publish some columns only.

        Returns:
            The table, and why whole rows travel ("" when they do not).

        Raises:
            ConfigError: It cannot; the shop's writes would fail, or orders be missed.
        """
        found = _TABLE.fullmatch(wanted)
        if not found:
            raise ConfigError(f"{wanted!r} is not TABLE:KEYCOLUMN", CHOOSE)
        name, column = found[1], _unquoted(found[2])
        oid, schema, table, kind = self._look_up(name, column, view)
        identities = self.identities(oid)
        columns = {column}.union(*(i.columns for i in identities))
        whole = _why_whole(identities, has_column_lists=has_column_lists)
        chosen = Table(oid, schema, table, column, None if whole else sorted(columns))
        for identity in identities:
            if reason := identity.harm(chosen.columns):
                raise ConfigError(
                    f"{identity.table} {reason}: PostgreSQL would refuse its UPDATEs "
                    "once it is published",
                    _KEYS,
                )
        assert kind in "rp"  # noqa: S101  # _look_up refused the rest
        return chosen, whole

    def _look_up(self, name: str, column: str, view: str) -> tuple[int, str, str, str]:
        rows = self._database.all(named("find_table"), table=name, column=column)
        if not rows:
            raise ConfigError(f"there is no table {name}", f"{CHOOSE} {_CAPITALS}")
        oid, schema, table, kind, persistence, has_heirs, key_type = rows[0]
        if fault := _unfit(str(kind), str(persistence), has_heirs=bool(has_heirs)):
            raise ConfigError(f"{name} {fault}", CHOOSE)
        if key_type is None:
            raise ConfigError(f"{name} has no column {column}", CHOOSE)
        self._compare(f"{name}.{column}", str(key_type), view)
        return cast("int", oid), str(schema), str(table), str(kind)

    def _compare(self, column: str, key_type: str, view: str) -> None:
        rows = self._database.all(named("key_type"), view=view)
        if not rows:
            raise SchemaMismatchError(
                f"the view {view} with a column order_key is missing",
                "Create the two views (sql/shops/template.sql) first.",
            )
        ((view_type,),) = rows
        if not are_alike(key_type, str(view_type)):
            raise ConfigError(
                f"{column} is {key_type}, but the orders' key is {view_type} in {view}",
                "Name the column that holds the order's key.",
            )

    def identities(self, oid: int) -> list[Identity]:
        """Read how a table's rows are named, and those of its partitions."""
        rows = self._database.all(named("identities"), table=oid)
        return [Identity(*row) for row in rows]  # type: ignore[arg-type]

    # After

    def keys(self) -> Mapping[int, str]:
        """Read the key column of each table that is followed, by the table's oid.

        Raises:
            SyncdError: The publication is missing, or not of our making.
        """
        rows = self._database.all(named("publication"), publication=self.name)
        if not rows:
            raise self._unfit("is missing")
        everything, inserts, updates, via_root, note = rows[0]
        if everything or not (inserts and updates and via_root):
            raise self._unfit("is not as syncd made it")
        return self._noted(note)

    def _noted(self, note: object) -> Mapping[int, str]:
        try:
            return msgspec.json.decode(str(note), type=dict[int, str])
        except msgspec.DecodeError as error:
            raise self._unfit("has lost its note of the key columns") from error

    def _unfit(self, fault: str) -> SyncdError:
        return ConfigError(
            f"the publication {self.name} {fault}",
            "Run `syncd install --wal …` again; if the daemon ran meanwhile, with "
            "--recreate-slot, then `syncd reconcile`.",
        )

    def tables(self) -> list[tuple[Table, bool]]:
        """List the published tables, and whether somebody gave them a row filter."""
        keys = self.keys()
        rows = self._database.all(named("published"), publication=self.name)
        return [
            (_table(row, keys.get(cast("int", row[0]), "")), bool(row[4]))
            for row in rows
        ]

    def harms(self) -> Iterator[Harm]:
        """Find the tables on which the shop's UPDATEs fail because they are published.

        PostgreSQL lets their owner change them any time; only the cure is ours to tell.
        Followed tables that are not published any more are named as well.
        """
        tables = self.tables()
        for oid in set(self.keys()) - {table.oid for table, _ in tables}:
            yield Harm(f"oid {oid}", f"table {oid} is not published any more", AGAIN)
        for table, has_filter in tables:
            reasons = [
                f"{identity.table} {reason}"
                for identity in self.identities(table.oid)
                if (reason := identity.harm(table.columns))
            ]
            if has_filter:
                reasons.append(f"{table.title} has a row filter")
            for reason in reasons:
                cure = f"ALTER PUBLICATION {self.name} DROP TABLE {_quoted(table)};"
                yield Harm(table.title, reason, cure)


def are_alike(one: str, other: str) -> bool:
    """Tell whether keys of two types have the same text."""
    return one == other or any({one, other} <= alike for alike in _ALIKE)


def _table(row: tuple[object, ...], key: str) -> Table:
    oid, schema, name, columns = row[:4]
    return Table(
        cast("int", oid), str(schema), str(name), key, cast("list[str] | None", columns)
    )


def _why_whole(identities: Sequence[Identity], *, has_column_lists: bool) -> str:
    if not has_column_lists:
        return "PostgreSQL before 15 publishes whole rows"
    full = [i.table for i in identities if i.kind == "f" and not i.is_partitioned]
    return f"{full[0]} has REPLICA IDENTITY FULL" if full else ""


def _unfit(kind: str, persistence: str, *, has_heirs: bool) -> str | None:
    if kind not in {"r", "p"}:
        return "is no table"
    if persistence != "p":
        return "is temporary or unlogged: its changes are not in the WAL"
    if has_heirs:
        return "has tables that inherit from it: name each of them instead"
    return None


def _unquoted(name: str) -> str:
    return name[1:-1] if name.startswith('"') else name.lower()


def _quoted(table: Table) -> str:
    return ".".join(
        name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else f'"{name}"'
        for name in (table.schema, table.name)
    )
