"""Help pages: from 40 columns, with an example of every command.

A command's docstring has a summary, what one should know, and a last paragraph that
begins with "Example:" or "Examples:", with one command a line.
"""

import os
import re
import shutil
import textwrap
from collections import UserDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from inspect import cleandoc
from typing import Any

import click
from typing_extensions import override

NARROWEST = 40
WIDEST = 80
_TABLE_FROM = 60
"""Columns from which a term and its text stand side by side."""

_EXAMPLES = re.compile(r"(?:\x08\n)?Examples?:\s*")
_WORDS = re.compile(r"""(?:"[^"]*"|'[^']*'|\S)+""")


def split_examples(text: str) -> tuple[str, Sequence[str]]:
    """Split a help text into its text and its examples, one command each.

    Exit codes may follow the examples; they belong to the text.
    """
    kept: list[str] = []
    examples: list[str] = []
    for paragraph in re.split(r"\n\s*\n", cleandoc(text)):
        found = _EXAMPLES.match(paragraph)
        if not found:
            kept.append(paragraph)
            continue
        shown, marker, codes = paragraph[found.end() :].partition("Exit codes:")
        if marker:
            kept.append(" ".join(f"{marker}{codes}".split()))
        for line in shown.splitlines():
            if line.strip().startswith("syncd") or not examples:
                examples.append(line.strip())
            else:
                examples[-1] += f" {line.strip()}"
    return "\n\n".join(kept), examples


def summary(command: click.Command) -> str:
    """Return the first sentence of a command's help, in one line."""
    first = split_examples(command.help or "")[0].partition("\n\n")[0]
    return " ".join(first.split()).partition(". ")[0].rstrip(".")


def continued(example: str, width: int) -> Sequence[str]:
    """Break a command into lines that a shell takes as one; never within quotes."""
    lines = [""]
    for word in _WORDS.findall(example):
        if lines[-1] and len(lines[-1]) + len(word) + 3 > width:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


class Formatter(click.HelpFormatter):
    """Writes a page of 40 to 80 columns; headings are bold where there is colour."""

    def __init__(
        self,
        indent_increment: int = 2,
        width: int | None = None,
        max_width: int | None = None,
    ) -> None:
        columns = width or shutil.get_terminal_size().columns
        columns = max(NARROWEST, min(columns, max_width or WIDEST))
        super().__init__(indent_increment, columns, max_width)

    @override
    def write_heading(self, heading: str) -> None:
        indent = " " * self.current_indent
        self.write(f"{indent}{click.style(f'{heading}:', bold=True)}\n")

    @override
    def write_text(self, text: str) -> None:
        kept, examples = split_examples(text)
        if kept:
            super().write_text(self._narrowed(kept))
        if examples:
            self.dedent()
            with self.section("Examples" if len(examples) > 1 else "Example"):
                self._write_examples(examples)
            self.indent()

    @override
    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 26, col_spacing: int = 2
    ) -> None:
        if self.width >= _TABLE_FROM:
            super().write_dl(rows, col_max, col_spacing)
            return
        for term, text in rows:
            self._write_wrapped(term, self.current_indent, 4)
            self._write_wrapped(text, self.current_indent + 4, 0)

    def _write_examples(self, examples: Sequence[str]) -> None:
        indent = " " * self.current_indent
        for example in examples:
            for line in continued(example, self.width - self.current_indent):
                self.write(f"{indent}{line}\n")

    def _write_wrapped(self, text: str, indent: int, hang: int) -> None:
        lines = textwrap.wrap(
            text,
            self.width,
            initial_indent=" " * indent,
            subsequent_indent=" " * (indent + hang),
            break_on_hyphens=False,
        )
        self.write("".join(f"{line}\n" for line in lines))

    def _narrowed(self, text: str) -> str:
        """Break the lines of paragraphs that are not to be rewrapped, if need be."""
        room = self.width - self.current_indent
        paragraphs = []
        for paragraph in text.split("\n\n"):
            lines = paragraph.splitlines()
            if lines[0] == "\b":
                lines = [part for line in lines for part in _hung(line, room)]
            paragraphs.append("\n".join(lines))
        return "\n\n".join(paragraphs)


def _hung(line: str, room: int) -> Sequence[str]:
    if len(line) <= room:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, room, subsequent_indent=indent, break_on_hyphens=False)


class Page(click.Context):
    """A context whose help is written by `Formatter`, coloured as the user wishes."""

    formatter_class = Formatter

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # click's own
        super().__init__(*args, **kwargs)
        if self.color is None:
            self.color = wants_colour(os.environ)


def wants_colour(environment: Mapping[str, str]) -> bool | None:
    """Return whether colours are wanted; None: where there is a terminal."""
    if environment.get("NO_COLOR"):
        return False
    return True if environment.get("FORCE_COLOR") else None


class LazyCommands(UserDict[str, click.Command]):
    """Commands by name, each imported from its module on use.

    A command that imports all the others starts twice as late.
    """

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, str] = {}

    @override
    def __getitem__(self, name: str) -> click.Command:
        if name not in self.data:
            module, _, attribute = self.places[name].partition(":")
            command = getattr(import_module(f"syncd.{module}"), attribute)
            _show_as_page(command)
            self.data[name] = command
        return self.data[name]

    @override
    def __contains__(self, name: object) -> bool:
        return name in self.places

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    @override
    def __len__(self) -> int:
        return len(self.places)


class SectionedGroup(click.Group):
    """The commands, in sections by purpose."""

    context_class = Page

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # click's own
        super().__init__(*args, **kwargs)
        self._verbs = LazyCommands()
        self.commands = self._verbs
        self._sections: dict[str, list[str]] = {}

    def put(self, section: str, **places: str) -> None:
        """Add commands, and show them in this section in this order.

        Args:
            section: Its heading.
            places: By the command's name, `_` for `-`: its `module:attribute` in syncd.
        """
        named = {name.replace("_", "-"): place for name, place in places.items()}
        self._sections[section] = list(named)
        self._verbs.places |= named

    @property
    def sections(self) -> dict[str, list[click.Command]]:
        """The commands by section, all of them imported."""
        return {
            section: [self.commands[name] for name in names]
            for section, names in self._sections.items()
        }

    @override
    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    @override
    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        width = max(len(str(name)) for name in self.commands)
        for section, commands in self.sections.items():
            with formatter.section(section):
                formatter.write_dl(
                    [(str(c.name).ljust(width), summary(c)) for c in commands]
                )


def _show_as_page(command: click.Command) -> None:
    command.context_class = Page
    command.short_help = summary(command)  # click would cut it off
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _show_as_page(each)
