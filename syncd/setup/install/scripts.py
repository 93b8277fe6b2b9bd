"""The SQL that an installation may run, from `sql/`, and the transactions for it.

The invariant: in these no foreign function or operator is reached by its name.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from psycopg import sql

from syncd.capture.wal.publication import ledger_publications
from syncd.config.dsn import describe
from syncd.config.share import shared
from syncd.core.errors import (
    ConfigError,
    PermissionDeniedError,
    ServerTooOldError,
    TableBusyError,
)
from syncd.core.sql_text import SqlName
from syncd.postgres.database import Database
from syncd.postgres.session import OLDEST_SERVER
from syncd.postgres.statements import (
    Statement,
    identifier,
    query,
    statements,
    trusted_sql,
)
from syncd.source.connections import Connections

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
    return shared("sql").joinpath(*title.split("/")).read_text(encoding="utf-8")


@contextmanager
def pinned(*databases: Database, oldest: int = OLDEST_SERVER) -> Iterator[None]:
    """Open a transaction in each database, with a search path of ours.

    Raises:
        ServerTooOldError: A server is older than syncd supports.
    """
    with ExitStack() as transactions:
        for database in databases:
            transactions.enter_context(database.transaction())
            database.run(query("pin_search_path"))
            _refuse_old(database, oldest)
        yield


def _refuse_old(database: Database, oldest: int) -> None:
    major = database.value(int, query("server_version")) // 10_000
    if major < oldest:
        raise ServerTooOldError(
            f"PostgreSQL at {describe(database.dsn)} is of version {major}, and syncd "
            f"needs {oldest}; nothing was changed",
            "Upgrade the server.",
        )


@contextmanager
def pinned_both(connections: Connections) -> Iterator[None]:
    """Do so in both databases of a feed; the order database's commits first."""
    ledger, source = connections.ledger, connections.source
    with pinned(*([ledger] if connections.is_one else [ledger, source])):
        yield


def find_table(database: Database, table: str) -> int | None:
    """Return the oid of a table named as in SQL, by the session's own search path."""
    database.run(query("default_search_path"))
    oid = database.find_value(int, query("find_oid"), table=table)
    database.run(query("pin_search_path"))
    return oid


def run(database: Database, scripts: Iterable[SqlScript]) -> None:
    """Run scripts in the open transaction.

    Raises:
        PermissionDeniedError: A right is missing; nothing was changed.
        TableBusyError: The shop holds a lock; nothing was changed.
    """
    try:
        for each in scripts:
            database.run(each.statement)
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


class _Untrusted(NamedTuple):
    """What belongs to another role than it should."""

    kind: str
    name: str
    owner: str


def refuse_untrusted(database: Database) -> None:
    """Refuse a schema syncd through which another role could gain privileges.

    Raises:
        ConfigError: It, or something in it, belongs to another role.
    """
    found = database.rows(_Untrusted, query("untrusted"))
    if not found:
        return
    kind, name, owner = found[0]
    me = database.value(str, query("whoever"))
    what = name if kind == "relation" else f"{kind} {name}"
    step = f"Install as {owner} (--as)"
    if kind == "schema":
        step += f"; or look at what is in it, then ALTER SCHEMA syncd OWNER TO {me};"
    else:
        step += "; or drop what is not syncd's, after a look at it."
    raise ConfigError(
        f"{what} belongs to {owner}, who could make syncd's triggers run anything as "
        f"{me}; nothing was changed",
        step,
    )


def refuse_published(database: Database) -> None:
    """Refuse to make tables that replicas would be sent and do not have.

    Raises:
        ConfigError: A publication would take them along.
    """
    for name, recipe in ledger_publications(database).items():
        raise ConfigError(
            f"the publication {name} would send syncd's tables to its subscribers, "
            "which stop at the first that they do not have; nothing was changed",
            f"{recipe} Or keep the ledger in another database (ledger.dsn). Or make "
            "the tables on each subscriber first (syncd install --print), then repeat "
            "this with --published. See docs/captures.md.",
        )
