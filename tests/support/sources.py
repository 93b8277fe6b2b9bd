"""The package's files and their syntax trees, read once per process."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = sorted((ROOT / "syncd").rglob("*.py"))


@cache
def nodes(file: Path) -> tuple[ast.AST, ...]:
    """Parse a file and return every node of its tree."""
    return tuple(ast.walk(ast.parse(file.read_text())))
