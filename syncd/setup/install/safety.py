"""What an installation refuses, to protect the shop, before anything is created.

The owner of a foreign schema could gain the installer's rights; a publication of
every table would stop the shop's replicas.
"""

from typing import NamedTuple

from syncd.capture.wal.publication import ledger_publications
from syncd.core.errors import ConfigError
from syncd.postgres.database import Database
from syncd.postgres.statements import query


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
