"""What `syncd check` finds about the daemon's role: enough rights, and no more."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

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
    lacking = [f"{right} on {name}" for name, right in named_rights(database)]
    if lacking:
        message = (
            f"may not write the ledger (permission denied): it lacks {listed(lacking)}"
        )
        yield Finding("role.missing", "role", message)


class LackingRight(NamedTuple):
    """A table of the ledger, and what the role may not do with it."""

    name: str
    privilege: str


def named_rights(database: Database) -> Sequence[LackingRight]:
    """List table and right for each that is missing in the ledger."""
    return database.rows(LackingRight, query("ledger_rights"))


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

    @property
    def attributes(self) -> Mapping[str, bool]:
        """By its name, whether the role has an attribute."""
        return {
            "BYPASSRLS": self.bypasses_rls,
            "REPLICATION": self.replicates,
            "CREATEROLE": self.creates_roles,
            "CREATEDB": self.creates_databases,
        }


def check_excess(database: Database, settings: Settings) -> Iterator[Finding]:
    """Check for what the role may do and need not: it is what a thief would get."""
    role = database.row(_Role, query("role_facts"))
    if role.is_superuser:
        yield Finding("role.superuser", "role", "is a superuser")
        return
    found = [
        *_attributes(role, settings),
        *_groups(role.groups),
        *_creation(role.schemas),
        *_tables(database, owns_database=role.owns_database),
    ]
    yield from found
    if not found:
        message = "has no privileges that syncd does not need"
        yield Finding("role.least", "role", message)


def _attributes(role: _Role, settings: Settings) -> Iterator[Finding]:
    for name, has in role.attributes.items():
        if has and not (name == "REPLICATION" and settings.source.capture == "wal"):
            step = f"ALTER ROLE … NO{name};"
            yield Finding(
                "role.powerful", "role", f"has {name}, which syncd does not need", step
            )


def _groups(groups: Sequence[str]) -> Iterator[Finding]:
    for group in groups:
        message, step = f"is a member of {group}", f"REVOKE {group} FROM the role;"
        yield Finding("role.powerful", "role", message, step)


def _creation(schemas: Sequence[str]) -> Iterator[Finding]:
    if schemas:
        message = f"may create objects in schema {listed(schemas)}"
        step = f"REVOKE CREATE ON SCHEMA {listed(schemas)} FROM PUBLIC, and the role;"
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
