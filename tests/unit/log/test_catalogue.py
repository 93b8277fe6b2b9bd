"""The catalogue of events matches the code and the documents."""

import ast
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from typing import get_args

from support.log_documents import COMMAND, DOCUMENT, LNAV, document, lnav

from syncd.log.events import EVENTS, FIELDS, FIRST, Kind, Level

SYNCD = Path(__file__).parents[3] / "syncd"
WRITERS = {"emit", "emit_folded", "emit_once"}
BY_ITSELF = {"library.log": {"logger", "message", "suppressed"}}


def emitted() -> Iterator[tuple[str, set[str]]]:
    """Return the lines that the code logs, each with its fields."""
    for file in sorted(SYNCD.rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text())):
            if not isinstance(call, ast.Call) or file.name == "log.py":
                continue
            writer = getattr(call.func, "attr", "")
            if writer not in WRITERS:
                continue
            name = call.args[0]
            assert isinstance(name, ast.Constant), f"{file}:{call.lineno}: no literal"
            fields = {keyword.arg or "**" for keyword in call.keywords}
            if fields == {"**"}:  # one set of facts for several events
                fields = set(EVENTS[str(name.value)].fields)
            folded = {"suppressed"} if writer == "emit_folded" else set()
            yield str(name.value), fields | folded
    yield "daemon.crashed", {"error_kind", "exception"}


def test_every_field_of_the_catalogue_is_logged_and_no_other() -> None:
    """Consumers rely on each documented field."""
    written: dict[str, set[str]] = {name: set(f) for name, f in BY_ITSELF.items()}
    for name, fields in emitted():
        written.setdefault(name, set()).update(fields)
    declared = {name: set(event.fields) for name, event in EVENTS.items()}
    assert written.keys() - declared.keys() == set(), "add these to events.toml"
    assert declared.keys() - written.keys() == set(), "nothing emits these events"
    differing = {
        name: written[name] ^ fields
        for name, fields in declared.items()
        if written[name] != fields
    }
    assert differing == {}, "events.toml and the emitting lines disagree"


def test_every_field_has_one_meaning_and_type() -> None:
    """A database of log lines needs one column for each."""
    used = {field for event in EVENTS.values() for field in event.fields} | set(FIRST)
    assert used - FIELDS.keys() == set(), "say what these hold in events.toml"
    assert FIELDS.keys() - used == set(), "no event has these: take them out"


def test_every_entry_is_complete() -> None:
    """A file has no types: an invalid entry is found here, and by no daemon."""
    assert {event.level for event in EVENTS.values()} <= set(get_args(Level))
    assert {field.kind for field in FIELDS.values()} <= set(get_args(Kind))
    assert {type(text) for e in EVENTS.values() for text in (e.when, e.action)} == {str}
    texts = [text for field in FIELDS.values() for text in astuple(field)]
    assert {type(text) for text in texts} == {str}
    doubled = [n for n, e in EVENTS.items() if len(e.fields) > len(set(e.fields))]
    assert doubled == []


def test_a_numbers_unit_is_documented() -> None:
    """Times, sizes and rates have it in the name; the table always has it."""
    without = {n for n, f in FIELDS.items() if f.kind == "number" and not f.unit}
    assert without == {"rate_factor"}, "a share has none; others need one"
    suffixes = {"s": "_seconds", "ms": "_ms", "MiB": "_mb", "orders/min": "_per_minute"}
    wrong = {
        name
        for name, field in FIELDS.items()
        if field.unit in suffixes and not name.endswith(suffixes[field.unit])
    }
    assert wrong == set()


def test_a_warning_has_an_action() -> None:
    """Every event for a person needs one."""
    urgent = [n for n, e in EVENTS.items() if e.level in {"error", "critical"}]
    assert [name for name in urgent if EVENTS[name].action == "nothing"] == []


def test_the_documents_match_the_catalogue() -> None:
    """`docs/log-events.md` and lnav's format are generated from it."""
    assert DOCUMENT.read_text() == document(), f"run `{COMMAND}`"
    assert LNAV.read_text() == lnav(), f"run `{COMMAND}`"
