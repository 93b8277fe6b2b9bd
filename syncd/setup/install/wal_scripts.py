"""The SQL that makes publication and slot, and drops them."""

from collections.abc import Sequence

import msgspec
from psycopg import sql

from syncd.capture.wal.publication import Table
from syncd.capture.wal.slot import (
    Server,
)
from syncd.postgres.database import Database
from syncd.setup.install.install import may_replicate
from syncd.setup.install.scripts import SqlScript, script


def role_scripts(source: Database, role: str) -> list[SqlScript]:
    """Return the right to read a slot, and how to take it back; nothing if there."""
    if may_replicate(source, role):
        return []
    name = sql.Identifier(role)
    return [
        script("capture/wal_role.sql", role=name),
        script("capture/wal_role_undo.sql", role=name),
    ]


def publishing(name: str, tables: Sequence[Table]) -> SqlScript:
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


def publication_script(file: str, name: str) -> SqlScript:
    """Compose a script about the publication."""
    return script(f"capture/{file}", publication=sql.Identifier(name))


def slot_script(name: str, server: Server) -> SqlScript:
    """Compose what makes the slot."""
    failover = sql.SQL(", false, false, true" if server.has_failover else "")
    return script("capture/wal_slot.sql", slot=sql.Literal(name), failover=failover)


def slot_drop(name: str) -> SqlScript:
    """Compose what drops the slot."""
    return script("capture/wal_slot_drop.sql", slot=sql.Literal(name))
