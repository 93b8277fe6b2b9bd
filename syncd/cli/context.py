"""What the commands share: configuration, connections, a feed, times as people write.

It is light, since the daemon has it in memory too.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec

import click

from syncd.capture.listen.notify import notify_daemons
from syncd.cli.option import config_option
from syncd.config.configuration import load
from syncd.config.settings import Settings
from syncd.core.errors import SyncdError
from syncd.delivery.rendering import rules_of
from syncd.ledger.batches import Ledger
from syncd.ledger.feed import Feed, FeedStore
from syncd.postgres.database import Database
from syncd.source.connections import Connections, connect, source_on
from syncd.source.orders import Source

P = ParamSpec("P")


def configured(
    command: Callable[Concatenate[Settings, P], None], *, wants_key: bool = False
) -> Callable[P, None]:
    """Add to a command the option --config, and the configuration that it names.

    The API key is empty where it may not be read, unless the command wants it.
    """

    @config_option
    @wraps(command)
    def with_settings(path: Path, *args: P.args, **kwargs: P.kwargs) -> None:
        command(load(path, wants_key=wants_key), *args, **kwargs)

    return with_settings  # type: ignore[return-value]  # click adds the option


def configured_with_key(
    command: Callable[Concatenate[Settings, P], None],
) -> Callable[P, None]:
    """Do the same for a command that needs the API key."""
    return configured(command, wants_key=True)


@contextmanager
def connected(settings: Settings) -> Iterator[Connections]:
    """Open the connections for one command."""
    with closing(connect(settings, "cli")) as connections:
        yield connections


@contextmanager
def changing(settings: Settings) -> Iterator[Connections]:
    """Open the connections for a command, and notify the daemons afterwards."""
    with connected(settings) as connections:
        yield connections
        if settings.source.capture == "listen":
            with suppress(SyncdError):  # they poll anyway, only later
                notify_daemons(connections.primary or connections.source, settings.feed)


@dataclass(frozen=True, slots=True)
class OpenFeed:
    """A started feed, and what a command reads and changes of it."""

    settings: Settings
    connections: Connections
    feed: Feed
    source: Source
    ledger: Ledger

    @classmethod
    def on(cls, settings: Settings, connections: Connections) -> "OpenFeed":
        """Find the feed.

        Raises:
            SchemaMismatchError: It was never started, or there is no ledger.
        """
        feed = FeedStore(connections, settings.feed).get()
        ledger = Ledger(connections.ledger, feed.feed_id)
        return cls(
            settings, connections, feed, source_on(settings, connections), ledger
        )

    @property
    def feed_id(self) -> int:
        """The feed's number in the ledger."""
        return self.feed.feed_id

    @property
    def database(self) -> Database:
        """The ledger's database."""
        return self.connections.ledger


@contextmanager
def open_feed(settings: Settings, *, changes: bool = False) -> Iterator[OpenFeed]:
    """Connect to a started feed; notify its daemons afterwards of changes.

    Raises:
        SchemaMismatchError: It was never started, or there is no ledger.
    """
    with (changing if changes else connected)(settings) as connections:
        yield OpenFeed.on(settings, connections)


def print_json(document: object) -> None:
    """Print a document for scripts; a time as ISO 8601, anything else as its text."""
    click.echo(json.dumps(document, indent=2, default=json_time))


def json_time(value: object) -> str:
    """Write a time as ISO 8601, anything else as its text."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


_AGO = re.compile(r"(\d{1,6}) (second|minute|hour|day|week)s? ago")
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_EXAMPLES = '2026-01-31, 2026-01-31T12:00+01:00, "90 days ago", yesterday or now'


def read_moment(text: str, settings: Settings, option: str) -> datetime:
    """Read a time; one without a zone is in the configured one.

    Raises:
        click.BadParameter: It is not a time, in the future, or before 1970.
    """
    now = datetime.now(UTC)
    moment = _read(text.strip(), now.astimezone(rules_of(settings).zone))
    if moment is None:
        raise click.BadParameter(
            f"{text!r} is not a valid time, e.g. {_EXAMPLES}", param_hint=option
        )
    if moment > now:
        raise click.BadParameter(f"{text} is in the future", param_hint=option)
    if moment < _EARLIEST:
        raise click.BadParameter(f"{text} is before 1970", param_hint=option)
    return moment


def _read(text: str, now: datetime) -> datetime | None:
    midnight = datetime.combine(now.date(), time(), now.tzinfo)
    words = {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if text.lower() in words:
        return words[text.lower()]
    try:
        if ago := _AGO.fullmatch(text.lower()):
            # of real time: in UTC, whatever the local clocks did meanwhile
            span = timedelta(**{f"{ago[2]}s": int(ago[1])})
            return now.astimezone(UTC) - span
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
