"""Reading the rows of a claim: a failing read is halved, and the others are sent.

What could not be read waits for the view, in batches of its own.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from syncd.core.errors import (
    VIEW_FAULTS,
    LoginRefusedError,
    PermissionDeniedError,
    SchemaMismatchError,
    SlowStatementError,
    SyncdError,
    TableBusyError,
    UnreadableRowError,
)
from syncd.core.read_history import (
    BLAME_AFTER,
    SHORTEST_WAIT,
    ReadHistory,
    ReadSize,
    halves,
    wait_of,
)
from syncd.delivery.delivery_log import DeliveryLog
from syncd.ledger.batches import Ledger
from syncd.ledger.claim import Claim, ExcludedOrder, Receipt
from syncd.postgres.errors import STATEMENT_SECONDS
from syncd.source.orders import Source

PATIENCE_SECONDS = 10.0
"""How long failing reads are halved at once; then what was read is sent first."""

_OF_THE_WHOLE = (SchemaMismatchError, PermissionDeniedError)
"""What no row can help, unless others could be read."""


@dataclass(slots=True)
class Reading:
    """What came of reading a claim's orders.

    Attributes:
        rows: As JSON by key; a key without a row is absent from the view.
        failed: Orders that could not be read, each for itself, and why.
        unread: Pieces of which nothing is known yet but that they failed together.
        fault: The last error.
        is_ours: The claim is; otherwise nothing may be made of it.
    """

    rows: dict[str, str] = field(default_factory=dict)
    failed: dict[str, SyncdError] = field(default_factory=dict)
    unread: list[list[str]] = field(default_factory=list)
    fault: SyncdError | None = None
    is_ours: bool = True

    def left(self) -> set[str]:
        """Return the keys of the orders that were not read."""
        return self.failed.keys() | {key for piece in self.unread for key in piece}


class RowReader:
    """Reads rows of the `purchases` view in pieces that it can serve.

    Args:
        size: How many at a time; shared by all readers of the same view.
    """

    def __init__(self, source: Source, size: ReadSize) -> None:
        self._source = source
        self._size = size

    @property
    def takes_all(self) -> bool:
        """Whether a whole batch may be read with its claim."""
        return self._size.is_whole

    def read(self, claim: Claim, keep: Callable[[], bool]) -> Reading:
        """Read a claim's orders; `keep` renews the claim, and is False when it is lost.

        Raises:
            SyncdError: The database failed, or the view is missing or forbidden.
        """
        reading = Reading()
        keys = [order.key for order in claim.orders]
        pieces = deque(self._size.pieces(keys))
        started = time.monotonic()
        if claim.read_fault is not None:
            pieces = deque([keys])
            self._note(reading, pieces, pieces.popleft(), claim.read_fault)
        while pieces and reading.is_ours:
            late = time.monotonic() - started > PATIENCE_SECONDS
            if late and reading.fault is not None:
                break
            self._read_one(reading, pieces)
            reading.is_ours = not pieces or keep()
        reading.unread.extend(pieces)
        if not reading.rows and isinstance(reading.fault, _OF_THE_WHOLE):
            raise reading.fault
        return reading

    def _read_one(self, reading: Reading, pieces: deque[list[str]]) -> None:
        piece = pieces.popleft()
        started = time.monotonic()
        try:
            rows = self._source.read_json(piece)
        except LoginRefusedError:
            raise
        except VIEW_FAULTS as fault:
            self._note(reading, pieces, piece, fault)
            return
        reading.rows |= rows
        seconds = time.monotonic() - started
        share = seconds / self._source.database.statement_seconds
        self._size.worked(len(piece), share)

    def _note(
        self,
        reading: Reading,
        pieces: deque[list[str]],
        piece: Sequence[str],
        fault: SyncdError,
    ) -> None:
        """Note a failure; halves come last, so that what can be read goes first."""
        reading.fault = fault
        if len(piece) == 1:
            reading.failed[piece[0]] = fault
            return
        if isinstance(fault, SlowStatementError):
            self._size.failed(len(piece))
        pieces.extend(halves(piece))


class Unread:
    """Settles the orders that could not be read; the claim keeps the rest.

    Args:
        history: How rows were read lately; shared by the workers.
    """

    def __init__(
        self, ledger: Ledger, report: DeliveryLog, history: ReadHistory
    ) -> None:
        self._ledger = ledger
        self._report = report
        self._history = history

    def settle(self, claim: Claim, reading: Reading) -> list[ExcludedOrder] | None:
        """Move away what could not be read; keep in the claim what could.

        Returns:
            Orders to reject, since their own row failed again; None: nothing is left
            of the claim.
        """
        self._history.note_read(len(reading.rows), claim.claimed_at)
        if reading.rows and claim.read_reason is not None:
            self._ledger.try_unread(claim.read_reason)
        blamed = [key for key, f in reading.failed.items() if self._blames(claim, f)]
        groups = self._groups(claim, reading, frozenset(blamed))
        moved = sum(len(keys) for keys, _, _ in groups)
        if len(groups) == 1 and moved == len(claim.orders):
            [(keys, reason, wait)] = groups
            self._ledger.requeue(claim, Receipt("unread", reason=reason), wait=wait)
            self._report.unreadable(claim, keys, reason, wait)
            return None
        for keys, reason, wait in groups:
            if not self._ledger.move_unread(claim, keys, reason, wait):
                return None
            self._report.unreadable(claim, keys, reason, wait)
        if moved == len(claim.orders):
            self._ledger.close_empty(
                claim, Receipt("unread", reason=str(reading.fault))
            )
            return None
        return [
            ExcludedOrder(key, "rejected", str(reading.failed[key]), None, "view")
            for key in blamed
        ]

    def _blames(self, claim: Claim, fault: SyncdError) -> bool:
        """Whether a row's own data is at fault, for certain."""
        if not isinstance(fault, UnreadableRowError):
            return False
        if claim.read_failed_at is None:
            self._history.note_failed()
        return self._history.may_blame(claim.read_failed_at, claim.claimed_at)

    def _groups(
        self, claim: Claim, reading: Reading, blamed: frozenset[str]
    ) -> list[tuple[list[str], str, timedelta]]:
        """Sort what was not read into batches: keys, why, how long they wait."""
        wait = wait_of(claim.read_failed_at, claim.claimed_at)
        groups: dict[tuple[str, timedelta], list[str]] = {}
        for key, fault in reading.failed.items():
            if key not in blamed:
                reason = _reason(key, fault)
                groups.setdefault((reason, _wait(fault, wait)), []).append(key)
        continues = (
            isinstance(reading.fault, SlowStatementError) or wait == SHORTEST_WAIT
        )
        later = timedelta(0) if continues else wait
        pieces = [(piece, str(reading.fault), later) for piece in reading.unread]
        return [*pieces, *((keys, why, due) for (why, due), keys in groups.items())]


def _reason(key: str, fault: SyncdError) -> str:
    if isinstance(fault, SlowStatementError):
        return f"order {key} cannot be read within {STATEMENT_SECONDS} s"
    return str(fault)


def _wait(fault: SyncdError, wait: timedelta) -> timedelta:
    """Choose when an order is read again: a lock ends, a row may be corrected."""
    if isinstance(fault, TableBusyError):
        return SHORTEST_WAIT
    if isinstance(fault, UnreadableRowError):
        return max(wait, BLAME_AFTER)
    return wait
