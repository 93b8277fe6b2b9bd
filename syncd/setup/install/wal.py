"""Putting publication and slot into the order database, and taking them out.

A slot cannot be made in a transaction that wrote, and a publication must be there
before the slot is. So: look at everything, then one transaction, then the slot; if
that fails, the transaction is taken back.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from syncd.capture.wal.monitor import missed_since
from syncd.capture.wal.publication import Publication
from syncd.capture.wal.slot import (
    Server,
    SlotCatalog,
    SlotPosition,
    SlotPositionStore,
    reconcile_hint,
    slot_name,
)
from syncd.core.errors import (
    ConfigError,
    DatabaseUnavailableError,
    PermissionDeniedError,
    SyncdError,
    TableBusyError,
)
from syncd.core.target import Target
from syncd.ledger.feed import FeedStore
from syncd.postgres.database import Database
from syncd.postgres.statements import query
from syncd.setup.install.install import Capture, Grantees, installed
from syncd.setup.install.scripts import SqlScript
from syncd.setup.install.session import pinned
from syncd.setup.install.wal_scripts import (
    publication_script,
    slot_drop,
    slot_script,
)
from syncd.setup.install.wal_tables import Publishing
from syncd.source.connections import Connections


@dataclass(frozen=True, slots=True)
class Following:
    """What an installation is going to do, after everything was checked.

    Attributes:
        scripts: In one transaction, with the rest of an installation.
        undo: Takes them back; a publication that was there before stays.
        slot: Makes the slot; None when it is there already.
        drops: Whether a slot is dropped before.
        missed_since: From when on orders may be unheard of if a slot is made; None:
            it is the first.
        remarks: What the operator should know, a sentence each.
    """

    name: str
    scripts: Sequence[SqlScript]
    undo: Sequence[SqlScript]
    slot: SqlScript | None
    drops: bool
    missed_since: datetime | None
    remarks: Sequence[str]

    @property
    def capture(self) -> Capture:
        """What is run with the rest of an installation."""
        return Capture(self.scripts)

    @property
    def apart(self) -> list[SqlScript]:
        """What runs after the rest, each in a transaction of its own."""
        drop = [slot_drop(self.name)] if self.drops else []
        return [*drop, *([self.slot] if self.slot else [])]


def prepare(
    connections: Connections,
    names: Grantees,
    feed: str,
    wanted: Sequence[Target],
    *,
    lookback: timedelta,
    recreate: bool = False,
) -> Following:
    """Check everything that following these tables needs; change nothing.

    Args:
        connections: As a role that owns the tables and may make a slot.
        names: The daemon's role and the views.
        feed: The feed's name.
        wanted: What to follow; not empty.
        lookback: How far an order's time may lie before its transaction.
        recreate: Whether to give up the slot's place, if it has one.

    Raises:
        SyncdError: It cannot be done, or would harm the shop; with the next step.
    """
    source = connections.source
    slots, publication = SlotCatalog(source, feed), Publication(source, feed)
    server = slots.server()
    server.check()
    reached = _reached(connections, feed)
    since = missed_since(reached, server.now, lookback)
    makes_slot = _makes_slot(slots, server, reached, since, recreate=recreate)
    publishing = Publishing.of(source, publication, names, wanted)
    return Following(
        slots.name,
        publishing.scripts,
        publishing.undo,
        slot_script(slots.name, server) if makes_slot else None,
        drops=makes_slot and slots.find() is not None,
        missed_since=since if reached else None,
        remarks=publishing.remarks,
    )


def follow(connections: Connections, feed: str, following: Following) -> list[str]:
    """Make the slot, after `scripts` were run; if that fails, they are taken back.

    Returns:
        What was done and should be known, a sentence each.

    Raises:
        SyncdError: It failed.
    """
    source = connections.source
    done = [f"publication {following.name}", *following.remarks]
    if following.slot is None:
        return done
    with _undone(source, following):
        for each in following.apart:
            _make_slot(source, each)
    done.append(f"slot {following.name}")
    if since := following.missed_since:
        _move(connections, feed)
        done.append(
            f"orders may have been missed: start syncd, then {reconcile_hint(since)}"
        )
    return done


def unfollow(connections: Connections, feed: str) -> list[str]:
    """Drop slot and publication, if they are there.

    Returns:
        What was dropped.

    Raises:
        ConfigError: The daemon still reads the slot; nothing was changed.
    """
    source = connections.source
    slots, publication = SlotCatalog(source, feed), Publication(source, feed)
    with pinned(source):
        slot = slots.find()
        exists = source.run(query("publication"), publication=publication.name) > 0
    mine = slot if slot and slot.is_here else None
    if mine and mine.active_pid:
        raise _busy(slots.name, mine.active_pid)
    if mine:
        with pinned(source):
            source.run(slot_drop(slots.name).statement)
    if exists:
        with pinned(source):
            source.run(publication_script("wal_undo.sql", publication.name).statement)
    dropped = [f"slot {slots.name}"] if mine else []
    return [*dropped, f"publication {publication.name}"] if exists else dropped


def unfollowing(feed: str) -> list[SqlScript]:
    """Return the SQL that `unfollow` runs."""
    name = slot_name(feed)
    return [slot_drop(name), publication_script("wal_undo.sql", name)]


def _makes_slot(
    slots: SlotCatalog,
    server: Server,
    reached: SlotPosition | None,
    since: datetime,
    *,
    recreate: bool,
) -> bool:
    """Return whether a slot is to be made; refuse to lose one's place silently."""
    slot = slots.find()
    if slot is not None:
        slots.refuse_foreign(slot)
    if slot is not None and slot.active_pid and (recreate or slot.lost):
        raise _busy(slots.name, slot.active_pid)
    if not recreate and (reached or slot):
        slots.get(reached, since)  # or refuses: lost, gone, or of another place
        return False
    if slot is None and not server.has_room:
        raise ConfigError(
            "the server has no room for another slot",
            "Raise max_replication_slots (needs a restart), or drop an unused slot.",
        )
    return True


def _busy(name: str, pid: int) -> ConfigError:
    return ConfigError(
        f"the slot {name} is being read by pid {pid}",
        "Stop the daemon first; nothing was changed.",
    )


def _make_slot(source: Database, slot: SqlScript) -> None:
    try:
        with pinned(source):
            source.run(slot.statement)
    except DatabaseUnavailableError as error:
        raise TableBusyError(
            f"the slot cannot be made: {error}",
            "It waits for every transaction that is writing, at most 5 s for each: end "
            "the long ones (pg_stat_activity), then run this again.",
        ) from error
    except PermissionDeniedError as error:
        raise PermissionDeniedError(
            f"the slot cannot be made: {error}",
            "Install as a superuser, or as a role that has REPLICATION itself.",
        ) from error


@contextmanager
def _undone(source: Database, following: Following) -> Iterator[None]:
    """Take back what was done if what follows fails."""
    try:
        yield
    except SyncdError:
        with pinned(source):
            for each in following.undo:
                source.run(each.statement)
        raise


def _reached(connections: Connections, feed: str) -> SlotPosition | None:
    """Read how far the feed has read a slot; None before the first time."""
    if not installed(connections.ledger):
        return None
    found = FeedStore(connections, feed).find()
    return (
        SlotPositionStore(connections.ledger, found.feed_id).read() if found else None
    )


def _move(connections: Connections, feed: str) -> None:
    """Note that the feed reads a new slot, from its beginning."""
    found, slots = (
        FeedStore(connections, feed).find(),
        SlotCatalog(connections.source, feed),
    )
    slot = slots.find()
    if found and slot and slot.confirmed:
        at = slots.server().now
        progress = SlotPositionStore(connections.ledger, found.feed_id)
        progress.move(SlotPosition(slot.confirmed, at))
