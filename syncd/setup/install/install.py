"""Putting the ledger into a database: what is missing, in one transaction.

The invariant: what already stands as it should is neither locked nor made again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg.conninfo import conninfo_to_dict

from syncd.core.errors import ConfigError
from syncd.postgres.database import Database
from syncd.postgres.statements import query
from syncd.setup.install.scripts import (
    SqlScript,
    ledger_grants,
    migrations,
    pinned_both,
    reading_grants,
    refuse_published,
    refuse_untrusted,
    rights,
    run,
    script,
    view_grants,
)
from syncd.source.connections import Connections

OUTBOX = "capture/outbox.sql"
"""The script that makes the outbox."""


@dataclass(frozen=True, slots=True)
class Grantees:
    """The names in an operator's database: the daemon's role and the two views.

    Attributes:
        ledger_role: The role in the ledger's database, if that is another one.
    """

    role: str
    confirmed: str
    purchases: str
    ledger_role: str | None = None


@dataclass(frozen=True, slots=True)
class Capture:
    """What a capture needs in the order database.

    Attributes:
        made: Run with the ledger: outbox, functions, publication.
        attached: Run at the very end, since it locks the shop's tables.
    """

    made: Sequence[SqlScript] = ()
    attached: Sequence[SqlScript] = ()


@dataclass(frozen=True, slots=True)
class Installation:
    """What is missing: scripts for the ledger's database, and for that of the orders.

    Attributes:
        migrations: Titles of those among them, in order.
        readers: Roles that are let read the ledger, so that they can dump it.
    """

    ledger: Sequence[SqlScript]
    source: Sequence[SqlScript]
    migrations: Sequence[str]
    readers: Sequence[str]


def role_of(dsn: str) -> str | None:
    """Return the role that a connection string names; None leaves it to libpq."""
    user = conninfo_to_dict(dsn).get("user")
    return str(user) if user else None


def look(
    connections: Connections,
    names: Grantees,
    capture: Capture = Capture(),  # immutable
    *,
    published: bool = False,
) -> Installation:
    """Find what is missing; in the open transaction, change nothing.

    Args:
        connections: As roles that may create the ledger, and grant on the views.
        names: For whom, and which views; granted on only where they exist.
        capture: What is to be made beside it in the order database.
        published: Whether replicas may be sent syncd's own tables.

    Raises:
        ConfigError: There is no such role, or it would harm the shop.
    """
    ledger, source = connections.ledger, connections.source
    may_replicate(source, names.role)
    may_replicate(ledger, names.ledger_role or names.role)
    for database in dict.fromkeys((ledger, source)):
        refuse_untrusted(database)
    new = migrations(installed(ledger))
    has_outbox = any(each.title == OUTBOX for each in capture.made)
    if not published:
        if new:
            refuse_published(ledger)
        if has_outbox and not (new and connections.is_one):
            refuse_published(source)
    kept = [*new, *_ledger_rights(ledger, names.ledger_role or names.role, made=new)]
    beside = [*_view_rights(source, names), *capture.made]
    if not connections.is_one:
        readers = _readers(ledger, made=bool(new))
        kept += map(reading_grants, readers)
    readers = _readers(source, made=has_outbox or (connections.is_one and bool(new)))
    beside += map(reading_grants, readers)
    return Installation(
        kept, [*beside, *capture.attached], [each.title for each in new], readers
    )


def install(
    connections: Connections, names: Grantees, capture: Capture = Capture()
) -> list[str]:
    """Bring the ledger up to date and grant what the daemon needs, or change nothing.

    Returns:
        Titles of the migrations that were run, in order.

    Raises:
        ConfigError: There is no such role, or it would harm the shop.
        PermissionDeniedError: A right is missing; nothing was changed.
        TableBusyError: The shop holds a lock; nothing was changed.
    """
    with pinned_both(connections):
        installation = look(connections, names, capture)
        carry_out(connections, installation)
    return list(installation.migrations)


def carry_out(connections: Connections, installation: Installation) -> None:
    """Run what is missing, in the open transaction; the shop's tables come last."""
    run(connections.ledger, installation.ledger)
    run(connections.source, installation.source)


def _ledger_rights(
    ledger: Database, role: str, *, made: Sequence[SqlScript]
) -> Iterator[SqlScript]:
    if made:
        yield script("defaults.sql")
    if made or lacks(ledger, "grants.sql", role):
        yield ledger_grants(role)


def lacks(database: Database, title: str, role: str) -> bool:
    """Return whether a role lacks a right that a file of grants in `sql/` gives.

    A right on what is not there is not lacking.
    """
    wanted = list(rights(title))
    lacking = database.run(
        query("lacking_rights"),
        relations=[relation for relation, _ in wanted],
        privileges=[privilege for _, privilege in wanted],
        role=role,
    )
    return lacking > 0 or database.value(bool, query("lacks_schema"), role=role)


def _view_rights(source: Database, names: Grantees) -> Iterator[SqlScript]:
    views = [names.confirmed, names.purchases]
    asked = {"views": views, "role": names.role}
    if have_views(source, names) and source.value(bool, query("lacks_views"), **asked):
        yield view_grants(names.role, *views)


def _readers(database: Database, *, made: bool) -> list[str]:
    """List the roles that could dump the database but for syncd, now or afterwards."""
    return database.values(str, query("blocked_dumps"), made=made)


def have_views(source: Database, names: Grantees) -> bool:
    """Return whether both views exist."""
    views = (names.confirmed, names.purchases)
    return all(source.run(query("columns"), view=view) for view in views)


def may_replicate(database: Database, role: str) -> bool:
    """Return whether a role may read a replication slot.

    Raises:
        ConfigError: There is no such role.
    """
    may = database.find_value(bool, query("may_replicate"), role=role)
    if may is None:
        raise ConfigError(
            f"there is no role {role}", "Create it, or name another with --role."
        )
    return may


def installed(database: Database) -> list[int]:
    """List the migrations that the database has; empty without a ledger."""
    if not database.value(bool, query("has_ledger")):
        return []
    return database.values(int, query("migrations"))
