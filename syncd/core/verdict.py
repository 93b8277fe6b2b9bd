"""The verdict on a feed: reasons with their next steps, and the worst of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """The severity of a reason; a notice needs no action today."""

    NOTICE = 0
    DEGRADED = 1
    DOWN = 2


@dataclass(frozen=True, slots=True)
class HealthIssue:
    """Something to know: what, in words, and the next command, if there is one."""

    severity: Severity
    text: str
    next_step: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """The verdict: the worst of the reasons, which stand worst first."""

    reasons: Sequence[HealthIssue] = ()

    @property
    def severity(self) -> Severity:
        """The worst reason's severity; NOTICE when there is nothing to do."""
        return max((r.severity for r in self.reasons), default=Severity.NOTICE)

    @property
    def verdict(self) -> str:
        """In one word: healthy, degraded or down."""
        return VERDICTS[self.severity]


VERDICTS: Mapping[Severity, str] = {
    Severity.NOTICE: "healthy",
    Severity.DEGRADED: "degraded",
    Severity.DOWN: "down",
}
