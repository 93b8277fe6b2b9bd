"""What `syncd check` finds about the daemon's role: enough rights, and no more."""

from collections.abc import Iterator, Sequence
from typing import cast

from syncd.config.settings import Settings
from syncd.diagnostics.check.finding import Finding
from syncd.postgres.database import Database
from syncd.postgres.statements import query

SHOWN = 3
"""Names that a line lists before it counts the rest."""


def look_at_needs(database: Database, settings: Settings) -> Iterator[Finding]:
    """Check whether the role may read both views."""
    source = settings.source
    rows = database.all(
        query("view_rights"), views=[source.confirmed_view, source.purchases_view]
    )
    for view, right in rows:
        message = f"may not read {view} (permission denied): it lacks {right}"
        yield Finding("role.missing", "role", message)


def look_at_ledger_rights(database: Database) -> Iterator[Finding]:
    """Check whether the role may keep the ledger."""
    lacking = [f"{right} on {name}" for name, right in named_rights(database)]
    if lacking:
        message = (
            f"may not keep the ledger (permission denied): it lacks {listed(lacking)}"
        )
        yield Finding("role.missing", "role", message)


def named_rights(database: Database) -> Sequence[tuple[object, ...]]:
    """List table and right for each that is missing in the ledger."""
    return database.all(query("ledger_rights"))


def look_at_excess(database: Database, settings: Settings) -> Iterator[Finding]:
    """Check for what the role may do and need not: it is what a thief would get."""
    super_, *attributes, groups, schemas, owns_database = database.one(
        query("role_facts")
    )
    if super_:
        yield Finding("role.superuser", "role", "is a superuser")
        return
    found = [
        *_attributes(cast("list[bool]", attributes), settings),
        *_groups(cast("list[str]", groups)),
        *_creation(cast("list[str]", schemas)),
        *_tables(database, owns_database=bool(owns_database)),
    ]
    yield from found
    if not found:
        message = "may do nothing that syncd does not need"
        yield Finding("role.least", "role", message)


def _attributes(held: Sequence[bool], settings: Settings) -> Iterator[Finding]:
    names = ("BYPASSRLS", "REPLICATION", "CREATEROLE", "CREATEDB")
    for name, has in zip(names, held, strict=True):
        if has and not (name == "REPLICATION" and settings.source.capture == "wal"):
            step = f"ALTER ROLE … NO{name};"
            yield Finding("role.powerful", "role", f"has {name}, unneeded", step)


def _groups(groups: Sequence[str]) -> Iterator[Finding]:
    for group in groups:
        message, step = f"is a member of {group}", f"REVOKE {group} FROM the role;"
        yield Finding("role.powerful", "role", message, step)


def _creation(schemas: Sequence[str]) -> Iterator[Finding]:
    if schemas:
        message = f"may create in schema {listed(schemas)}"
        step = f"REVOKE CREATE ON SCHEMA {listed(schemas)} FROM PUBLIC, and the role;"
        yield Finding("role.creates", "role", message, step)


def _tables(database: Database, *, owns_database: bool) -> Iterator[Finding]:
    rows = database.all(query("excessive"))
    owned = [str(table) for table, is_owner in rows if is_owner]
    written = [str(table) for table, is_owner in rows if not is_owner]
    if owns_database:
        yield Finding("role.owner", "role", "owns this database")
    if owned:
        yield Finding("role.owner", "role", f"owns {listed(owned)}")
    if written:
        yield Finding("role.writes", "role", f"may change {listed(written)}")


def listed(names: Sequence[str]) -> str:
    """Name the first few, and count the others."""
    rest = len(names) - SHOWN
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {rest} more" if rest > 0 else shown
