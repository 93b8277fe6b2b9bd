"""Taking a feed out of databases and off this host; what other feeds have stays."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from psycopg import sql

from syncd.config.settings import Settings
from syncd.core.errors import ConfigError, SchemaMismatchError
from syncd.ledger.start_journal import FAILED_SUFFIX
from syncd.ledger.state_file import SERVED_SUFFIX, StateFile
from syncd.postgres.database import Database
from syncd.postgres.statements import query
from syncd.setup.install.install import installed
from syncd.setup.install.scripts import (
    SqlScript,
    pinned,
    pinned_both,
    refuse_untrusted,
    run,
    script,
)
from syncd.source.connections import Connections

_SUFFIXES = (".json", SERVED_SUFFIX, FAILED_SUFFIX)
_UNFINISHED = ".[0-9]*.[0-9]*"


@dataclass(frozen=True, slots=True)
class KnownFeed:
    """What the ledger has of a feed.

    Attributes:
        orders: How many.
        since: When the feed began; None: it has triggers and never began.
    """

    feed: str
    orders: int
    since: datetime | None

    @property
    def title(self) -> str:
        """The feed with what would be erased, for people."""
        if self.since is None:
            return f"{self.feed} (not started yet)"
        return f"{self.feed} ({self.orders} orders since {self.since:%Y-%m-%d})"


@dataclass(frozen=True, slots=True)
class Removal:
    """What an uninstallation takes out.

    Attributes:
        gone: Feeds that are erased.
        kept: Feeds that stay: the ledger's tables stay for them.
    """

    gone: Sequence[KnownFeed]
    kept: Sequence[KnownFeed]
    ledger: Sequence[SqlScript]
    source: Sequence[SqlScript]


def removal(connections: Connections, feed: str, *, every: bool = False) -> Removal:
    """Find what an uninstallation of a feed takes out; in the open transaction.

    Args:
        connections: As roles that own what is there.
        feed: The feed's name.
        every: Whether all feeds are meant, and the ledger as a whole.

    Raises:
        SchemaMismatchError: There is no ledger.
    """
    ledger, source = connections.ledger, connections.source
    for database in dict.fromkeys((ledger, source)):
        refuse_untrusted(database)
    if not installed(ledger):
        raise SchemaMismatchError("there is no ledger", "There is nothing to drop.")
    known = _known(ledger, source)
    gone = [each for each in known if every or each.feed == feed]
    kept = [each for each in known if each not in gone]
    dropped = (
        script("uninstall_feed.sql", feed=sql.Literal(feed))
        if kept
        else script("uninstall.sql")
    )
    names = dict.fromkeys([*(each.feed for each in gone), feed])
    return Removal(gone, kept, [dropped], [outbox_removal(each) for each in names])


def uninstall(connections: Connections, feed: str, *, every: bool = False) -> Removal:
    """Drop a feed's triggers and its ledger; the views and their schema stay.

    Returns:
        What was taken out.

    Raises:
        SchemaMismatchError: There is no ledger.
        TableBusyError: The shop holds a lock; nothing was changed.
    """
    with pinned_both(connections):
        found = removal(connections, feed, every=every)
        run(connections.source, found.source)
        run(connections.ledger, found.ledger)
    return found


def stop_listening(source: Database, feed: str) -> None:
    """Drop a feed's triggers, and the outbox if no other feed has any.

    Raises:
        TableBusyError: The shop holds a lock; nothing was changed.
    """
    with pinned(source):
        refuse_untrusted(source)
        run(source, [outbox_removal(feed)])


def outbox_removal(feed: str) -> SqlScript:
    """Return the SQL that removes a feed's triggers, and the outbox with the last."""
    return script("capture/uninstall.sql", feed=sql.Literal(feed))


class _Daemon(NamedTuple):
    """A running daemon."""

    feed: str
    host: str
    pid: int


def refuse_running(ledger: Database, feeds: Sequence[str]) -> None:
    """Refuse to take out what daemons work with; in the open transaction.

    Raises:
        ConfigError: One of a feed runs.
    """
    for feed, host, pid in ledger.rows(_Daemon, query("running_daemons")):
        if feed in feeds:
            raise ConfigError(
                f"a daemon of feed {feed} runs: pid {pid} on {host}; nothing was "
                "changed",
                "Stop it first (systemctl stop syncd), or use --while-running.",
            )


def _known(ledger: Database, source: Database) -> list[KnownFeed]:
    """List the feeds that have a ledger, or triggers."""
    known = ledger.rows(KnownFeed, query("known_feeds"))
    feeds = {each.feed: each for each in known}
    for name in source.values(str, query("listening_feeds")):
        feeds.setdefault(name, KnownFeed(name, 0, None))
    return list(feeds.values())


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Files of feeds that are no more.

    Attributes:
        gone: Those that were removed.
        left: Those that could not be.
    """

    gone: Sequence[Path]
    left: Sequence[Path]


def remove_leftovers(
    settings: Settings, feeds: Sequence[str], environment: Mapping[str, str]
) -> Leftovers | None:
    """Remove what this host remembers of feeds whose ledger was taken out.

    The next start of such a feed would be refused: the files know another ledger.

    Returns:
        None where the directory is not known, as outside the daemon's unit.
    """
    state_file = StateFile.of(
        settings.ledger.state_directory, settings.feed, environment
    )
    if state_file is None:
        return None
    gone: list[Path] = []
    left: list[Path] = []
    for file in _files(state_file.place, feeds):
        try:
            file.unlink()
        except FileNotFoundError:
            continue
        except OSError:
            left.append(file)
        else:
            gone.append(file)
    return Leftovers(gone, left)


def file_names(feed: str) -> list[str]:
    """Return the names of the files that a daemon of the feed keeps."""
    return [f"{feed}{suffix}" for suffix in _SUFFIXES]


def _files(folder: Path, feeds: Sequence[str]) -> Iterator[Path]:
    for feed in feeds:
        yield from (folder / name for name in file_names(feed))
        yield from sorted(folder.glob(f"{feed}{_UNFINISHED}"))
