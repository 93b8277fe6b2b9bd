"""Lines for people: broken between words on a terminal, whole for other programs."""

import json
import textwrap

import click
from rich.console import Console

_SHOWN = frozenset("\n\u200c\u200d")
"""Besides what is printable: line ends, and what joins letters and emoji."""


def print_line(console: Console, line: str, *, hang: int = 0) -> None:
    """Print a line in the console's width; of an indented one, the rest below it."""
    depth = len(line) - len(line.lstrip())
    indent = " " * (depth + 2 if depth else hang)
    parts = textwrap.wrap(
        line,
        console.width,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,  # a command or a key can be copied whole
    )
    for part in parts:
        console.print(part, markup=False, soft_wrap=True)


def shown_json(value: object) -> str:
    """Write a value as JSON for people: characters as they are.

    Invisible ones, and those that control a terminal, stay escaped.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, default=float)
    return "".join(c if _is_shown(c) else json.dumps(c)[1:-1] for c in text)


def _is_shown(character: str) -> bool:
    return character.isprintable() or character in _SHOWN


def print_lines(*lines: str) -> None:
    """Print lines; without a terminal they are not wrapped."""
    console = Console(highlight=False)
    for line in lines:
        if console.is_terminal:
            print_line(console, line, hang=2)
        else:
            click.echo(line)
