"""The driver's errors as syncd's: each cause has a class, words, and a next step."""

from collections.abc import Callable

import psycopg
from psycopg.conninfo import conninfo_to_dict

from syncd.config.dsn import describe
from syncd.core.cause import Cause, Place, Symptom, cause_of
from syncd.core.command_errors import StatementRefusedError
from syncd.core.connection_fault import Cause as Way
from syncd.core.connection_fault import connection_fault
from syncd.core.errors import (
    ConfigError,
    DatabaseUnavailableError,
    LedgerFaultError,
    LoginRefusedError,
    PermissionDeniedError,
    ReadOnlyNodeError,
    SchemaMismatchError,
    SettingError,
    SlowStatementError,
    SlowViewError,
    SyncdError,
    TableBusyError,
    UnreadableRowError,
    UntrustedServerError,
    ViewFailedError,
    ViewsChangedError,
)

STATEMENT_SECONDS = 30
"""How long a statement may take."""

LOCK_SECONDS = 5
"""How long a statement may wait for a lock."""

_UNCOMPARED = "identity_compared_before_old_orders"

_ENDING = frozenset({"FATAL", "PANIC"})
_AGAIN = "syncd tries again by itself."


def translate(
    error: psycopg.Error,
    dsn: str,
    place: Place = Place.LEDGER,
    *,
    in_recovery: bool | None = None,
) -> SyncdError:
    """Turn an error of the driver's into one of syncd's; `place` is what was read.

    `in_recovery`: whether the server is a standby; None where that is not known.
    """
    if error.sqlstate is None:
        return _of_connecting(str(error), dsn)
    if error.diag.constraint_name == _UNCOMPARED:
        return ViewsChangedError("orders from the past appeared under unknown keys")
    severity = error.diag.severity_nonlocalized
    if error.diag.constraint_name and error.diag.schema_name == "syncd":
        place = Place.LEDGER
    symptom = Symptom(error.sqlstate, place, severity not in _ENDING, in_recovery)
    return _CLASSES[cause_of(symptom)](error, dsn, place)


_REFUSALS = ("0A", "22", "26", "2B", "3D", "3F", "42", "55000", "XX000")
"""SQLSTATEs, by their beginnings, that a statement itself is to blame for."""


_DEPENDED_ON = "2BP01"


def refusal_of(error: psycopg.Error) -> SyncdError | None:
    """Return why the server refuses an operator's statement; None: another failure.

    Its words are shown whole: they are about what the operator wrote.
    """
    state = error.sqlstate
    if state is None or not state.startswith(_REFUSALS):
        return None
    reason = error.diag.message_primary or "it is refused"
    if state == _DEPENDED_ON and error.diag.message_detail:
        reason += f": {error.diag.message_detail.splitlines()[0]}"
    if state == "42501":
        return PermissionDeniedError(
            reason, "With --as, name a role that may read the tables."
        )
    position = error.diag.statement_position
    offset = int(position) - 1 if position else None
    return StatementRefusedError(state, reason, offset)


def _message(error: psycopg.Error) -> str:
    """Take the message's first line, unless a function made it: it may quote data."""
    context = error.diag.context or ""
    if "PL/" in context or "SQL" in context:
        return f"a function of the database failed with SQLSTATE {error.sqlstate}"
    text = str(error).strip()
    return text.splitlines()[0] if text else "no answer"


def _of_connecting(message: str, dsn: str) -> SyncdError:
    where = f"PostgreSQL at {describe(dsn)}"
    fault = connection_fault(message)
    if fault.cause is Way.FULL:
        return _full(where, fault.what, fault.hint)
    if fault.cause is Way.NODE:
        return _read_only_node(where)
    kind, words = _WAYS[fault.cause]
    return kind(words.format(where=where, what=fault.what), fault.hint)


_WAYS: dict[Way, tuple[type[SyncdError], str]] = {
    Way.LOGIN: (LoginRefusedError, "{where} refuses the login: {what}"),
    Way.TRUST: (UntrustedServerError, "no TLS with {where}: {what}"),
    Way.SETTING: (ConfigError, "{where} cannot be used: {what}"),
    Way.SESSION: (SettingError, "{where} cannot begin a session: {what}"),
    Way.OUTAGE: (DatabaseUnavailableError, "{where} cannot be reached: {what}"),
}


def _full(
    where: str,
    reason: str,
    hint: str = "Raise max_connections, or the limit of the role or the database.",
) -> SyncdError:
    message = f"{where} has no connection left: {reason}"
    return DatabaseUnavailableError(message, f"{hint} {_AGAIN}")


def _read_only_node(where: str) -> SyncdError:
    return ReadOnlyNodeError(
        f"{where} is a hot standby, which is read-only",
        "syncd reconnects until a primary answers. If none will, name the primary, or "
        "set [ledger] dsn to a writable database.",
    )


def _read_only_setting(_: psycopg.Error, dsn: str, __: Place) -> SyncdError:
    user = conninfo_to_dict(dsn).get("user") or "the role"
    return SettingError(
        f"PostgreSQL at {describe(dsn)} is not a standby, but read-only: the role "
        "or the database has default_transaction_read_only = on",
        f"ALTER ROLE {user} RESET default_transaction_read_only (or ALTER DATABASE …, "
        "or ALTER SYSTEM …); `syncd check` shows which.",
    )


def _slow_view(_: psycopg.Error, __: str, place: Place) -> SyncdError:
    return SlowViewError(
        f"reading the {place.value} view took longer than {STATEMENT_SECONDS} s",
        "Find the cause with EXPLAIN (ANALYZE); syncd tries again by itself, with "
        "fewer orders.",
    )


def _locked_view(_: psycopg.Error, __: str, place: Place) -> SyncdError:
    return TableBusyError(
        f"a lock on what the {place.value} view reads was not released within "
        f"{LOCK_SECONDS} s",
        _AGAIN,
    )


def _refused(error: psycopg.Error, _: str, __: Place) -> SyncdError:
    constraint = error.diag.constraint_name
    named = f", constraint {constraint}" if constraint else ""
    return LedgerFaultError(
        f"the ledger refuses a statement: SQLSTATE {error.sqlstate}{named}",
        "Nothing is lost, and syncd tries again; please report it, with this line.",
    )


def _quoted(
    kind: type[SyncdError], hint: str
) -> Callable[[psycopg.Error, str, Place], SyncdError]:
    """Return a maker of errors with the server's own message."""
    return lambda error, _, __: kind(_message(error), hint)


_CLASSES: dict[Cause, Callable[[psycopg.Error, str, Place], SyncdError]] = {
    Cause.ROW_DATA: lambda e, _, place: UnreadableRowError(
        e.sqlstate or "", place.value
    ),
    Cause.VIEW_SLOW: _slow_view,
    Cause.VIEW_LOCKED: _locked_view,
    Cause.VIEW_FAILS: lambda e, _, place: ViewFailedError(
        e.sqlstate or "", place.value
    ),
    Cause.OBJECT_MISSING: _quoted(
        SchemaMismatchError, "Run `syncd check` to see what is missing."
    ),
    Cause.RIGHT_MISSING: _quoted(
        PermissionDeniedError, "Run `syncd install` as the views' owner."
    ),
    Cause.LOGIN_REFUSED: _quoted(
        LoginRefusedError, "Check source.dsn: user, password and database name."
    ),
    Cause.DATABASE_MISSING: _quoted(
        LoginRefusedError, "Check source.dsn: the database's name."
    ),
    Cause.READ_ONLY_SETTING: _read_only_setting,
    Cause.READ_ONLY_NODE: lambda _, dsn, __: _read_only_node(
        f"PostgreSQL at {describe(dsn)}"
    ),
    Cause.CONNECTIONS_FULL: lambda e, dsn, _: _full(
        f"PostgreSQL at {describe(dsn)}", _message(e)
    ),
    Cause.CONNECTION_LOST: _quoted(DatabaseUnavailableError, _AGAIN),
    Cause.SERVER_TROUBLE: _quoted(DatabaseUnavailableError, _AGAIN),
    Cause.STATEMENT_SLOW: _quoted(SlowStatementError, _AGAIN),
    Cause.TABLE_LOCKED: _quoted(TableBusyError, _AGAIN),
    Cause.LEDGER_REFUSES: _refused,
}
