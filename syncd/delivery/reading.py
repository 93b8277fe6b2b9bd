"""Reading the rows of a claim: a failing read is halved, and the others are sent."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from syncd.core.errors import (
    VIEW_FAULTS,
    LoginRefusedError,
    PermissionDeniedError,
    SchemaMismatchError,
    SlowStatementError,
    SyncdError,
)
from syncd.core.read_history import ReadSize, halves
from syncd.ledger.claim import Claim
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
        source: Where from.
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
