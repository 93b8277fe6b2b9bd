"""Transactions received from a stream that are not in the ledger yet.

A commit may be received before its rows are visible; it is not taken before. The
position moves only past transactions of which every key was taken.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import islice

_HALF = 1 << 31
_WHOLE = 1 << 32


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Which transactions a new statement sees; ids with their epoch.

    Attributes:
        upper: No transaction from here on is visible.
        running: Those below that are not visible either.
    """

    upper: int
    running: AbstractSet[int]

    @classmethod
    def parse(cls, text: str) -> "Snapshot":
        """Read PostgreSQL's form: lowest running, next, list of running ones."""
        _, upper, running = text.split(":")
        return cls(
            int(upper), frozenset(map(int, running.split(",") if running else ()))
        )

    def shows(self, xid: int) -> bool:
        """Return whether a committed transaction's rows are visible.

        Args:
            xid: Its id as streams send it, without the epoch: one within 2^31 of now.
        """
        whole = self.upper + (xid - self.upper + _HALF) % _WHOLE - _HALF
        return whole < self.upper and whole not in self.running


@dataclass(slots=True)
class _Transaction:
    xid: int
    keys: dict[str, None] = field(default_factory=dict)
    end: int | None = None


@dataclass(frozen=True, slots=True)
class ReadyKeys:
    """Keys for the ledger; with them, all up to `position` has been taken.

    Attributes:
        position: None when it does not move.
    """

    keys: list[str]
    position: int | None


class TransactionBuffer:
    """The changes received, transaction by transaction, in the order of the commits."""

    def __init__(self) -> None:
        self._transactions: list[_Transaction] = []
        self._kept = 0

    def __len__(self) -> int:
        """Count the keys."""
        return self._kept

    @property
    def is_empty(self) -> bool:
        """Whether all that was received has been taken."""
        return not self._transactions

    @property
    def is_open(self) -> bool:
        """Whether the last transaction is incomplete."""
        return bool(self._transactions) and self._transactions[-1].end is None

    def begin(self, xid: int) -> None:
        """Hear of a committed transaction's begin."""
        self._transactions.append(_Transaction(xid))

    def touch(self, key: str) -> None:
        """Hear of a key of the last transaction."""
        keys = self._transactions[-1].keys
        self._kept += key not in keys
        keys[key] = None

    def commit(self, end: int) -> None:
        """Hear of the last transaction's end."""
        self._transactions[-1].end = end

    def hidden(self, snapshot: Snapshot) -> int:
        """Count the transactions that are not visible."""
        return sum(not snapshot.shows(t.xid) for t in self._transactions)

    def take(self, snapshot: Snapshot, limit: int) -> ReadyKeys:
        """Take at most `limit` keys of transactions that a snapshot shows.

        Each key comes once, in the order of the commits. The snapshot must not be
        younger than those that look for the orders.
        """
        keys: dict[str, None] = {}
        position = None
        left: list[_Transaction] = []
        for transaction in self._transactions:
            if snapshot.shows(transaction.xid):
                self._move(transaction.keys, keys, limit)
            if transaction.keys or transaction.end is None:
                left.append(transaction)
            elif not left:
                position = transaction.end
        self._transactions = left
        return ReadyKeys(list(keys), position)

    def _move(self, keys: dict[str, None], to: dict[str, None], limit: int) -> None:
        for key in list(islice(keys, limit - len(to))):
            del keys[key]
            to[key] = None
            self._kept -= 1
