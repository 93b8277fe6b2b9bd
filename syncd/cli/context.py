"""What the verbs share: the configuration, a connection, times in JSON."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec

import click

from syncd.capture.listen.notify import notify_daemons
from syncd.cli.option import config_option
from syncd.config.configuration import load
from syncd.config.settings import Settings
from syncd.core.errors import SyncdError
from syncd.source.connections import Connections, connect

P = ParamSpec("P")


def configured(
    command: Callable[Concatenate[Settings, P], None],
) -> Callable[P, None]:
    """Add to a command the option --config, and the configuration that it names.

    The API key is empty where it may not be read: few verbs need it.
    """
    return _configured(command, wants_key=False)


def configured_with_key(
    command: Callable[Concatenate[Settings, P], None],
) -> Callable[P, None]:
    """Do the same for a command that needs the API key."""
    return _configured(command, wants_key=True)


def _configured(
    command: Callable[Concatenate[Settings, P], None], *, wants_key: bool
) -> Callable[P, None]:
    @config_option
    @wraps(command)
    def with_settings(path: Path, *args: P.args, **kwargs: P.kwargs) -> None:
        command(load(path, wants_key=wants_key), *args, **kwargs)

    return with_settings  # type: ignore[return-value]  # click adds the option


@contextmanager
def connected(settings: Settings) -> Iterator[Connections]:
    """Open the connections for one command."""
    connections = connect(settings, "cli")
    try:
        yield connections
    finally:
        connections.close()


@contextmanager
def changing(settings: Settings) -> Iterator[Connections]:
    """Open the connections for a command, and notify the daemons afterwards."""
    with connected(settings) as connections:
        yield connections
        if settings.source.capture == "listen":
            with suppress(SyncdError):  # they poll anyway, only later
                notify_daemons(connections.primary or connections.source, settings.feed)


def print_json(document: object) -> None:
    """Print a document for scripts; a time as ISO 8601, anything else as its text."""
    click.echo(json.dumps(document, indent=2, default=json_time))


def json_time(value: object) -> str:
    """Write a time as ISO 8601, anything else as its text."""
    return value.isoformat() if isinstance(value, datetime) else str(value)
