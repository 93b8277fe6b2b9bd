"""What `syncd check` finds about the daemon's role: enough rights, and no more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from syncd.config.settings import Settings
from syncd.diagnostics.check.finding import Finding
from syncd.postgres.database import Database
from syncd.postgres.statements import query


def check_needs(database: Database, settings: Settings) -> Iterator[Finding]:
    """Check whether the role may read both views."""
    source = settings.source
    views = [source.confirmed_view, source.purchases_view]
    lacking = database.mapping(str, str, query("view_rights"), views=views)
    for view, right in lacking.items():
        message = f"may not read {view} (permission denied): it lacks {right}"
        yield Finding("role.missing", "role", message)


def check_ledger_rights(database: Database) -> Iterator[Finding]:
    """Check whether the role may keep the ledger."""
    rights = database.pairs(str, str, query("ledger_rights"))
    if lacking := [f"{right} on {name}" for name, right in rights]:
        lacks = f"it lacks {listed(lacking)}"
        message = f"may not write the ledger (permission denied): {lacks}"
        yield Finding("role.missing", "role", message)


@dataclass(frozen=True, slots=True)
class _Role:
    """What the role may do beyond tables."""

    is_superuser: bool
    bypasses_rls: bool
    replicates: bool
    creates_roles: bool
    creates_databases: bool
    groups: Sequence[str]
    schemas: Sequence[str]
    owns_database: bool


def check_excess(database: Database, settings: Settings) -> Iterator[Finding]:
    """Check for what the role may do and need not: it is what a thief would get."""
    role = database.row(_Role, query("role_facts"))
    if role.is_superuser:
        yield Finding("role.superuser", "role", "is a superuser")
        return
    found = [
        *_privileges(role, settings),
        *_tables(database, owns_database=role.owns_database),
    ]
    yield from found
    if not found:
        message = "has no privileges that syncd does not need"
        yield Finding("role.least", "role", message)


def _privileges(role: _Role, settings: Settings) -> Iterator[Finding]:
    excess = {
        "BYPASSRLS": role.bypasses_rls,
        "REPLICATION": role.replicates and settings.source.capture != "wal",
        "CREATEROLE": role.creates_roles,
        "CREATEDB": role.creates_databases,
    }
    for name in (name for name, has in excess.items() if has):
        message = f"has {name}, which syncd does not need"
        yield Finding("role.powerful", "role", message, f"ALTER ROLE … NO{name};")
    for group in role.groups:
        message, step = f"is a member of {group}", f"REVOKE {group} FROM the role;"
        yield Finding("role.powerful", "role", message, step)
    if schemas := listed(role.schemas):
        message = f"may create objects in schema {schemas}"
        step = f"REVOKE CREATE ON SCHEMA {schemas} FROM PUBLIC, and the role;"
        yield Finding("role.creates", "role", message, step)


def _tables(database: Database, *, owns_database: bool) -> Iterator[Finding]:
    excessive = database.mapping(str, bool, query("excessive"))
    owned = [table for table, is_owner in excessive.items() if is_owner]
    written = [table for table, is_owner in excessive.items() if not is_owner]
    if owns_database:
        yield Finding("role.owner", "role", "owns this database")
    if owned:
        yield Finding("role.owner", "role", f"owns {listed(owned)}")
    if written:
        yield Finding("role.writes", "role", f"may change {listed(written)}")


def listed(names: Sequence[str], most: int = 3) -> str:
    """Name the first few, and count the others."""
    rest = len(names) - most
    shown = ", ".join(names[:most])
    return f"{shown} and {rest} more" if rest > 0 else shown
