"""Errors: how the daemon reacts to each, and what the operator does next."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum, IntEnum
from typing import ClassVar, Self


class ExitCode(IntEnum):
    """How a command ends (sysexits where one fits)."""

    meaning: str

    def __new__(cls, code: int, meaning: str = "") -> Self:
        """Make a code with its meaning, for the pages that list them."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    OK = 0, "done"
    FAILED = 1, "completed with findings"
    DOWN = 2, "down (status)"
    USAGE = 64, "usage"
    UNAVAILABLE = 69, "database unreachable"
    BUG = 70, "internal error"
    LEFT = 75, "work remaining"
    PERMISSION = 77, "no permission"
    CONFIG = 78, "configuration"


class Reaction(Enum):
    """What the daemon does when an error reaches it."""

    RETRY = "retry"  # transient: keep the watermark, back off, try again
    HOLD = "hold"  # a person has to fix it: raise the alarm, try again until then
    PAUSE = "pause"  # paused by a person: log it once, check again each second
    STOP = "stop"  # only a person can fix it: log the hint and exit


class SyncdError(Exception):
    """What is wrong, in one line, with what to do next.

    Attributes:
        hint: The next step, a sentence.
        codes: Of the findings of `syncd check` that mean the same; may be empty.
    """

    reaction: ClassVar[Reaction] = Reaction.STOP
    exit_code: ClassVar[ExitCode] = ExitCode.FAILED
    codes: tuple[str, ...] = ()

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint

    def of(self, codes: Sequence[str]) -> Self:
        """Add the codes of the findings that mean the same."""
        self.codes = tuple(codes)
        return self


class ConfigError(SyncdError):
    """The configuration cannot be used."""

    exit_code = ExitCode.CONFIG


class StartRefusedError(SyncdError):
    """The daemon must not start like this: only a person can mend it."""

    exit_code = ExitCode.CONFIG


class StartForbiddenError(StartRefusedError):
    """The database does not let the daemon's role do what a start needs."""

    exit_code = ExitCode.PERMISSION


class StartDelayedError(StartRefusedError):
    """The daemon delays its start until the problem is corrected."""

    reaction = Reaction.HOLD


class StartUnpermittedError(StartDelayedError):
    """The daemon waits with its start until a right is granted again."""

    exit_code = ExitCode.PERMISSION


class SchemaMismatchError(SyncdError):
    """A view or the ledger is missing or not of the form that syncd needs."""

    reaction = Reaction.HOLD
    exit_code = ExitCode.CONFIG


class ServerTooOldError(SyncdError):
    """The server is of a version that syncd is not tested on any more."""

    exit_code = ExitCode.CONFIG


class ViewMissingError(SchemaMismatchError):
    """One of the two views is not there, or cannot be seen by the role."""


class ViewsChangedError(SchemaMismatchError):
    """Something changed; the views' keys were not compared with the ledger yet."""

    def __init__(self, change: str = "the views were changed") -> None:
        super().__init__(
            f"{change}: nothing is captured until their keys have been compared with "
            "the ledger's",
            "A running daemon does that within seconds; `syncd check` shows more.",
        )


class KeysChangedError(SyncdError):
    """The views' keys are not those of the ledger: nothing is admitted or sent."""

    exit_code = ExitCode.CONFIG


class PermissionDeniedError(SyncdError):
    """The role lacks a right, or may not log in."""

    reaction = Reaction.HOLD
    exit_code = ExitCode.PERMISSION


class LoginRefusedError(PermissionDeniedError):
    """The role may not log in, or not into this database."""


class ClonedDatabaseError(SyncdError):
    """The ledger was made in another database cluster: a copy must not send."""

    exit_code = ExitCode.CONFIG


class StateUnavailableError(SyncdError):
    """The daemon's own directory cannot be used."""

    reaction = Reaction.RETRY
    exit_code = ExitCode.CONFIG


class DatabaseUnavailableError(SyncdError):
    """PostgreSQL does not answer, or broke the connection."""

    reaction = Reaction.RETRY
    exit_code = ExitCode.UNAVAILABLE


class UntrustedServerError(SyncdError):
    """TLS fails: PostgreSQL's certificate, or ours, is not accepted by the other."""

    reaction = Reaction.HOLD
    exit_code = ExitCode.CONFIG


class ReadOnlyNodeError(DatabaseUnavailableError):
    """The server is a hot standby; the next attempt connects again."""


class SettingError(SyncdError):
    """A setting of the role, the database or the server keeps syncd from its work."""

    reaction = Reaction.HOLD
    exit_code = ExitCode.CONFIG


class LedgerFaultError(SyncdError):
    """The ledger refuses a statement of syncd's: a constraint, a value of its own."""

    reaction = Reaction.HOLD
    exit_code = ExitCode.BUG


class SlowStatementError(DatabaseUnavailableError):
    """A statement took longer than the role may take for one."""


class SlowViewError(SlowStatementError):
    """A view gave no answer in the time that a statement may take."""

    reaction = Reaction.HOLD


class TableBusyError(DatabaseUnavailableError):
    """Another session holds a lock for longer than syncd waits."""

    exit_code = ExitCode.LEFT


class PausedError(SyncdError):
    """A person has paused sending or capture.

    Attributes:
        what: `sending` or `capture`.
        since: When.
        why: The reason that was given; None for none.
    """

    reaction = Reaction.PAUSE
    exit_code = ExitCode.LEFT

    def __init__(self, what: str, since: datetime, why: str | None) -> None:
        reason = f" ({why})" if why else ""
        super().__init__(
            f"{what} is paused since {since:%Y-%m-%d %H:%M:%S%z}{reason}",
            f"`syncd resume --{what}` ends the pause.",
        )
        self.what = what
        self.since = since
        self.why = why


class StreamBrokenError(SyncdError):
    """A replication slot is lost, or its publication: orders may have been missed."""

    exit_code = ExitCode.CONFIG


class ServerMisconfiguredError(ConfigError):
    """The server cannot be followed through its WAL as it is set, or for now."""

    reaction = Reaction.HOLD


class ViewError(SyncdError):
    """A view raises an error while it is read.

    Attributes:
        sqlstate: Its code; the text is not kept, since it quotes the data.
    """

    reaction = Reaction.HOLD

    def __init__(self, sqlstate: str, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.sqlstate = sqlstate


class UnreadableRowError(ViewError):
    """A view fails on a row's data, for instance in a cast.

    Attributes:
        view: Which of the two, by the name that syncd has for it.
    """

    def __init__(self, sqlstate: str, view: str = "purchases") -> None:
        super().__init__(
            sqlstate,
            f"the {view} view fails on a row's data with SQLSTATE {sqlstate}",
            "Select the row from the view to see the error, then correct the view.",
        )
        self.view = view


class UnreadableViewError(UnreadableRowError):
    """`confirmed_orders` fails over rows that cannot be left out."""

    def __init__(self, sqlstate: str, what: str, hint: str) -> None:
        super().__init__(sqlstate, "confirmed_orders")
        self.args = (f"orders are not captured: {what}",)
        self.hint = hint


class ViewFailedError(ViewError):
    """A view fails for what stands behind it: a function, a foreign table."""

    exit_code = ExitCode.UNAVAILABLE

    def __init__(self, sqlstate: str, view: str) -> None:
        super().__init__(
            sqlstate,
            f"the {view} view fails with SQLSTATE {sqlstate}",
            "Something that the view reads raises it (a function, a foreign table, "
            "the server); no order is the cause, and syncd tries again by itself.",
        )


VIEW_FAULTS = (
    SchemaMismatchError,
    PermissionDeniedError,
    SlowStatementError,
    TableBusyError,
    ViewError,
)
"""What reading a view may raise that another view, or another row, would not."""

UNREADABLE = VIEW_FAULTS
"""What a view raises while it is being mended, or what stands behind it is away."""
