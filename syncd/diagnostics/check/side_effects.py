"""What `syncd check` finds of syncd's own that may harm the shop: dumps, replicas."""

from collections.abc import Iterator
from typing import NamedTuple

from syncd.capture.wal.publication import ledger_publications
from syncd.diagnostics.check.finding import Finding
from syncd.postgres.database import Database
from syncd.postgres.statements import query


class _Limit(NamedTuple):
    """Whose sessions may write how much to files, and what lifts that."""

    who: str
    temp_file_limit: str
    statement: str


def check_dumps(name: str, database: Database) -> Iterator[Finding]:
    """Check for roles that could dump the database, were it not for schema syncd."""
    blocked = database.mapping(str, str, query("blocked_dumps"), made=False)
    for role, statements in blocked.items():
        message = (
            f"pg_dump as {role} fails at schema syncd, which that role may not read"
        )
        step = f"{statements} or run `syncd install` again."
        yield Finding("backup.blocked", f"backup of the {name}", message, step)


def check_replicas(name: str, database: Database) -> Iterator[Finding]:
    """Check for publications that take syncd's own tables along."""
    for publication, recipe in ledger_publications(database).items():
        message = (
            f"the publication {publication} sends syncd's tables to its subscribers, "
            "which stop if they do not have them"
        )
        yield Finding("publication.own", f"replicas of the {name}", message, recipe)


def check_limits(source: Database) -> Iterator[Finding]:
    """Check for limits that an UPDATE of many rows meets because of the triggers."""
    for who, limit, statement in source.rows(_Limit, query("temporary_limits")):
        message = (
            f"temp_file_limit is {limit} for {who}: PostgreSQL keeps the rows "
            "that a statement changes for the triggers, beyond work_mem in a file, so "
            "that a statement that changes more than fits fails"
        )
        yield Finding("trigger.limited", "triggers", message, f"{statement};")
