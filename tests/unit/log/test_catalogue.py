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


def name_of(call: ast.Call) -> str:
    return str(getattr(call.func, "attr", getattr(call.func, "id", "")))


def calls_in(node: ast.AST) -> list[ast.Call]:
    return [each for each in ast.walk(node) if isinstance(each, ast.Call)]


def named_in(node: ast.AST) -> set[str]:
    """Return the keys of dictionaries, and the keywords of calls that log nothing."""
    keys = {
        str(key.value)
        for each in ast.walk(node)
        if isinstance(each, ast.Dict)
        for key in each.keys
        if isinstance(key, ast.Constant)
    }
    quiet = [call for call in calls_in(node) if name_of(call) not in WRITERS]
    return keys | {str(keyword.arg) for call in quiet for keyword in call.keywords}


def gathered(tree: ast.Module, call: ast.Call) -> set[str]:
    """Return the fields of a line that is given `**facts`.

    They are named where it is logged, in a function that is called there, or by the
    callers of the one that logs.
    """
    made = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)]
    (logs,) = (function for function in made if call in calls_in(function))
    called = {name_of(each) for each in calls_in(logs)}
    parts: list[ast.AST] = [
        logs,
        *(function for function in made if function.name in called),
    ]
    parts += [each for each in calls_in(tree) if name_of(each) == logs.name]
    return {name for part in parts for name in named_in(part)}


def emitted() -> Iterator[tuple[str, set[str]]]:
    """Return the lines that the code logs, each with its fields."""
    for file in sorted(SYNCD.rglob("*.py")):
        tree = ast.parse(file.read_text())
        for call in calls_in(tree):
            writer = name_of(call)
            if writer not in WRITERS or file.name == "log.py":
                continue
            name = call.args[0]
            assert isinstance(name, ast.Constant), f"{file}:{call.lineno}: no literal"
            fields = {keyword.arg or "**" for keyword in call.keywords}
            if fields == {"**"}:
                declared = set(EVENTS[str(name.value)].fields)
                fields = gathered(tree, call) & declared
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
