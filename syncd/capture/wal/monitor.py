"""Guard rails of capture from the WAL: the server's disk, the shop's writes, our place.

Checked before a slot is used, and about each minute while it is.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from syncd.capture.tuning import WAL, WalTuning
from syncd.capture.wal.publication import Publication
from syncd.capture.wal.slot import (
    Server,
    Slot,
    SlotCatalog,
    SlotPosition,
    SlotPositionStore,
    fix_sql,
)
from syncd.core.errors import StreamBrokenError
from syncd.ledger.feed import Feed
from syncd.log.log import Log
from syncd.postgres.database import Database


@dataclass(frozen=True, slots=True)
class StreamStart:
    """What one needs to begin to listen.

    Attributes:
        keys: The key column of each table that is followed, by the table's oid.
        confirmed: Where the slot stands.
        reached: How far it was read, by the ledger.
        written: Up to where the server has written by now.
        active_pid: The process that reads it; None for none.
    """

    keys: Mapping[int, str]
    confirmed: int
    reached: SlotPosition
    written: SlotPosition
    active_pid: int | None


class SlotMonitor:
    """Monitors one feed's slot and publication.

    Args:
        source: The database of the slot.
        lookback: How far an order's time may lie before its transaction.
    """

    def __init__(
        self,
        source: Database,
        progress: SlotPositionStore,
        feed: Feed,
        name: str,
        log: Log,
        lookback: timedelta,
    ) -> None:
        self._slots = SlotCatalog(source, name)
        self._publication = Publication(source, name)
        self._progress = progress
        self._feed = feed
        self._log = log
        self._lookback = lookback
        self._checked_at = float("-inf")
        self._logged_pid: object = None

    def open(self) -> StreamStart:
        """See whether the slot may be used.

        A promoted standby may lack what the ledger had noted last, while its copy of
        the slot is past it: that is logged, and capture continues (ADR-0010).

        Raises:
            StreamBrokenError: It has lost its place: orders may have been missed.
            ServerMisconfiguredError: The server is not as it must be, for now.
            ConfigError: Slot or publication are not as they must be.
        """
        self._slots.server().check()
        reached = self._progress.read()
        slot = self._slots.get(reached, self._since(reached))
        if reached and slot.is_past(reached):
            since = self._since(reached).isoformat()
            self._log.emit("stream.gap_detected", slot=self._slots.name, since=since)
        written = self._slots.written()
        keys = self._publication.keys()
        self._checked_at = float("-inf")
        confirmed = slot.confirmed or 0
        reached = reached or SlotPosition(confirmed, self._feed.started_at)
        return StreamStart(keys, confirmed, reached, written, slot.active_pid)

    def wait_for(self, pid: int | None) -> None:
        """Log, once, that another process reads the slot."""
        if pid != self._logged_pid:
            self._logged_pid = pid
            self._log.emit("stream.waiting", slot=self._slots.name, pid=pid)

    def begin(self, opening: StreamStart) -> None:
        """Log that changes are coming."""
        self._logged_pid = None
        behind = opening.written.position - opening.confirmed
        self._log.emit("stream.opened", slot=self._slots.name, behind_bytes=behind)

    def hold(self, transactions: int, seconds: float) -> None:
        """Log that commits stay invisible."""
        self._log.emit_folded(
            "stream.commits_invisible",
            "held",
            transactions=transactions,
            age_seconds=seconds,
        )

    def written(self) -> SlotPosition:
        """Read up to where the server has written, and when that was."""
        return self._slots.written()

    def explain(self, error: StreamBrokenError) -> None:
        """Log from when on orders may have been missed, unless the error has it."""
        error.hint = error.hint or fix_sql(self._since(self._progress.read()))

    def check(self, tuning: WalTuning = WAL) -> None:
        """Log risks, about each minute.

        Raises:
            SyncdError: The publication is gone.
        """
        now = time.monotonic()
        if now - self._checked_at < tuning.guard_seconds:
            return
        self._checked_at = now
        self._log_slot_risk(tuning)
        self._log_problems()

    def _log_slot_risk(self, tuning: WalTuning) -> None:
        server, slot = self._slots.server(), self._slots.find()
        if slot and (reason := slot_risk(server, slot, tuning)):
            self._log.emit(
                "slot.at_risk",
                slot=self._slots.name,
                reason=reason,
                wal_status=slot.wal_status,
                retained_bytes=slot.retained,
                safe_bytes=slot.safe,
            )

    def _log_problems(self) -> None:
        for problem in self._publication.problems():
            self._log.emit(
                "publication.blocks_writes",
                table=problem.table,
                reason=problem.reason,
                fix_sql=problem.fix_sql,
            )

    def _since(self, reached: SlotPosition | None) -> datetime:
        return missed_since(reached, self._feed.started_at, self._lookback)


def missed_since(
    reached: SlotPosition | None, started_at: datetime, lookback: timedelta
) -> datetime:
    """Return from when on orders may have been missed if a slot lost its place."""
    return reached.at - lookback if reached else started_at


def slot_risk(server: Server, slot: Slot, tuning: WalTuning = WAL) -> str | None:
    """Return what puts at risk the slot, or the server's disk; None for nothing."""
    if server.kept_megabytes < 0:
        return "max_slot_wal_keep_size is unlimited: the disk may fill up"
    if slot.wal_status == "unreserved":
        return "it keeps more WAL than it may, and is lost at the next checkpoint"
    used = slot.used(server)
    if used >= tuning.at_risk_share:
        return f"it keeps {used:.0%} of max_slot_wal_keep_size"
    return None
