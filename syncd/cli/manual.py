"""`syncd man` and `completion`: made from the command line itself.

The page syncd(1) is written in the macros of man(7), which groff and mandoc read.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from importlib.resources import files

import click
from click.shell_completion import get_completion_class

from syncd import __version__
from syncd.cli.pages import SectionedGroup, split_examples, summary
from syncd.core.errors import ExitCode

DESCRIPTION = """\
syncd runs next to a shop's PostgreSQL order database. It finds every order that
becomes confirmed, keeps it in a ledger, and sends it to Squeezely (Spotler Activate)
as a back-end Purchase event. No confirmed order is missed; a repeat happens only
after an attempt whose outcome is unknown, carries the same orderid, and is counted."""


def manual(context: click.Context) -> str:
    """Write the page of the whole command line; the context is the root command's."""
    return "".join(f"{line}\n" for line in _page(context) if line)


def reference() -> Mapping[str, Mapping[str, str]]:
    """Read `manual.toml`: files, environment and signals of every command."""
    text = (files("syncd.cli") / "manual.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _page(context: click.Context) -> Iterator[str]:
    root = context.command
    assert isinstance(root, SectionedGroup)  # noqa: S101  # syncd's root
    yield f'.TH SYNCD 1 "{_today()}" "syncd {__version__}" "User Commands"'
    yield from (".nh", ".ad l")
    yield from (".SH NAME", rf"syncd \- {_plain(summary(root))}")
    yield from (
        ".SH SYNOPSIS",
        r".B syncd",
        r"[\fIOPTIONS\fR] \fIVERB\fR [\fIARGUMENTS\fR]",
    )
    yield from (".SH DESCRIPTION", _plain(DESCRIPTION), ".SH OPTIONS")
    yield from _options(context)
    yield ".SH COMMANDS"
    for section, commands in root.sections.items():
        yield f".SS {_plain(section)}"
        for command in commands:
            yield from _verb(command, context)
    for heading, entries in reference().items():
        yield from _list(heading.upper(), entries, "I" if heading == "files" else "B")
    codes = {str(int(code)): code.meaning for code in ExitCode}
    yield from _list("EXIT STATUS", codes, "B")
    yield from (
        ".SH SEE ALSO",
        r".BR systemctl (1),",
        r".BR journalctl (1),",
        r".BR psql (1)",
    )


def _today() -> date:
    """Return the page's date; that of the sources where a build sets it."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return now.date()


def _verb(command: click.Command, parent: click.Context) -> Iterator[str]:
    """Write a command; of a group, its commands."""
    context = command.context_class(command, info_name=command.name, parent=parent)
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from _verb(each, context)
        return
    description, examples = split_examples(command.help or "")
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield from (".TP", rf".B {_plain(usage)}")
    for number, paragraph in enumerate(description.split("\n\n")):
        yield ".IP" if number else ""
        yield from _lines(paragraph)
    if examples:
        yield from (".IP", "For example:")
    for example in examples:
        yield from (".br", rf".B {_plain(example)}")
    if options := [*_options(context)]:
        yield from (".RS", *options, ".RE")


def _lines(paragraph: str) -> Iterator[str]:
    kept = paragraph.startswith("\b\n")
    for number, line in enumerate(paragraph.removeprefix("\b\n").splitlines()):
        yield ".br" if kept and number else ""
        yield _plain(line.strip())


def _options(context: click.Context) -> Iterator[str]:
    """Write a command's options; those that every command has appear once."""
    root = context.find_root()
    params = root.command.get_params(root) if context.parent else []
    known = {"--help"}.union(*(option.opts for option in params))
    for option in context.command.get_params(context):
        record = option.get_help_record(context)
        is_known = isinstance(option, click.Argument) or known.issuperset(option.opts)
        if record and not is_known:
            yield from (".TP", rf".B {_plain(record[0])}", _plain(record[1]))


def _list(heading: str, entries: Mapping[str, str], font: str) -> Iterator[str]:
    yield f".SH {heading}"
    for name, meaning in entries.items():
        yield from (".TP", f".{font} {_plain(name)}", _plain(meaning))


def _plain(text: str) -> str:
    """Write text that troff is to print as it is, line by line."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("`", r"\(ga")
    text = text.replace("'", r"\(aq").replace("^", r"\(ha").replace("~", r"\(ti")
    text = text.replace("\u2026", "...").replace('"', r"\(dq")
    return re.sub(r"^\.", r"\&.", text, flags=re.MULTILINE)


SHELLS = ("bash", "zsh", "fish")
_COMPLETE_VARIABLE = "_SYNCD_COMPLETE"
"""The variable that click reads when the program is called syncd."""


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, *, shell: str) -> None:
    """Print a shell's completion script for syncd's commands and options.

    Source it in the shell's start-up file, or save it in the shell's completion
    directory.

    \b
    Examples: source <(syncd completion bash)
              syncd completion fish > syncd.fish
    """  # noqa: D301  # click's mark for "do not rewrap"
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  # click has all three
    root = context.find_root().command
    click.echo(kind(root, {}, "syncd", _COMPLETE_VARIABLE).source())


@click.command()
@click.pass_context
def man(context: click.Context) -> None:
    """Print the manual page, syncd(1).

    \b
    Examples: syncd man | man -l -
              syncd man > /usr/local/share/man/man1/syncd.1
    """  # noqa: D301  # click's mark for "do not rewrap"
    click.echo(manual(context.find_root()), nl=False)
