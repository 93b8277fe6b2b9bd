"""Documents about the command line, made from the command line itself."""

import click
from click.shell_completion import get_completion_class

from syncd.cli.manual import manual

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
