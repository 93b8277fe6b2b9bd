"""A group of checks, in a thread of its own: one that hangs blocks no other.

Groups run side by side and are left when their time is over, with what they found.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from typing_extensions import override

from syncd.core.errors import (
    ClonedDatabaseError,
    DatabaseUnavailableError,
    PermissionDeniedError,
    ServerMisconfiguredError,
    SlowStatementError,
    StateUnavailableError,
    SyncdError,
    TableBusyError,
    UntrustedServerError,
    ViewMissingError,
)
from syncd.diagnostics.check.finding import Finding

SECONDS = 20.0
"""For all groups together; each wait within one is shorter."""


RIGHT = "role.missing"

LOGIN = "server.refused"
"""The fault of a check that opens a connection."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to check.

    Attributes:
        fault: The code of the finding when it raises, unless the error has its own.
        stops: Whether nothing after it in the group can be seen when it raises.
        decides: Whether a start of the daemon runs it as well.
    """

    subject: str
    run_check: Callable[[], Iterable[Finding]]
    fault: str = "check.failed"
    stops: bool = False
    decides: bool = False


class CheckGroup(threading.Thread):
    """Runs one check after the other, on connections of its own."""

    def __init__(
        self, checks: Sequence[Check], close: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(daemon=True)
        self.findings: list[Finding] = []  # so far
        self._checks = checks
        self._close = close
        self._at = checks[0].subject if checks else ""
        self._fault: BaseException | None = None

    @override
    def run(self) -> None:
        try:
            self.run_checks()
        except BaseException as fault:  # noqa: BLE001  # raised again by `wait`
            self._fault = fault

    def run_checks(self) -> None:
        """Check one thing after the other in this thread, then close."""
        with ExitStack() as stack:
            stack.callback(self._close)
            for check in self._checks:
                self._at = check.subject
                try:
                    for finding in check.run_check():
                        self.findings.append(finding)  # it may be left
                except SyncdError as error:
                    self._add(_failed(check, error))
                    if check.stops:
                        break

    def _add(self, failed: Finding) -> None:
        """Report an error once, however many checks it ends."""
        known = {(f.code, f.message) for f in self.findings}
        is_known = failed.code == RIGHT and any(code == RIGHT for code, _ in known)
        if not is_known and (failed.code, failed.message) not in known:
            self.findings.append(failed)

    def wait(self, ends_at: float, seconds: float) -> list[Finding]:
        """Wait until a time, `seconds` after the start; give the findings."""
        self.join(max(0.0, ends_at - time.monotonic()))
        if self._fault is not None:
            raise self._fault
        found = list(self.findings)
        if self.is_alive():
            message = f"not finished within {seconds:.0f} s; the rest was not checked"
            found.append(Finding("check.timeout", self._at, message))
        return found


def run_groups(
    groups: Sequence[CheckGroup], seconds: float = SECONDS
) -> Iterator[Finding]:
    """Run groups side by side; give what they found, each finding once."""
    ends_at = time.monotonic() + seconds
    for each in groups:
        each.start()
    yield from dict.fromkeys(f for each in groups for f in each.wait(ends_at, seconds))


_CODES: Sequence[tuple[type[SyncdError], str]] = (
    (SlowStatementError, "check.timeout"),
    (TableBusyError, "check.timeout"),
    (DatabaseUnavailableError, "server.unreachable"),
    (PermissionDeniedError, RIGHT),
    (ViewMissingError, "views.missing"),
    (UntrustedServerError, "server.untrusted"),
    (ClonedDatabaseError, "ledger.copied"),
    (StateUnavailableError, "state.unusable"),
    (ServerMisconfiguredError, "wal.misconfigured"),
)
"""The code of the first kind that an error is of."""


def _failed(check: Check, error: SyncdError) -> Finding:
    """Make a finding of an error: by its kind, else by the check that it ended."""
    kinds = (code for kind, code in _CODES if isinstance(error, kind))
    code = next(kinds, check.fault)
    if code == RIGHT and check.fault == LOGIN:
        code = LOGIN
    step = "" if "`syncd check`" in error.hint else error.hint
    return Finding(code, check.subject, str(error), step)
