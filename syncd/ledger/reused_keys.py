"""Keys that now identify other orders: found, recorded, distinguished.

A known key is never taken for a new order by itself, and is never called delivered
while it stands for another order (ADR-0027).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from syncd.core.known import KnownOrder, ListedOrder, is_another
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement, query
from syncd.source.orders import Source

MOST = 1000
"""Keys that are compared or listed at a time."""

NEWEST = 100
"""Orders that are compared each time, whether their keys were met or not."""


@dataclass(frozen=True, slots=True)
class Reused:
    """How many keys are reused, since when the newest of them is known, and one."""

    keys: int
    newest_at: datetime | None
    example: str | None


@dataclass(frozen=True, slots=True)
class ReusedKey:
    """A key, the order that the ledger has by it, and the one that is listed now."""

    key: str
    known_at: datetime
    known_as: str | None
    listed_at: datetime
    listed_as: str | None

    @classmethod
    def of(cls, known: KnownOrder, listed: ListedOrder) -> "ReusedKey":
        """Return both orders of a key."""
        then, now = known.confirmed_at, listed.confirmed_at
        return cls(known.key, then, known.orderid, now, listed.orderid)

    @property
    def is_only_later(self) -> bool:
        """Whether only a later time distinguishes the two orders."""
        numbers = {self.known_as, self.listed_as} - {None}
        return len(numbers) <= 1 and self.listed_at > self.known_at

    def line(self) -> str:
        """Return both orders in one line."""
        was = f"order {self.known_as}, " if self.known_as else ""
        now = f"order {self.listed_as}, " if self.listed_as else "an order "
        return (
            f"key {self.key} was {was}confirmed at {self.known_at}; the views now list "
            f"{now}confirmed at {self.listed_at}, under it"
        )


@dataclass(frozen=True, slots=True)
class _Compared:
    """The keys of known orders, how many are listed as such, and the others."""

    keys: list[str]
    same: int
    reused: list[ReusedKey]


class ReusedKeys:
    """Compares known keys with what the views list under them."""

    def __init__(self, source: Source, ledger: Database, feed_id: int) -> None:
        self._source = source
        self._ledger = ledger
        self._feed_id = feed_id

    def find(self, keys: Sequence[str]) -> list[ReusedKey]:
        """Find those of the keys that stand for another order now."""
        found = self._compare(query("known_orders"), keys=list(keys)).reused
        moved = [each for each in found if each.is_only_later]
        same = self._compared_before(moved) if moved else set()
        if same and self._has_newest():
            found = [each for each in found if each.key not in same]
        return found

    def _compare(self, statement: Statement, **which: object) -> "_Compared":
        """Compare orders of the ledger with what is listed under their keys."""
        known = self._ledger.rows(KnownOrder, statement, feed=self._feed_id, **which)
        if not known:
            return _Compared([], 0, [])
        listed = {o.key: o for o in self._source.listed_orders([k.key for k in known])}
        there = [order for order in known if order.key in listed]
        reused = [
            ReusedKey.of(order, now)
            for order in there
            if is_another(order, now := listed[order.key])
        ]
        return _Compared([k.key for k in known], len(there) - len(reused), reused)

    def _compared_before(self, moved: Sequence[ReusedKey]) -> set[str]:
        """Return those that an account compared when their time was another one.

        The order that has this time now would have been there already, so that only
        the time was changed: a shop that prunes the history of old orders does that.
        """
        compared = self._ledger.values(
            str,
            query("compared_before"),
            feed=self._feed_id,
            keys=[each.key for each in moved],
            times=[each.listed_at for each in moved],
        )
        return set(compared)

    def _has_newest(self) -> bool:
        """Return whether most of the newest orders are listed as they were."""
        newest = self._compare(query("recent_orders"), limit=NEWEST)
        return 2 * newest.same > len(newest.keys)

    def note(self, keys: Sequence[str]) -> int:
        """Note those of the keys that stand for another order; count the new ones."""
        found = self.find(keys[:MOST])
        return self._ledger.value(
            int,
            query("note_reused"),
            feed=self._feed_id,
            keys=list(keys[:MOST]),
            reused=[r.key for r in found],
            known_at=[r.known_at for r in found],
            known_as=[r.known_as for r in found],
            listed_at=[r.listed_at for r in found],
            listed_as=[r.listed_as for r in found],
        )

    def noted(self, orders: Sequence[str] | None = None) -> list[ReusedKey]:
        """List what was noted of some orders, or of all; at most MOST.

        Args:
            orders: By key, or by the number that is listed now.
        """
        return self._ledger.rows(
            ReusedKey,
            query("reused_keys"),
            feed=self._feed_id,
            all=orders is None,
            orders=list(orders or ()),
            limit=MOST,
        )

    def keep(self, keys: Sequence[str]) -> int:
        """Take over what the views give some keys now; return how many there were."""
        return self._ledger.run(
            query("keep_reused"), feed=self._feed_id, keys=list(keys)
        )

    def compare_newest(self) -> Reused:
        """Compare the orders that the ledger has of late; return all that is noted."""
        newest = self._compare(query("recent_orders"), limit=NEWEST)
        noted = self.count()
        if not newest.reused and not noted.keys:
            return noted
        self.note(newest.keys)
        return self.count()

    def count(self) -> Reused:
        """Count the keys that stand for other orders."""
        return self._ledger.row(Reused, query("count_reused"), feed=self._feed_id)
