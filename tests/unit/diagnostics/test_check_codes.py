"""The catalogue of findings, its documentation, and the exit codes of a check."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from syncd.core.errors import ExitCode
from syncd.diagnostics.check.check import exit_code
from syncd.diagnostics.check.finding import CODES, SECTIONS, Finding

ROOT = Path(__file__).parents[3]


def test_every_code_is_used_and_every_used_code_is_in_the_catalogue() -> None:
    """A finding with another code cannot be made."""
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


def test_the_document_of_findings_matches_the_catalogue() -> None:
    """`docs/check.md` has each code with its meaning and next step."""
    documented = (ROOT / "docs" / "check.md").read_text()
    rows = [
        f"| `{name}` | {code.severity} | {code.meaning} | {code.step or '-'} |"
        for name, code in CODES.items()
    ]
    assert [row for row in rows if row not in documented] == []
    assert len(re.findall(r"^\| `", documented, re.MULTILINE)) == len(rows)


def test_codes_have_sections_and_faults_have_a_next_step() -> None:
    """An error without a next step does not help an operator."""
    assert {code.section for code in CODES.values()} == set(SECTIONS)
    assert {code.severity for code in CODES.values()} == {"ok", "warning", "error"}
    wrong = {name for name, c in CODES.items() if c.severity != "ok" and not c.step}
    assert wrong == set()


def test_each_error_declares_what_it_means_for_a_start() -> None:
    """Only errors do: a warning never prevents a start."""
    text = (ROOT / "syncd" / "diagnostics" / "check" / "codes.toml").read_text()
    declared = {
        name for name, values in tomllib.loads(text).items() if "start" in values
    }
    assert declared == {name for name, c in CODES.items() if c.severity == "error"}
    assert {CODES[name].start for name in declared} == {"stops", "waits", "continues"}
    late = {name for name in declared if CODES[name].restart}
    assert all(CODES[name].start == "stops" for name in late)


def test_every_code_is_tested() -> None:
    """Each code occurs in a test."""
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
def test_the_gravest_finding_determines_the_exit_code(
    codes: list[str], end: ExitCode, *, strict: bool
) -> None:
    """A fault for a person to fix ranks before one that may recover by itself."""
    findings = [Finding(code, "it", "is so") for code in codes]
    assert exit_code(findings, is_strict=strict) is end
