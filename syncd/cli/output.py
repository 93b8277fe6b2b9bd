"""What commands print: lines and lists, fit to a terminal, whole for other programs."""

import json
import textwrap
from collections.abc import Sequence
from datetime import datetime

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from syncd.cli.context import json_time, print_json

MOST_LISTED = 1000
TABLE_COLUMNS = 70
"""A narrower terminal gets some lines for each order instead of a table."""
_ENDLESS = 1_000_000
_SHOWN = frozenset("\n\u200c\u200d")
"""Besides what is printable: line ends, and what joins letters and emoji."""

Row = tuple[object, ...]


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


def line_console() -> Console:
    """Return a console that breaks lines on a terminal only: whole ones for grep."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _ENDLESS
    return console


def shown_json(value: object) -> str:
    """Write a value as JSON for people: characters as they are.

    Invisible ones, and those that control a terminal, stay escaped.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, default=float)
    return "".join(
        c if c.isprintable() or c in _SHOWN else json.dumps(c)[1:-1] for c in text
    )


def print_lines(*lines: str) -> None:
    """Print lines; without a terminal they are not wrapped."""
    console = Console(highlight=False)
    for line in lines:
        if console.is_terminal:
            print_line(console, line, hang=2)
        else:
            click.echo(line)


def show(rows: Sequence[Row], names: Sequence[str], *, as_text: bool) -> None:
    """Print rows, at most MOST_LISTED, with the names of their columns."""
    if as_text:
        listed = [dict(zip(names, row, strict=True)) for row in rows]
        print_json(listed)
        return
    console = Console(highlight=False)
    if not rows:
        click.echo("none")
    elif console.is_terminal:
        _draw(console, rows, names)
    else:
        for row in rows:
            click.echo("  ".join(json_time(v) if v else "-" for v in row))
    if len(rows) == MOST_LISTED:
        click.echo(f"only the first {MOST_LISTED} are listed", err=True)


def _draw(console: Console, rows: Sequence[Row], names: Sequence[str]) -> None:
    if console.width >= TABLE_COLUMNS:
        console.print(_table(rows, names))
        return
    for row in rows:
        for name, value in zip(names, row, strict=True):
            indent = "" if name == names[0] else "  "
            print_line(console, f"{indent}{name.replace('_', ' ')}: {_plain(value)}")


def _table(rows: Sequence[Row], names: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_plain(value)) for value in row))
    return table


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M%z}"
    return str(value) if value else "-"
