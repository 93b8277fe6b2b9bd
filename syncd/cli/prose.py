"""Lines for people: broken between words on a terminal, whole for other programs."""

import textwrap

import click
from rich.console import Console


def say(console: Console, line: str, *, hang: int = 0) -> None:
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


def tell(*lines: str) -> None:
    """Print lines; whoever searches in them elsewhere finds them whole."""
    console = Console(highlight=False)
    for line in lines:
        if console.is_terminal:
            say(console, line, hang=2)
        else:
            click.echo(line)
