"""The SQL that an installation may run, from `sql/`, with an operator's names in it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from syncd.config.share import shared
from syncd.core.sql_text import SqlName
from syncd.postgres.statements import Statement, identifier, statements, trusted_sql

_NOTE = "INSERT INTO syncd.migration (version, name) VALUES ({version}, {name});"
_GRANT = re.compile(r"^GRANT\s([A-Z, ]+?)\s+ON (?:SEQUENCE )?(.+?)\s+TO ", re.DOTALL)
_RELATION = re.compile(r"syncd\.(\w+)")


@dataclass(frozen=True, slots=True)
class SqlScript:
    """A piece of SQL for a database, with what it is for."""

    title: str
    statement: Statement


def script(title: str, **identifiers: sql.Composable) -> SqlScript:
    """Take the file `title` of `sql/`, with identifiers for its braces."""
    return SqlScript(
        title, Statement.of(trusted_sql(_text(title)).format(**identifiers))
    )


def migrations(done: Sequence[int] = ()) -> list[SqlScript]:
    """List the migrations that are not done yet, oldest first."""
    folder = shared("sql") / "migrations"
    scripts = []
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        version = int(file.name[:4])
        if version in done:
            continue
        note = trusted_sql(_NOTE)
        values = {"version": sql.Literal(version), "name": sql.Literal(file.name)}
        body = trusted_sql(file.read_text(encoding="utf-8")).format()
        whole = Statement.of(body + note.format(**values))
        scripts.append(SqlScript(file.name, whole))
    return scripts


def guard() -> SqlScript:
    """Return what ends a transaction if another role could run code as its role."""
    return script("guard.sql", untrusted=trusted_sql(statements()["untrusted"]))


def pin() -> SqlScript:
    """Return what makes every name in a transaction PostgreSQL's own."""
    return script("pin.sql")


def ledger_grants(role: str) -> SqlScript:
    """Return the grants on the ledger for the daemon's role."""
    return script("grants.sql", role=sql.Identifier(role))


def reading_grants(role: str) -> SqlScript:
    """Return the grants that let a role dump schema syncd with the rest."""
    return script(
        "grants_readers.sql", role=sql.Identifier(role), name=sql.Literal(role)
    )


def view_grants(role: str, confirmed: str, purchases: str) -> SqlScript:
    """Return the grants on the two views for the daemon's role."""
    names = [SqlName.parse(name) for name in (confirmed, purchases)]
    schemas = sorted({name.qualified().schema or "" for name in names if name})
    return script(
        "grants_views.sql",
        role=sql.Identifier(role),
        confirmed=identifier(confirmed),
        purchases=identifier(purchases),
        schemas=sql.SQL(", ").join(map(sql.Identifier, schemas)),
    )


def rights(title: str) -> Iterator[tuple[str, str]]:
    """List relation and privilege for each that a file of grants in `sql/` gives."""
    for statement in _text(title).split(";"):
        bare = re.sub(r"--.*", "", statement).strip()
        if found := _GRANT.match(bare):
            for relation in _RELATION.findall(found[2]):
                for privilege in found[1].split(","):
                    yield relation, privilege.strip()


def _text(title: str) -> str:
    file = shared("sql")
    for part in title.split("/"):
        file /= part
    return file.read_text(encoding="utf-8")
