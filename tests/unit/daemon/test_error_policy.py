"""What the result of a component's turn shows about the database."""

from typing_extensions import override

from syncd.core.errors import DatabaseUnavailableError
from syncd.core.schedule import Turn
from syncd.daemon.error_policy import ErrorPolicy
from syncd.log.log import Log


class LogRecorder(Log):
    """Records the events."""

    def __init__(self) -> None:
        super().__init__("shop")
        self.events: list[str] = []

    @override
    def emit(self, event: str, **fields: object) -> None:
        self.events.append(event)


def fail() -> Turn:
    raise DatabaseUnavailableError("x", "refused")


def test_a_turn_that_was_not_due_proves_no_recovery() -> None:
    """It does not end the trouble that `status` shows either."""
    lines = LogRecorder()
    policy = ErrorPolicy(lines)
    policy.attempt("stamps", fail)
    policy.attempt("stamps", fail)
    trouble = policy.trouble()
    policy.attempt("stamps", lambda: Turn.NOT_DUE)
    assert (policy.trouble(), lines.events) == (trouble, ["database.unavailable"])
    assert trouble
    policy.attempt("stamps", lambda: Turn.DONE)
    assert policy.trouble() is None
    assert lines.events == ["database.unavailable", "database.recovered"]
