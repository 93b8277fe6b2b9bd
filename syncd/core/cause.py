"""Whose fault a database's error is: the one table of causes.

An error is a row's only where its SQLSTATE is about data. An unknown error is never the
row's: no order is rejected for it (ADR-0028).
"""

from dataclasses import dataclass
from enum import Enum
from typing import Self


class Place(Enum):
    """What was being done when the error came."""

    LEDGER = "ledger"  # reading or writing what is syncd's own; the catalogue
    CONFIRMED = "confirmed_orders"
    PURCHASES = "purchases"

    @property
    def is_view(self) -> bool:
        """Whether one of the operator's two views was read."""
        return self is not Place.LEDGER


class Fault(Enum):
    """Whose fault an error is, in words that a report may use."""

    ROW = "this row's data"
    VIEW = "the view, or what stands behind it"
    SETTING = "the role or the database"
    CONNECTION = "the connection or the server"
    LEDGER = "the ledger"


class Cause(Enum):
    """What went wrong, and by whose fault.

    Attributes:
        fault: Whose it is.
    """

    fault: Fault

    def __new__(cls, value: str, fault: Fault) -> Self:
        """Make a cause with the component at fault."""
        member = object.__new__(cls)
        member._value_ = value
        member.fault = fault
        return member

    ROW_DATA = "row.data", Fault.ROW
    VIEW_SLOW = "view.slow", Fault.VIEW
    VIEW_LOCKED = "view.locked", Fault.VIEW
    VIEW_FAILS = "view.fails", Fault.VIEW
    OBJECT_MISSING = "object.missing", Fault.VIEW
    RIGHT_MISSING = "right.missing", Fault.SETTING
    LOGIN_REFUSED = "login.refused", Fault.SETTING
    DATABASE_MISSING = "database.missing", Fault.SETTING
    READ_ONLY_SETTING = "setting.read_only", Fault.SETTING
    READ_ONLY_NODE = "node.read_only", Fault.CONNECTION
    CONNECTIONS_FULL = "connections.full", Fault.CONNECTION
    CONNECTION_LOST = "connection.lost", Fault.CONNECTION
    SERVER_TROUBLE = "server.trouble", Fault.CONNECTION
    STATEMENT_SLOW = "statement.slow", Fault.CONNECTION
    TABLE_LOCKED = "table.locked", Fault.CONNECTION
    LEDGER_REFUSES = "ledger.refuses", Fault.LEDGER


@dataclass(frozen=True, slots=True)
class Symptom:
    """What is known of an error.

    Attributes:
        sqlstate: As the server gave it.
        place: What was being done.
        is_alive: The session still works; False where the error ended it.
        in_recovery: The server is a standby; None where that is unknown.
    """

    sqlstate: str
    place: Place = Place.LEDGER
    is_alive: bool = True
    in_recovery: bool | None = None


_ROW_CLASSES = frozenset({"21", "22", "23", "2F", "38"})
_ROW_STATES = frozenset({"P0001"})
_MISSING = frozenset({"42P01", "3F000", "42703", "42883", "42804"})
_LOCKED = frozenset({"55P03", "40P01"})
_SLOW = frozenset({"57014"})
_LEDGER_CLASSES = frozenset({"22", "23", "42"})
_ANYWHERE = {
    "42501": Cause.RIGHT_MISSING,
    "3D000": Cause.DATABASE_MISSING,
    **dict.fromkeys(_MISSING, Cause.OBJECT_MISSING),
}


def cause_of(symptom: Symptom) -> Cause:
    """Find the cause of an error."""
    state = symptom.sqlstate
    if not symptom.is_alive:
        return _ended(state)
    if state in _ANYWHERE:
        return _ANYWHERE[state]
    if symptom.place.is_view:
        return _of_view(state)
    if state == "55000" and symptom.in_recovery:
        return Cause.READ_ONLY_NODE
    if state == "25006":
        is_setting = symptom.in_recovery is False
        return Cause.READ_ONLY_SETTING if is_setting else Cause.READ_ONLY_NODE
    return _of_ledger(state)


def _ended(state: str) -> Cause:
    """Find why a session ended, or did not begin."""
    if state[:2] == "28":
        return Cause.LOGIN_REFUSED
    if state == "53300":
        return Cause.CONNECTIONS_FULL
    known = state in {"3D000", "42501"}
    return _ANYWHERE[state] if known else Cause.CONNECTION_LOST


def _of_view(state: str) -> Cause:
    if state in _SLOW:
        return Cause.VIEW_SLOW
    if state in _LOCKED:
        return Cause.VIEW_LOCKED
    is_row = state[:2] in _ROW_CLASSES or state in _ROW_STATES
    return Cause.ROW_DATA if is_row else Cause.VIEW_FAILS


def _of_ledger(state: str) -> Cause:
    if state in _SLOW:
        return Cause.STATEMENT_SLOW
    if state in _LOCKED:
        return Cause.TABLE_LOCKED
    refuses = state[:2] in _LEDGER_CLASSES
    return Cause.LEDGER_REFUSES if refuses else Cause.SERVER_TROUBLE
