"""Publishes the tables that `capture = "wal"` follows: which, and with what SQL."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from psycopg import sql

from syncd.capture.wal.publication import Publication, Table
from syncd.core.errors import ConfigError
from syncd.core.target import Target
from syncd.postgres.database import Database
from syncd.postgres.statements import query
from syncd.setup.install.install import Grantees, may_replicate
from syncd.setup.install.keys import refuse_other_keys
from syncd.setup.install.scripts import SqlScript, find_table, script


@dataclass(frozen=True, slots=True)
class Publishing:
    """What publishes some tables.

    Attributes:
        scripts: For the role, then for the publication, as far as it is missing.
        undo: Takes them back; a publication that was there before stays.
        remarks: On each table whose whole rows are published, a sentence.
    """

    scripts: Sequence[SqlScript]
    undo: Sequence[SqlScript]
    remarks: Sequence[str]

    @classmethod
    def of(
        cls,
        source: Database,
        publication: Publication,
        names: Grantees,
        wanted: Sequence[Target],
    ) -> "Publishing":
        """Find the tables; change nothing.

        Raises:
            SyncdError: One of them cannot be published.
        """
        tables, remarks = _choose(source, publication, names, wanted)
        exists = is_published(source, publication.name)
        scripts, undo = [], []
        if not may_replicate(source, names.role):
            role = sql.Identifier(names.role)
            scripts.append(script("capture/wal_role.sql", role=role))
            undo.append(script("capture/wal_role_undo.sql", role=role))
        if not (exists and publication.is_of(tables)):
            scripts.append(_publish(publication.name, tables))
        if not exists:
            undo.append(unpublish(publication.name))
        return cls(scripts, undo, remarks)


def is_published(source: Database, name: str) -> bool:
    """Return whether there is a publication of this name."""
    return source.run(query("publication"), publication=name) > 0


def unpublish(name: str) -> SqlScript:
    """Compose what drops the publication."""
    return script("capture/wal_undo.sql", publication=sql.Identifier(name))


def _choose(
    source: Database,
    publication: Publication,
    names: Grantees,
    wanted: Sequence[Target],
) -> tuple[list[Table], list[str]]:
    chosen = [
        publication.choose(each, find_table(source, each.table), names.confirmed)
        for each in wanted
    ]
    tables = [table for table, _ in chosen]
    _refuse_twice(tables)
    for target, table in zip(wanted, tables, strict=True):
        refuse_other_keys(source, names, target, table.oid)
    return tables, [
        f"{table.title}: whole rows are published, {why}"
        for table, why in chosen
        if why
    ]


def _refuse_twice(tables: Sequence[Table]) -> None:
    for place, table in enumerate(tables):
        if table.oid in {other.oid for other in tables[:place]}:
            raise ConfigError(f"{table.title} is named twice", "Name each table once.")


def _publish(name: str, tables: Sequence[Table]) -> SqlScript:
    """Compose what publishes the tables, with their key columns as its note."""
    note = msgspec.json.encode({str(table.oid): table.key for table in tables})
    return script(
        "capture/wal.sql",
        publication=sql.Identifier(name),
        tables=sql.SQL(", ").join(map(_published, tables)),
        note=sql.Literal(note.decode()),
    )


def _published(table: Table) -> sql.Composable:
    name = sql.SQL("ONLY ") + sql.Identifier(table.schema, table.name)
    if table.columns is None:
        return name
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    return sql.SQL("{} ({})").format(name, columns)
