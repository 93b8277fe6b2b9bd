"""Putting publication and slot into the order database, and taking them out.

A slot cannot be made in a transaction that wrote, and a publication must be there
before the slot is. So: look at everything, then one transaction, then the slot; if
that fails, the transaction is taken back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import sql

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
from syncd.setup.install.install import Capture, Grantees, installed
from syncd.setup.install.scripts import SqlScript, pinned, run, script
from syncd.setup.install.wal_tables import Publishing, is_published, unpublish
from syncd.source.connections import Connections


@dataclass(frozen=True, slots=True)
class Following:
    """What an installation is going to do, after everything was checked.

    Attributes:
        name: Of the slot, and of the publication.
        publishing: Runs in one transaction, with the rest of an installation.
        apart: Makes the slot, maybe after the old one is dropped; each script runs
            after the rest, in a transaction of its own. Empty: it is there already.
        missed_since: From when on orders may have been missed if a slot is made; None:
            it is the first.
    """

    name: str
    publishing: Publishing
    apart: Sequence[SqlScript]
    missed_since: datetime | None

    @property
    def capture(self) -> Capture:
        """What is run with the rest of an installation."""
        return Capture(self.publishing.scripts)


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
    apart: list[SqlScript] = []
    if _makes_slot(slots, server, reached, since, recreate=recreate):
        if slots.find() is not None:
            apart.append(_slot_drop(slots.name))
        apart.append(_slot_script(slots.name, server))
    publishing = Publishing.of(source, publication, names, wanted)
    return Following(slots.name, publishing, apart, since if reached else None)


def follow(connections: Connections, feed: str, following: Following) -> list[str]:
    """Make the slot, after the publication; if that fails, that is taken back.

    Returns:
        What was done and should be known, a sentence each.

    Raises:
        SyncdError: It failed.
    """
    source = connections.source
    done = [f"publication {following.name}", *following.publishing.remarks]
    if not following.apart:
        return done
    try:
        for each in following.apart:
            _make_slot(source, each)
    except SyncdError:
        with pinned(source):
            run(source, following.publishing.undo)
        raise
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
    slots = SlotCatalog(source, feed)
    with pinned(source):
        slot = slots.find()
        exists = is_published(source, slots.name)
    dropped: dict[str, SqlScript] = {}
    if slot and slot.is_here:
        if slot.active_pid:
            raise _busy(slots.name, slot.active_pid)
        dropped[f"slot {slots.name}"] = _slot_drop(slots.name)
    if exists:
        dropped[f"publication {slots.name}"] = unpublish(slots.name)
    for each in dropped.values():
        with pinned(source):
            source.run(each.statement)
    return list(dropped)


def unfollowing(feed: str) -> list[SqlScript]:
    """Return the SQL that `unfollow` runs."""
    name = slot_name(feed)
    return [_slot_drop(name), unpublish(name)]


def _slot_script(name: str, server: Server) -> SqlScript:
    failover = sql.SQL(", false, false, true" if server.has_failover else "")
    return script("capture/wal_slot.sql", slot=sql.Literal(name), failover=failover)


def _slot_drop(name: str) -> SqlScript:
    return script("capture/wal_slot_drop.sql", slot=sql.Literal(name))


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


def _reached(connections: Connections, feed: str) -> SlotPosition | None:
    """Read how far the feed has read a slot; None before the first time."""
    if not installed(connections.ledger):
        return None
    positions = _positions(connections, feed)
    return positions.read() if positions else None


def _move(connections: Connections, feed: str) -> None:
    """Note that the feed reads a new slot, from its beginning."""
    slots = SlotCatalog(connections.source, feed)
    positions, slot = _positions(connections, feed), slots.find()
    if positions and slot and slot.confirmed:
        positions.move(SlotPosition(slot.confirmed, slots.server().now))


def _positions(connections: Connections, feed: str) -> SlotPositionStore | None:
    found = FeedStore(connections, feed).find()
    return SlotPositionStore(connections.ledger, found.feed_id) if found else None
