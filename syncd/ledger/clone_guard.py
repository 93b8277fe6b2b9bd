"""The guard against copies: a ledger that is not the one served before must not send.

What is remembered is in a file of the daemon's own, outside every database, so that
a restore cannot take it along.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from syncd.core.continuity import Continuity, Mark, continuity_of
from syncd.core.errors import ClonedDatabaseError
from syncd.ledger.instance import this_host
from syncd.ledger.state_file import StateFile
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement, query

if TYPE_CHECKING:  # the status is read without a log
    from syncd.log.log import Log

_HINTS = {
    Continuity.REWOUND: "orders delivered since may be sent again, and are counted",
    Continuity.UNKNOWN_HOST: "if this is a clone, it must not send",
}


def host_name(name: str | None) -> str:
    """Return the name under which daemons of this host are known."""
    return name or this_host().split("/", 1)[0]


@dataclass(frozen=True, slots=True)
class _LastMark:
    """A ledger's last mark, its timeline now, and since when memory counts."""

    system: int
    database: int
    number: int
    at: datetime
    marked: int
    timeline: int
    superseded_at: datetime

    @property
    def mark(self) -> Mark:
        return Mark((self.system, self.database), self.number, self.at, self.marked)


@dataclass(frozen=True, slots=True)
class _Promotion:
    timeline: int
    orders: int


class CloneGuard:
    """A feed's ledger over time, as seen from this host.

    Args:
        database: The ledger's, for `check` and `mark`.
        state_file: What this host remembers; None without a place for it.
        name: What stands for this host's name; None: its own.
    """

    def __init__(
        self,
        database: Database,
        feed_id: int,
        feed: str,
        state_file: StateFile | None,
        log: "Log",
        *,
        name: str | None = None,
    ) -> None:
        self._database = database
        self._feed_id = feed_id
        self._feed = feed
        self._state_file = state_file
        self._log = log
        self._name = name

    def check(self) -> None:
        """Refuse a ledger that is not the one served before; note a promotion.

        Raises:
            ClonedDatabaseError: It went back in time, or may be a clone.
            StateUnavailableError: The daemon's own file cannot be used.
        """
        continuity, refusal = self.assess()
        if refusal is not None:
            raise refusal
        if continuity is Continuity.PROMOTED:
            self.note_promotion(self._database)

    def assess(self) -> tuple[Continuity, ClonedDatabaseError | None]:
        """Return what became of the ledger, and why it must not send; writes nothing.

        Raises:
            StateUnavailableError: The daemon's own file cannot be used.
        """
        # The file first: another daemon that shares it may make a mark in between.
        remembered = self._state_file.read() if self._state_file else None
        clone_guard = self._read(query("clone_guard"))
        ledger = clone_guard.mark
        if remembered is not None and remembered.at <= clone_guard.superseded_at:
            remembered = None
        is_known_host = remembered is not None or self._is_known_host()
        continuity = continuity_of(
            remembered, ledger, clone_guard.timeline, is_known_host=is_known_host
        )
        if continuity in _HINTS:
            return continuity, self._refusal(continuity, remembered, ledger)
        return continuity, None

    def mark(self) -> None:
        """Make the next mark, in the ledger first and then in the file.

        Raises:
            ClonedDatabaseError: The ledger went back while the daemon ran.
        """
        self.check()
        mark = self._read(query("mark_feed")).mark
        if self._state_file is not None:
            self._state_file.write(mark)

    def note_promotion(self, database: Database) -> None:
        """Record and log, once for all instances, a promotion of the ledger's cluster.

        What was pending may have been sent by claims that were lost; and orders of
        the last day that have to be captured again may have been, too.
        """
        promoted = database.find(
            _Promotion, query("note_promotion"), feed=self._feed_id
        )
        if promoted:
            self._log.emit(
                "database.promoted",
                timeline=promoted.timeline,
                orders=promoted.orders,
            )

    def _read(self, statement: Statement) -> "_LastMark":
        return self._database.row(_LastMark, statement, feed=self._feed_id)

    def _is_known_host(self) -> bool:
        host = host_name(self._name)
        return self._database.value(
            bool, query("knows_host"), feed=self._feed_id, host=host
        )

    def _refusal(
        self, continuity: Continuity, remembered: Mark | None, ledger: Mark
    ) -> ClonedDatabaseError:
        if continuity is Continuity.UNKNOWN_HOST:
            what = (
                "was promoted, and no daemon of this host has served it before: "
                "a failover, or a clone"
            )
        else:
            since = f", {remembered.at - ledger.at}" if remembered else ""
            what = f"went back in time{since}: it was restored, or is a copy"
        return ClonedDatabaseError(
            f"the ledger of feed {self._feed!r} {what}",
            f"If it is to send from now on, run `syncd confirm-move` "
            f"({_HINTS[continuity]}).",
        )
