"""Putting the ledger into a database and taking it out, each in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from syncd.database import Database, identifier, named, vetted
from syncd.errors import SchemaMismatchError
from syncd.share import shared

_NOTE = "INSERT INTO syncd.migration (version, name) VALUES ({version}, {name});"


@dataclass(frozen=True, slots=True)
class Script:
    """A piece of SQL for the database, with what it is for."""

    title: str
    statement: sql.Composed


@dataclass(frozen=True, slots=True)
class Names:
    """The names in an operator's database: the daemon's role and the two views."""

    role: str
    confirmed: str
    purchases: str


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
        scripts.append(Script(file.name, body + note.format(**values)))
    return scripts


def grants(names: Names, *, views: bool) -> list[Script]:
    """List the grants for the daemon's role; on the views only where they exist."""
    files = ["grants.sql", *(["grants_views.sql"] if views else [])]
    identifiers = {
        "role": sql.Identifier(names.role),
        "confirmed": identifier(names.confirmed),
        "purchases": identifier(names.purchases),
    }
    folder = shared("sql")
    return [
        Script(
            f, vetted((folder / f).read_text(encoding="utf-8")).format(**identifiers)
        )
        for f in files
    ]


def install(database: Database, names: Names) -> list[str]:
    """Bring the ledger up to date and grant what the daemon needs.

    Returns:
        Titles of what was run, in order; run again, it changes nothing more.
    """
    with database.transaction():
        scripts = migrations(installed(database))
        both = all(
            database.all(named("columns"), view=view)
            for view in (names.confirmed, names.purchases)
        )
        for script in scripts + grants(names, views=both):
            database.run(script.statement)
    return [script.title for script in scripts]


def installed(database: Database) -> list[int]:
    """List the migrations that the database has; empty without a ledger."""
    exists = database.one(named("has_ledger"))[0]
    if not exists:
        return []
    return [int(str(row[0])) for row in database.all(named("migrations"))]


def uninstall(database: Database) -> None:
    """Drop the ledger; the views and the schema they live in stay.

    Raises:
        SchemaMismatchError: There is none.
    """
    if not installed(database):
        raise SchemaMismatchError("there is no ledger", "Nothing was changed.")
    with database.transaction():
        database.run(uninstallation().statement)


def uninstallation() -> Script:
    """Give the SQL that `uninstall` runs."""
    text = (shared("sql") / "uninstall.sql").read_text(encoding="utf-8")
    return Script("uninstall.sql", vetted(text).format())
