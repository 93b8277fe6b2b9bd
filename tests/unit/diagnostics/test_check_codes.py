"""The catalogue of findings, its documentation, and how a check ends."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from syncd.core.exit_code import ExitCode
from syncd.diagnostics.check.check import exit_code
from syncd.diagnostics.check.codes import CODES, SECTIONS
from syncd.diagnostics.check.finding import Finding

ROOT = Path(__file__).parents[3]


def test_every_code_is_found_somewhere_and_every_found_one_is_in_the_catalogue() -> (
    None
):
    """A finding of another code cannot be made."""
    used = {
        node.value
        for file in (
            *(ROOT / "syncd" / "diagnostics" / "check").glob("*.py"),
            ROOT / "syncd/config/configuration.py",
        )
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(CODES) - used == set()
    with pytest.raises(KeyError):
        Finding("made.up", "it", "is not")


def test_the_document_of_findings_is_the_catalogue() -> None:
    """`docs/check.md` has each code with its meaning and next step."""
    documented = (ROOT / "docs" / "check.md").read_text()
    rows = [
        f"| `{name}` | {code.severity} | {code.meaning} | {code.step or '-'} |"
        for name, code in CODES.items()
    ]
    assert [row for row in rows if row not in documented] == []
    assert len(re.findall(r"^\| `", documented, re.MULTILINE)) == len(rows)


def test_codes_are_in_sections_and_faults_have_a_next_step() -> None:
    """An error without a next step leaves a person alone."""
    assert {code.section for code in CODES.values()} == set(SECTIONS)
    assert {code.severity for code in CODES.values()} == {"ok", "warning", "error"}
    wrong = {name for name, c in CODES.items() if c.severity != "ok" and not c.step}
    assert wrong == set()


def test_what_an_error_means_for_a_start_is_declared_for_each() -> None:
    """And for nothing else: a warning never keeps a daemon from starting."""
    text = (ROOT / "syncd" / "diagnostics" / "check" / "codes.toml").read_text()
    declared = {
        name for name, values in tomllib.loads(text).items() if "start" in values
    }
    assert declared == {name for name, c in CODES.items() if c.severity == "error"}
    assert {CODES[name].start for name in declared} == {"stops", "waits", "continues"}
    late = {name for name in declared if CODES[name].restart}
    assert all(CODES[name].start == "stops" for name in late)


def test_a_code_is_tested_on_the_real_thing() -> None:
    """Each name stands in some test."""
    tests = "".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    assert {name for name in CODES if f'"{name}"' not in tests} == set()


@pytest.mark.parametrize(
    ("codes", "strict", "end"),
    [
        (["config.read"], False, ExitCode.OK),
        (["config.read", "orders.none"], False, ExitCode.OK),
        (["config.read", "orders.none"], True, ExitCode.FAILED),
        (["config.read"], True, ExitCode.OK),
        (["server.unreachable", "orders.none"], True, ExitCode.UNAVAILABLE),
        (["endpoint.nameless"], False, ExitCode.UNAVAILABLE),
        (["server.unreachable", "config.unknown"], False, ExitCode.CONFIG),
        (["server.unreachable", "role.missing"], False, ExitCode.PERMISSION),
        (["server.refused", "views.key"], False, ExitCode.CONFIG),
    ],
)
def test_a_check_ends_by_its_gravest_finding(
    codes: list[str], end: ExitCode, *, strict: bool
) -> None:
    """What only a person can mend goes before what may come back by itself."""
    findings = [Finding(code, "it", "is so") for code in codes]
    assert exit_code(findings, is_strict=strict) is end
