"""A feed's replication slot: its name, its state, and what would make it a danger.

The slot retains WAL until syncd has read it. The invariant: no server is left with a
disk that fills up, or with a slot that has silently lost its place.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from syncd.core.errors import ConfigError, ServerMisconfiguredError, StreamBrokenError
from syncd.postgres.database import Database
from syncd.postgres.statements import query

PLUGIN = "pgoutput"
FAILOVER_VERSION = 170_000
_MEGABYTE = 1 << 20
_LONGEST = 63
_LIMIT = (
    "ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; then reload. It is how much WAL "
    "a stopped syncd may keep."
)


def slot_name(feed: str) -> str:
    """Name a feed's slot, and its publication; two feeds never share one."""
    name = f"syncd_{feed}"
    if len(name) <= _LONGEST and re.fullmatch(r"[a-z0-9_]+", name):
        return name
    digest = hashlib.sha256(feed.encode()).hexdigest()[:8]
    return re.sub(r"[^a-z0-9_]", "_", name.lower())[: _LONGEST - 9] + "_" + digest


@dataclass(frozen=True, slots=True)
class Server:
    """What a replication slot needs of the server.

    Attributes:
        kept_megabytes: max_slot_wal_keep_size; -1: without limit.
        idle_seconds: idle_replication_slot_timeout (PostgreSQL 18); 0: none.
        has_room: Whether another slot may be made.
    """

    version: int
    in_recovery: bool
    wal_level: str
    kept_megabytes: int
    idle_seconds: int
    has_room: bool
    now: datetime

    @property
    def has_failover(self) -> bool:
        """Whether a slot may go over to a standby (PostgreSQL 17)."""
        return self.version >= FAILOVER_VERSION

    def check(self) -> None:
        """Refuse a server where a slot cannot be, or would be a danger.

        Raises:
            ServerMisconfiguredError: It names the setting.
        """
        if self.in_recovery:
            raise ServerMisconfiguredError(
                "the order database is a hot standby, wal needs the primary",
                'Set capture = "poll", or give the primary as source.dsn.',
            )
        if self.wal_level != "logical":
            raise ServerMisconfiguredError(
                f"wal_level is {self.wal_level}, wal needs logical",
                "ALTER SYSTEM SET wal_level = 'logical', then restart PostgreSQL; "
                'until then capture = "poll".',
            )
        if self.kept_megabytes < 0:
            raise ServerMisconfiguredError(
                "max_slot_wal_keep_size is unlimited: a stopped syncd could fill the "
                "server's disk",
                _LIMIT,
            )


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot as the server shows it; sizes and positions in bytes.

    Attributes:
        confirmed: Up to where it was acknowledged.
        retained: WAL that it keeps.
        safe: WAL that may still be written before it is lost; None: not known.
        failover: Whether standbys get it (PostgreSQL 17).
        synced: Whether it came from an old primary, by a promotion.
    """

    plugin: str
    database: str
    is_here: bool
    active_pid: int | None
    wal_status: str | None
    invalidation: str | None
    confirmed: int | None
    retained: int | None
    safe: int | None
    failover: bool
    synced: bool

    def is_past(self, reached: "SlotPosition | None") -> bool:
        """Whether it was acknowledged further than the ledger has it."""
        return reached is not None and (self.confirmed or 0) > reached.position

    @property
    def lost(self) -> str | None:
        """Why it can no longer be read; None while it can."""
        if self.invalidation:
            return self.invalidation
        return "wal_status is lost" if self.wal_status == "lost" else None

    def used(self, server: Server) -> float:
        """Return the share that it keeps of what it may; at least 1.0 when exceeded."""
        if self.wal_status == "unreserved":
            return 1.0
        limit = server.kept_megabytes * _MEGABYTE
        return (self.retained or 0) / limit if limit > 0 else 0.0


@dataclass(frozen=True, slots=True)
class SlotPosition:
    """How far a feed has read its slot.

    Attributes:
        position: Every commit at or before it was received.
        at: As was every one of this time or earlier.
    """

    position: int
    at: datetime


NOWHERE = SlotPosition(0, datetime.min.replace(tzinfo=UTC))


class SlotCatalog:
    """Checks a feed's slot and its server."""

    def __init__(self, database: Database, feed: str) -> None:
        self._database = database
        self.name = slot_name(feed)

    def server(self) -> Server:
        """Read what a slot needs of the server."""
        return self._database.row(Server, query("server"))

    def find(self) -> Slot | None:
        """Find the feed's slot, in whichever database it is."""
        return self._database.find(Slot, query("slot"), slot=self.name)

    def written(self) -> SlotPosition:
        """Read up to where the server has written, and when that was."""
        return self._database.row(SlotPosition, query("clock_and_written"))

    def get(self, reached: SlotPosition | None, since: datetime) -> Slot:
        """Find the slot, fit to be read on.

        Args:
            reached: How far it was read before; None: never.
            since: From when on orders may have been missed if it is broken.

        Raises:
            StreamBrokenError: It is gone, lost, or further than the ledger.
            ConfigError: It belongs to something else.
        """
        slot = self.find()
        if slot is None and reached is None:
            raise ConfigError(
                f"there is no slot {self.name}",
                "Run `syncd install --wal TABLE:KEYCOLUMN …`.",
            )
        if slot is not None:
            self.refuse_foreign(slot)
        if fault := _fault(slot, reached):
            raise StreamBrokenError(
                f"the slot {self.name} {fault}: orders may have been missed",
                fix_sql(since),
            )
        assert slot is not None  # noqa: S101  # narrows the type
        return slot

    def refuse_foreign(self, slot: Slot) -> None:
        """Refuse a slot of this name that is not this feed's.

        Raises:
            ConfigError: It belongs to something else; the message names it.
        """
        if slot.plugin != PLUGIN or not slot.is_here:
            raise ConfigError(
                f"the slot {self.name} belongs to database {slot.database!r}, plugin "
                f"{slot.plugin}",
                "Slots are the whole server's: give this feed another name.",
            )


def fix_sql(since: datetime) -> str:
    """Return what to do about a slot that may have missed orders `since` a time."""
    return (
        f"Run `syncd install --wal … --recreate-slot`, start syncd, then "
        f"{reconcile_hint(since)}. "
        'Until then capture = "poll" works.'
    )


def reconcile_hint(since: datetime) -> str:
    """Return the command that accounts for the orders since a time."""
    return f"`syncd reconcile --from {since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}`"


def _fault(slot: Slot | None, reached: SlotPosition | None) -> str | None:
    if slot is None:
        return "is gone"
    if slot.lost:
        return f"is lost ({slot.lost})"
    if slot.is_past(reached) and not slot.synced:
        return (
            "is further than the ledger: it was recreated, or the ledger was restored"
        )
    return None


class SlotPositionStore:
    """How far a feed has read its slot, in the ledger's database."""

    def __init__(self, database: Database, feed_id: int) -> None:
        self._database = database
        self._feed_id = feed_id

    def read(self) -> SlotPosition | None:
        """Read how far; None before the first time."""
        return self._database.find(SlotPosition, query("stream"), feed=self._feed_id)

    def move(self, reached: SlotPosition) -> None:
        """Note how far; within the transaction of the orders that it brought."""
        self._database.run(
            query("move_stream"),
            feed=self._feed_id,
            reached=reached.position,
            reached_at=reached.at,
        )
