"""Lists of orders: for a terminal of any width, for other programs, as JSON."""

from collections.abc import Sequence
from datetime import datetime

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from syncd.cli.context import json_time, print_json
from syncd.cli.prose import print_line

MOST_LISTED = 1000
TABLE_COLUMNS = 70
"""A narrower terminal gets some lines for each order instead of a table."""

Row = tuple[object, ...]


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
