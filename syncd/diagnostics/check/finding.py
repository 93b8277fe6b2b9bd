"""One finding of `syncd check`."""

from dataclasses import dataclass, field
from typing import Literal

from syncd.diagnostics.check.codes import CODES, Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked, its state, and what to do next.

    Attributes:
        code: Its kind, one of `CODES`, which has its severity.
        subject: What was checked.
        message: How it is, in one line without a secret or personal data.
        next_step: What to do; the code's own unless given.
    """

    code: str
    subject: str
    message: str
    next_step: str = ""
    severity: Severity | Literal[""] = ""
    section: str = field(init=False)

    def __post_init__(self) -> None:
        code = CODES[self.code]
        object.__setattr__(self, "severity", self.severity or code.severity)
        object.__setattr__(self, "section", code.section)
        object.__setattr__(self, "next_step", self.next_step or code.step)
