"""An entry of the catalogue: a kind of log line."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """A kind of log line: its level, its fields (units in their names), its meaning."""

    level: str
    fields: tuple[str, ...]
    when: str
    action: str = "nothing"
