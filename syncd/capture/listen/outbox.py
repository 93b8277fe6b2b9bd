"""The outbox beside the orders: keys that the shop's own transactions touched.

Rows are taken, never a position: a late commit is still found. Rows go only
once the ledger has their orders.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from syncd.core.errors import SchemaMismatchError
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement, compose, query

NAME_LENGTH = 63
"""Bytes that a name in PostgreSQL may have."""


def short_name(text: str) -> str:
    """Cut a name that PostgreSQL would cut, so that it stays different from others."""
    if len(text.encode()) <= NAME_LENGTH:
        return text
    end = sha256(text.encode()).hexdigest()[:8]
    return f"{text.encode()[: NAME_LENGTH - 9].decode(errors='ignore')}_{end}"


def channel_of(feed: str) -> str:
    """Name the channel on which the triggers of a feed send notifications."""
    return short_name(f"syncd_{feed}")


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A row of the outbox: an order was touched.

    Attributes:
        place: The row's `ctid`.
        writer: The transaction that wrote it; both together name the row for good.
    """

    place: str
    writer: str
    key: str


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """How the outbox stands.

    Attributes:
        faults: Changes that the triggers could not note, since they were installed.
        may_prepare: Whether the server allows prepared transactions: then the
            triggers send no notifications.
        waits: Whether there are rows.
    """

    faults: int
    may_prepare: bool
    waits: bool


class Outbox:
    """One feed's rows of the outbox.

    Args:
        reader: Where the views are read. What shows there, its order does too.
        writer: Where the shop writes: the primary, should the reader be a standby.
        feed: The feed's name.
    """

    def __init__(self, reader: Database, writer: Database, feed: str) -> None:
        self._reader = reader
        self._writer = writer
        self._feed = feed

    def read(self, limit: int) -> list[OutboxRow]:
        """Read some rows, in no order; fewer than the limit: all there are."""
        return self._reader.rows(
            OutboxRow, query("read_outbox"), feed=self._feed, limit=limit
        )

    @staticmethod
    def taking(feed: str, limit: int) -> tuple[Statement, Mapping[str, object]]:
        """Return what takes rows of a feed beside the outbox; none: there are none.

        Fewer than the limit: all there are.
        """
        taking = compose("take_outbox", sealed=_sealed())
        return taking, {"outbox": feed, "limit": limit}

    @staticmethod
    def taking_rows(
        touches: Sequence[OutboxRow],
    ) -> tuple[Statement, Mapping[str, object]]:
        """Return what does the same with rows that were read and are still there."""
        return compose("take_rows", sealed=_sealed()), _rows(touches)

    def discard(self, touches: Sequence[OutboxRow]) -> int:
        """Delete rows that were read; return how many were still there."""
        return self._writer.run(query("discard_outbox"), **_rows(touches))

    def empty(self) -> int:
        """Delete every row; return how many there were."""
        return self._writer.run(query("empty_outbox"), feed=self._feed)

    def count(self) -> int:
        """Count the rows that wait."""
        return self._reader.value(int, query("count_outbox"), feed=self._feed)

    def condition(self) -> OutboxStatus:
        """Read how it stands.

        Raises:
            SchemaMismatchError: There is none.
        """
        try:
            return self._writer.row(
                OutboxStatus, query("outbox_condition"), feed=self._feed
            )
        except SchemaMismatchError as error:
            raise SchemaMismatchError(
                "the outbox is not there",
                "Run `syncd install --listen TABLE:KEYCOLUMN …`.",
            ) from error


def _sealed() -> Statement:
    """Return the check that the views in the outbox's database are accepted ones."""
    return compose("is_sealed", seal=query("seal"))


def _rows(touches: Sequence[OutboxRow]) -> dict[str, object]:
    return {
        "places": [touch.place for touch in touches],
        "writers": [touch.writer for touch in touches],
    }
