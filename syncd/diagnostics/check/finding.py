"""A finding of `syncd check`, and the catalogue of its kinds, `codes.toml`.

A code never changes its meaning. A test compares `docs/check.md` with the catalogue.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
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
"""The effect of an error on a start: it stops, it waits, or it continues."""


@dataclass(frozen=True, slots=True)
class Code:
    """A kind of finding.

    Attributes:
        section: One of `SECTIONS`.
        meaning: For the documentation.
        step: What to do next, unless the finding itself has a better one.
        outage: Whether something did not respond, so that waiting may help.
        permission: Whether the database refuses the role, and no setting is wrong.
        start: The effect of an error on the first start of a feed.
        restart: The same for a feed that was started before; None: the same.
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
        """Return its effect on a start of a feed, the first or a later one."""
        return self.restart or self.start if was_started else self.start


def _read() -> Mapping[str, Code]:
    text = (files("syncd.diagnostics.check") / "codes.toml").read_text(encoding="utf-8")
    return {name: Code(**values) for name, values in tomllib.loads(text).items()}


CODES = _read()


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
