"""What keeps a command from doing what it was asked for."""

from collections.abc import Sequence
from datetime import datetime

from syncd.core.errors import ExitCode, SyncdError


class FileUnwritableError(SyncdError):
    """A file that a command was asked for cannot be written."""

    exit_code = ExitCode.USAGE


class ViewsUnknownError(SyncdError):
    """No views of that name ship with syncd, and no file is called so."""

    exit_code = ExitCode.USAGE

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there are no views called {name!r}, and no such file",
            "`syncd views list` shows those that ship with syncd.",
        )


class ViewFileError(SyncdError):
    """A file holds something else than the two views, or PostgreSQL refuses them."""

    exit_code = ExitCode.CONFIG

    def __init__(
        self, title: str, line: int | None, reason: str, hint: str = ""
    ) -> None:
        where = title if line is None else f"{title}, line {line}"
        super().__init__(
            f"{where}: {reason}; nothing was changed",
            hint
            or "A file of views makes both of them, perhaps within BEGIN and COMMIT, "
            "and has no other statement: `syncd views show template`.",
        )


class StatementRefusedError(SyncdError):
    """PostgreSQL refuses a statement that an operator wrote.

    Attributes:
        sqlstate: Its code.
        reason: The server's words.
        offset: Of the character in the statement that it refers to, from 0; or None.
    """

    exit_code = ExitCode.CONFIG

    def __init__(self, sqlstate: str, reason: str, offset: int | None) -> None:
        super().__init__(reason, "Mend the statement.")
        self.sqlstate = sqlstate
        self.reason = reason
        self.offset = offset


class OrderUnknownError(SyncdError):
    """No such order in the views or the ledger."""


class OrderAmbiguousError(SyncdError):
    """A name that several orders have: one by its key, another by its number."""

    def __init__(self, order: str, keys: Sequence[str]) -> None:
        listed = ", ".join(f"order_key {key}" for key in keys)
        super().__init__(
            f"several orders may be meant by {order!r}: {listed}",
            "Name the one that is meant by its other name, key or number, "
            "as `syncd preview` shows it.",
        )


class RangePrunedError(SyncdError):
    """A range whose orders have no receipts any more."""

    def __init__(self, oldest: datetime, newest: datetime) -> None:
        super().__init__(
            f"orders confirmed from {oldest:%Y-%m-%d} to {newest:%Y-%m-%d} were "
            "delivered, but their receipts are no longer kept (ledger.retention)",
            f"End before them (`syncd backfill --to {oldest:%Y-%m-%d}`), or begin "
            f"later, at the earliest {newest.isoformat()}.",
        )


class BackfillStateError(SyncdError):
    """A backfill is not in the state that was expected, or there is none."""
