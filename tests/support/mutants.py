"""Compares the surviving mutants of `syncd/core` with the listed ones.

mutmut run 'syncd.core.*' && python tests/support/mutants.py

A mutant is identified by its function and its change, as `ast.unparse` writes it,
since mutmut's numbers shift with the code. Mutants with equal names count as one.
"""

import ast
import json
import sys
import tomllib
from collections.abc import Iterator
from difflib import ndiff
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).parents[2]
MUTANTS = ROOT / "mutants" / "syncd" / "core"
NAMED = ROOT / "tests" / "unit" / "core" / "survivors.toml"
ENOUGH = 95
"""Percent."""

AROUND = 30
"""Characters of a changed line that are kept on both sides of the change."""

_SURVIVED = {0, 5, 33, 34, 35}
"""mutmut's exit codes: passed, without tests (5, 33), skipped, suspicious."""

_NOT_RUN = {None, 2}


def changed_line(original: str, mutant: str) -> str:
    """Return what a mutant changes, like `if a < b: => if a <= b:`."""
    lines = list(ndiff(original.splitlines(), mutant.splitlines()))
    old, new = (
        " ".join(line[2:].strip() for line in lines if line.startswith(sign))
        for sign in "-+"
    )
    start = max(0, _common(old, new) - AROUND)
    end = max(0, _common(old[::-1], new[::-1]) - AROUND)
    return f"{old[start : len(old) - end]} => {new[start : len(new) - end]}"


def _common(one: str, other: str) -> int:
    """Return the length of the common prefix of two texts."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def read_named(document: str) -> dict[str, str]:
    """Return the reason of each survivor that a document lists.

    Raises:
        ValueError: A survivor is listed twice, or without a reason.
    """
    named: dict[str, str] = {}
    for group in tomllib.loads(document)["group"]:
        for name in group["mutants"].strip().splitlines():
            if name in named or not group["reason"].strip():
                raise ValueError(f"named twice, or without a reason: {name}")
            named[name] = group["reason"]
    return named


def faults(survivors: set[str], named: set[str]) -> list[str]:
    """Return a line for each survivor that is not listed, or is listed and caught."""
    return [
        *(f"survived, not named: {each}" for each in sorted(survivors - named)),
        *(f"named, but caught: {each}" for each in sorted(named - survivors)),
    ]


def _results() -> Iterator[tuple[str, int | None]]:
    """Yield mutants with mutmut's exit codes; a survivor with its changed line."""
    for meta in sorted(MUTANTS.glob("*.meta")):
        tree = ast.parse(meta.with_suffix("").read_text())
        found = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
        codes = json.loads(meta.read_text())["exit_code_by_key"]
        for key, code in codes.items():
            mangled = key.rpartition(".")[2]
            function = mangled.partition("__mutmut_")[0]
            name = f"{meta.name.partition('.')[0]}.{function[2:].replace('ǁ', '.')}"
            if code in _SURVIVED:
                pair = found[f"{function}__mutmut_orig"], found[mangled]
                pair[0].name = pair[1].name = function
                name = f"{name}: {changed_line(*map(ast.unparse, pair))}"
            yield name, code


def main() -> int:
    """Print each fault, then the percentage; return 0 when there is none."""
    results = list(_results())
    survived = [name for name, code in results if code in _SURVIVED]
    found = faults(set(survived), set(read_named(NAMED.read_text())))
    if waiting := sum(code in _NOT_RUN for _, code in results):
        found = [f"{waiting} mutants have not run"]
    caught = 100 * (1 - len(survived) / max(len(results), 1))
    if caught < ENOUGH:
        found.append(f"fewer than {ENOUGH} % are caught")
    print(*found, f"{caught:.1f} % of {len(results)} caught", sep="\n")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
