"""Generates from the catalogue of log events: its document and lnav's format.

python tests/support/log_documents.py
"""

import json
from collections.abc import Mapping
from pathlib import Path

from syncd.log.events import EVENTS, FIELDS, FIRST, Event, Field

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "log-events.md"
LNAV = ROOT / "systemd" / "monitoring" / "syncd.lnav.json"
COMMAND = "python tests/support/log_documents.py"

HEAD = """\
# Log events

JSON lines on stderr, one object each, below 4 kB. Every line begins with `timestamp`
(UTC), `level`, `event`, `feed`, in this order, then `run` and, once the daemon has its
number, `instance`; under journald a priority precedes it, so `journalctl -p
warning` works. syncd writes only the fields of these tables, each with its type or
`null`: no address, name, body or secret. It suppresses repeats of one fault for a
minute; `suppressed` counts them. Texts are cut at 500 characters.

`error` and `critical` mean that you have to act or that orders are set aside;
`warning` is handled, but needs attention; `info` is one line per unit of work. A
missing `heartbeat` is the alarm. For what each event means for the orders, and what to
do, see the [runbook](runbook.md); for metrics, alerts, dashboard and viewers,
[monitoring](monitoring.md).

`{command}` writes this page from
`syncd/log/events.toml`. A new event or field is not a breaking change; a changed name
or meaning is.

## Events

| event | level | fields | when | what to do |
|---|---|---|---|---|
"""

FIELDS_HEAD = """
## Fields

These fields connect lines: `run` (one run of the process; systemd's INVOCATION_ID, so
`journalctl _SYSTEMD_INVOCATION_ID=…` finds the same lines), `instance`, `batch` with
`attempt`, and `order_key`. The last two columns name the field in OpenTelemetry's
conventions and in the Elastic Common Schema; if they are empty, use `syncd.<field>`.
The levels are OpenTelemetry's severities DEBUG 5, INFO 9, WARN 13, ERROR 17, FATAL 21;
the resource is `service.name` = `syncd`.

| field | type | unit | meaning | OpenTelemetry | ECS |
|---|---|---|---|---|---|
"""

SHOWN = {
    "order_key": "order ",
    "batch": "batch ",
    "orders": "orders ",
    "status": "HTTP ",
    "lag_seconds": "lag ",
    "pending": "pending ",
    "duration_ms": "ms ",
    "reason": "",
    "hint": "",
    "error_kind": "",
    "message": "",
}
"""The fields in a line of lnav, each after a label (before lnav 0.12 without it)."""

KEYWORDS = {"table"}
"""Reserved words, which lnav refuses as names of columns."""

KINDS = {
    "integer": "integer",
    "number": "float",
    "flag": "boolean",
    "text": "string",
    "time": "string",
}
IDENTIFIERS = {"feed", "run", "instance", "batch", "order_key", "slot"}


def document() -> str:
    """Render the catalogue as a page."""
    events = "".join(_event(name, event) for name, event in EVENTS.items())
    named = {**{name: FIELDS[name] for name in FIRST}, **FIELDS}
    fields = "".join(_field(name, field) for name, field in named.items())
    return HEAD.replace("{command}", COMMAND) + events + FIELDS_HEAD + fields


def lnav() -> str:
    """Render lnav's format: every field is a column, some are displayed in the line."""
    values = {name: _lnav_value(name, field) for name, field in FIELDS.items()}
    for name in {"timestamp", "level", "event"} | KEYWORDS:
        del values[name]
    shape: dict[str, object] = {
        "$schema": "https://lnav.org/schemas/format-v1.schema.json",
        "syncd_log": {
            "title": "syncd",
            "description": "Lines of syncd; docs/log-events.md explains them",
            "json": True,
            "hide-extra": True,
            "file-pattern": "syncd",
            "timestamp-field": "timestamp",
            "level-field": "level",
            "body-field": "event",
            "opid-field": "batch",
            "level": {
                name: name for name in ("critical", "error", "warning", "info", "debug")
            },
            "line-format": _line_format(),
            "value": values,
        },
    }
    return json.dumps(shape, indent=2) + "\n"


def _event(name: str, event: Event) -> str:
    fields = " ".join(f"`{field}`" for field in event.fields)
    return f"| `{name}` | {event.level} | {fields} | {event.when} | {event.action} |\n"


def _field(name: str, field: Field) -> str:
    others = " | ".join(
        f"`{other}`" if other else "" for other in (field.otel, field.ecs)
    )
    return (
        (f"| `{name}` | {field.kind} | {field.unit} | {field.meaning} | {others} |\n")
        .replace("|  |", "| |")
        .replace("|  |", "| |")
    )


def _lnav_value(name: str, field: Field) -> Mapping[str, object]:
    value: dict[str, object] = {"kind": KINDS[field.kind], "description": field.meaning}
    value |= {"identifier": True} if name in IDENTIFIERS else {}
    return value | ({} if name in {*SHOWN, "feed"} else {"hidden": True})


def _line_format() -> list[object]:
    shown: list[object] = [
        {"field": "__timestamp__", "timestamp-format": "%m-%d %H:%M:%S.%L"},
        " ",
        {"field": "__level__", "text-transform": "uppercase", "min-width": 8},
        " ",
        {"field": "feed", "min-width": 6},
        " ",
        {"field": "event", "min-width": 22},
    ]
    for name, prefix in SHOWN.items():
        shown += [" ", {"field": name, "prefix": prefix, "default-value": ""}]
    return shown


if __name__ == "__main__":
    DOCUMENT.write_text(document())
    LNAV.write_text(lnav())
