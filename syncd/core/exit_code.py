"""Exit codes and their meaning."""

from enum import IntEnum
from typing import Self


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
