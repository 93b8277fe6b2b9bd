"""Options that the commands share; light, since the root has one of them too."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import click

T = TypeVar("T")

DEFAULT_PATH = Path("/etc/syncd/syncd.toml")


def _chosen(context: click.Context, _: click.Parameter, path: Path | None) -> Path:
    """Take the file after or before the command, in SYNCD_CONFIG, or the default."""
    return path or context.find_object(Path) or DEFAULT_PATH


_config_option = partial(
    click.option,
    "--config",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"Configuration, before or after the command [default: {DEFAULT_PATH}].",
)
config_option = _config_option(callback=_chosen)
"""Gives a command the path of its configuration."""
config_option_before = _config_option(envvar="SYNCD_CONFIG")
"""The same before the command; None when it is not given."""

as_json_option = click.option(
    "--json", "as_text", is_flag=True, help="JSON, for scripts."
)


def options_of(kind: type[T], given: Mapping[str, object]) -> T:
    """Make a command's options of what click read, by name."""
    return kind(**given)


def checked_reason(reason: str | None, *, resend: bool) -> str | None:
    """Return the reason for sending orders again; None when they are not.

    Raises:
        click.UsageError: --resend without --reason, or the other way round.
    """
    reason = (reason or "").strip()
    if resend and not reason:
        raise click.UsageError(
            'Give the reason for sending again: --resend --reason "wrong SKUs".'
        )
    if reason and not resend:
        raise click.UsageError("--reason needs --resend.")
    return reason or None
