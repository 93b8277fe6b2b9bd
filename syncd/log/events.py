"""The catalogue of log events and their fields, `events.toml`.

Only what it declares is ever written; a value of another type than its field's is not.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

Level = Literal["debug", "info", "warning", "error", "critical"]
Kind = Literal["integer", "number", "flag", "text", "time"]


@dataclass(frozen=True, slots=True)
class Event:
    """A kind of log line: its level, its fields (units in their names), its meaning."""

    level: Level
    fields: Sequence[str]
    when: str
    action: str = "nothing"


@dataclass(frozen=True, slots=True)
class Field:
    """What a field holds, and what others call it.

    Attributes:
        kind: Its type: a number always has a decimal point, an integer none; a time is
            ISO 8601 with its zone.
        meaning: For the documentation.
        unit: Of what it is a number, if that is one.
        otel: Its name in OpenTelemetry's conventions; "" for `syncd.<field>`.
        ecs: Its name in the Elastic Common Schema, likewise.
    """

    kind: Kind
    meaning: str
    unit: str = ""
    otel: str = ""
    ecs: str = ""


def _read() -> dict[str, dict[str, dict[str, Any]]]:
    text = (files("syncd.log") / "events.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


_CATALOGUE = _read()

EVENTS: Mapping[str, Event] = {
    name: Event(**values) for name, values in _CATALOGUE["events"].items()
}

FIELDS: Mapping[str, Field] = {
    name: Field(**values) for name, values in _CATALOGUE["fields"].items()
}

FIRST = ("timestamp", "level", "event", "feed", "run", "instance")
"""What every line begins with, in this order (`instance` once there is one)."""
