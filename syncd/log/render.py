"""A line of the log: its fields, their types, its length.

The invariant: one line of valid JSON below 4 kB with declared fields only, whatever a
caller or a library passes.
"""

import json
import math
import os
import re
import uuid
from collections.abc import Callable, Mapping, MutableMapping
from datetime import date
from functools import cache
from typing import Any

import structlog

from syncd.log.events import EVENTS, FIELDS, FIRST

EventDict = MutableMapping[str, Any]

PRIORITY = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
MAX_BYTES = 4000
"""Of a line: journalctl leaves out what is longer than 4096, rsyslog cuts at 8 kB."""

_CAPS = (500, 200, 80, 20)
_MAX_INTEGER = 2**63
_INVOCATION = re.compile(r"[0-9a-f]{32}")
_PERSONAL = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+")
_SECRET = re.compile(r"(?i)\b(password|passwd|api[-_]?key|token|secret)(\s*[=:]\s*)\S+")


def run_id(environment: Mapping[str, str] = os.environ) -> str:
    """Name this run as systemd does, so that journal and log tie together."""
    given = environment.get("INVOCATION_ID", "")
    return given if _INVOCATION.fullmatch(given) else uuid.uuid4().hex


@cache
def _this_run() -> str:
    """Return the same for each line of a process; one that is forked has its own."""
    return run_id()


def only_declared(_: object, __: str, line: EventDict) -> EventDict:
    """Keep what the event declares, each value as its field's type or not at all.

    A library's line gets one name, and only its template: arguments may hold anything.
    """
    if not _is_ours(line):
        line = _of_library(line)
    line.setdefault("feed", "-")
    line["run"] = _this_run()
    names = (*FIRST, *EVENTS[line["event"]].fields)
    return {name: _value(name, line[name]) for name in names if name in line}


def for_people(_: object, __: str, line: EventDict) -> EventDict:
    """Leave out what is useless on a terminal."""
    return {name: line[name] for name in line if name not in {"run", "instance"}}


def rendered(*, journal: bool) -> structlog.typing.Processor:
    """Make what turns a line into JSON, behind a priority for the journal."""

    def render(_: object, __: str, line: EventDict) -> str:
        text = next(filter(_fits, map(_dumped(line), _CAPS)))
        return f"<{PRIORITY[line['level']]}>{text}" if journal else text

    return render


def _dumped(line: Mapping[str, object]) -> Callable[[int], str]:
    def dump(cap: int) -> str:
        short = {name: _capped(value, cap) for name, value in line.items()}
        return json.dumps(short, separators=(",", ":"), allow_nan=False)

    return dump


def _fits(text: str) -> bool:
    return len(text) <= MAX_BYTES


def _is_ours(line: EventDict) -> bool:
    event = line["event"]
    return line["logger"] == "syncd" and isinstance(event, str) and event in EVENTS


def _of_library(line: EventDict) -> EventDict:
    known = {name: line[name] for name in ("timestamp", "level", "logger")}
    return {
        **known,
        "event": "library.log",
        "feed": getattr(line["_record"], "feed", "-"),
        "message": line["event"],
        "suppressed": getattr(line["_record"], "suppressed", 0),
    }


def _value(name: str, value: object) -> object:
    """Convert a value to its field's type; None where it has another."""
    match FIELDS[name].kind:
        case "integer":
            return _integer(value)
        case "number":
            return _number(value)
        case "flag":
            return value if isinstance(value, bool) else None
        case "text" | "time":
            return _text(value)


def _integer(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value) if abs(value) < _MAX_INTEGER else None
    return None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    number = float(value) if abs(value) < _MAX_INTEGER else math.nan
    return round(number, 3) if math.isfinite(number) else None


def _text(value: object) -> str | None:
    """Write a text in one line, without addresses and passwords."""
    if isinstance(value, date):
        value = value.isoformat()
    if isinstance(value, int):
        value = str(_integer(value))
    if not isinstance(value, str):
        return None
    plain = value[: 2 * _CAPS[0]]
    if not plain.isprintable():
        plain = "".join(c if c.isprintable() else " " for c in plain)
    plain = _SECRET.sub(r"\1\2…", _PERSONAL.sub("…@…", plain))
    return " ".join(plain.split())


def _capped(value: object, cap: int) -> object:
    if isinstance(value, str) and len(value) > cap:
        return value[:cap] + "…"
    return value
