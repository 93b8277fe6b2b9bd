"""The catalogue of findings, `codes.toml`: each code with its gravity and meaning.

A code never changes its meaning. `docs/check.md` is held against this list by a test.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

SECTIONS = (
    "Configuration",
    "Order database",
    "Ledger",
    "Views and orders",
    "Capture",
    "Squeezely",
)
"""As they are shown."""

Severity = Literal["ok", "warning", "error"]

Decision = Literal["stops", "waits", "continues"]
"""What an error means for a start: it stops, it waits, or it continues."""


@dataclass(frozen=True, slots=True)
class Code:
    """A kind of finding.

    Attributes:
        section: One of `SECTIONS`.
        meaning: For the documentation.
        step: What to do next, where the finding itself does not say it better.
        outage: Whether something did not answer, so that waiting may mend it.
        permission: Whether the database refuses the role, and no setting is wrong.
        start: What an error means for the first start of a feed.
        restart: The same for a feed that was started before; None: no other.
    """

    section: str
    severity: Severity
    meaning: str
    step: str = ""
    outage: bool = False
    permission: bool = False
    start: Decision = "continues"
    restart: Decision | None = None

    def decision(self, *, was_started: bool) -> Decision:
        """Return what it means for a start of a feed, the first or a later one."""
        return self.restart or self.start if was_started else self.start


def _read() -> Mapping[str, Code]:
    text = (files("syncd.diagnostics.check") / "codes.toml").read_text(encoding="utf-8")
    return {name: Code(**values) for name, values in tomllib.loads(text).items()}


CODES = _read()
