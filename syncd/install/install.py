"""Putting the ledger into a database and taking it out, each in one transaction."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from syncd.connections import Connections
from syncd.database import Database, Statement, identifier, named, vetted
from syncd.errors import (
    ConfigError,
    PermissionDeniedError,
    SchemaMismatchError,
    TableBusyError,
)
from syncd.share import shared

_NOTE = "INSERT INTO syncd.migration (version, name) VALUES ({version}, {name});"


@dataclass(frozen=True, slots=True)
class Script:
    """A piece of SQL for the database, with what it is for."""

    title: str
    statement: Statement


@dataclass(frozen=True, slots=True)
class Names:
    """The names in an operator's database: the daemon's role and the two views.

    Attributes:
        ledger_role: The role in the ledger's database, if that is another one.
    """

    role: str
    confirmed: str
    purchases: str
    ledger_role: str | None = None


def role_of(dsn: str) -> str | None:
    """Tell which role a connection string names; None leaves it to libpq."""
    user = conninfo_to_dict(dsn).get("user")
    return str(user) if user else None


def migrations(done: Sequence[int] = ()) -> list[Script]:
    """List the migrations that are not done yet, oldest first."""
    folder = shared("sql") / "migrations"
    scripts = []
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        version = int(file.name[:4])
        if version in done:
            continue
        note = vetted(_NOTE)
        values = {"version": sql.Literal(version), "name": sql.Literal(file.name)}
        body = vetted(file.read_text(encoding="utf-8")).format()
        whole = Statement.of(body + note.format(**values))
        scripts.append(Script(file.name, whole))
    return scripts


def ledger_grants(names: Names) -> Script:
    """Give the grants on the ledger for the daemon's role."""
    role = sql.Identifier(names.ledger_role or names.role)
    return script("grants.sql", role=role)


def view_grants(names: Names) -> Script:
    """Give the grants on the two views for the daemon's role."""
    views = [identifier(names.confirmed), identifier(names.purchases)]
    dotted = (names.confirmed, names.purchases)
    schemas = sorted({name.rpartition(".")[0] or "public" for name in dotted})
    return script(
        "grants_views.sql",
        role=sql.Identifier(names.role),
        confirmed=views[0],
        purchases=views[1],
        schemas=sql.SQL(", ").join(map(sql.Identifier, schemas)),
    )


def script(title: str, **identifiers: sql.Composable) -> Script:
    """Take the file `title` of `sql/`, with identifiers for its braces."""
    file = shared("sql")
    for part in title.split("/"):
        file /= part
    text = file.read_text(encoding="utf-8")
    return Script(title, Statement.of(vetted(text).format(**identifiers)))


def install(
    connections: Connections, names: Names, beside: Sequence[Script] = ()
) -> list[str]:
    """Bring the ledger up to date and grant what the daemon needs.

    Args:
        connections: As roles that may create the ledger, and grant on the views.
        names: For whom, and which views; granted on only where they exist.
        beside: More for the order database, all of it or nothing.

    Returns:
        Titles of the migrations that were run, in order.

    Raises:
        ConfigError: There is no such role.
        PermissionDeniedError: A right is missing; nothing was changed.
        TableBusyError: The shop holds a lock; nothing was changed.
    """
    ledger, source = connections.ledger, connections.source
    may_replicate(source, names.role)
    may_replicate(ledger, names.ledger_role or names.role)
    with _at_once(), connections.transaction():
        scripts = migrations(installed(ledger))
        for each in [*scripts, ledger_grants(names)]:
            ledger.run(each.statement)
        if have_views(source, names):
            source.run(view_grants(names).statement)
        for each in beside:
            source.run(each.statement)
    return [each.title for each in scripts]


@contextmanager
def _at_once() -> Iterator[None]:
    """Say what to do when a right is missing, or a table is not to be had just now."""
    try:
        yield
    except PermissionDeniedError as error:
        raise PermissionDeniedError(
            f"{error}; nothing was changed",
            "Name with --as who owns tables and views (for --wal, a superuser), or let "
            "the DBA run what --print shows.",
        ) from error
    except TableBusyError as error:
        raise TableBusyError(
            "a table is in use by a transaction; nothing was changed",
            "Run it again, best in a quiet moment; a shop that sells is not held up.",
        ) from error


def have_views(source: Database, names: Names) -> bool:
    """Tell whether both views exist."""
    views = (names.confirmed, names.purchases)
    return all(source.all(named("columns"), view=view) for view in views)


def may_replicate(database: Database, role: str) -> bool:
    """Tell whether a role may read a replication slot.

    Raises:
        ConfigError: There is no such role.
    """
    rows = database.all(named("may_replicate"), role=role)
    if not rows:
        raise ConfigError(
            f"there is no role {role}", "Create it, or name another with --role."
        )
    return bool(rows[0][0])


def installed(database: Database) -> list[int]:
    """List the migrations that the database has; empty without a ledger."""
    exists = database.one(named("has_ledger"))[0]
    if not exists:
        return []
    return [int(str(row[0])) for row in database.all(named("migrations"))]


def uninstall(connections: Connections) -> None:
    """Drop triggers, outbox and ledger; the views and the schema they live in stay.

    Raises:
        SchemaMismatchError: There is no ledger.
        TableBusyError: The shop holds a lock; nothing was changed.
    """
    ledger, source = connections.ledger, connections.source
    if not installed(ledger):
        raise SchemaMismatchError("there is no ledger", "There is nothing to drop.")
    with _at_once(), connections.transaction():
        source.run(outbox_removal().statement)
        ledger.run(uninstallation().statement)


def stop_listening(source: Database) -> None:
    """Drop triggers and outbox only.

    Raises:
        TableBusyError: The shop holds a lock; nothing was changed.
    """
    with _at_once(), source.transaction():
        source.run(outbox_removal().statement)


def uninstallation() -> Script:
    """Give the SQL that removes the ledger."""
    return script("uninstall.sql")


def outbox_removal() -> Script:
    """Give the SQL that removes the triggers and the outbox."""
    return script("capture/uninstall.sql")
