"""Transactions in which a role with many rights runs nothing but PostgreSQL's own.

The invariant: no foreign function or operator is reached by its name.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from syncd.capture.wal.publication import ledger_publications
from syncd.config.dsn import describe
from syncd.core.errors import (
    ConfigError,
    PermissionDeniedError,
    ServerTooOldError,
    TableBusyError,
)
from syncd.postgres.database import Database
from syncd.postgres.session import OLDEST_SERVER
from syncd.postgres.statements import query
from syncd.setup.install.scripts import SqlScript
from syncd.source.connections import Connections


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
