"""One thing that `syncd check` looked at."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and what to do next."""

    severity: Literal["ok", "warning", "error"]
    subject: str
    message: str
    next_step: str = ""
