"""How confirmed orders enter the ledger.

Each admission holds the watermark's row lock, in the transaction that moves the
watermark (ADR-0002).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeVar

from syncd.core.command_errors import RangePrunedError
from syncd.core.errors import PausedError, ViewsChangedError
from syncd.ledger.identity import IdentityGuard
from syncd.postgres.database import Database, Step, rows_of
from syncd.postgres.statements import Statement, compose, query
from syncd.source.orders import OrderQuery

T = TypeVar("T")

Capture = Literal["poll", "listen", "wal", "reconcile", "backfill"]

NAMED_ORDERS = 100
"""How many of the orders that an admission found are named."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """What an admission wrote: how many orders, and the first of them by key.

    Attributes:
        taken: Keys that it took out of the outbox, in no order.
        without_time: Orders that would be new, but are confirmed at no usable time, or
            have a key of more than 2,000 bytes.
        are_accepted: The views are those that were accepted; else nothing was written.
    """

    orders: int
    keys: Sequence[str]
    taken: Sequence[str] = ()
    without_time: int = 0
    are_accepted: bool = True


@dataclass(frozen=True, slots=True)
class _Watermark:
    confirmed_at: datetime
    paused_at: datetime | None
    paused_reason: str | None

    def refuse_paused(self) -> None:
        if self.paused_at is not None:
            raise PausedError("capture", self.paused_at, self.paused_reason)


@dataclass(frozen=True, slots=True)
class _Pruned:
    oldest_at: datetime
    pruned_until: datetime


class Admission:
    """The way into the ledger of one started feed, and its watermark."""

    def __init__(self, database: Database, feed_id: int) -> None:
        self.database = database
        self.feed_id = feed_id

    @contextmanager
    def admission(self, *, durable: bool = True) -> Iterator[datetime]:
        """Hold the watermark's row; yield the watermark. One at a time per feed.

        Args:
            durable: The end waits for the disk. Without, a crash of the server may take
                the last moment back: all of the admission, which is then made again.

        Raises:
            PausedError: Nothing is admitted for now, by nobody.
        """
        with self.database.transaction():
            watermark = self.database.row(
                _Watermark, query("lock_watermark"), feed=self.feed_id, durable=durable
            )
            watermark.refuse_paused()
            yield watermark.confirmed_at

    def admit(
        self,
        found: OrderQuery,
        capture: Capture,
        *,
        size: int,
        backfill: int | None = None,
        adopts: bool = False,
        is_behind: bool = False,
    ) -> Admitted:
        """Write the orders that the ledger lacks; within `admission`.

        An order that was withdrawn and is confirmed again becomes pending again. What
        was listed at the feed's start is written for a backfill only.

        Args:
            found: Confirmed orders.
            capture: What found them; `backfill` makes them wait behind live ones.
            size: Orders that a batch may hold.
            backfill: Number of the backfill that they belong to.
            adopts: They count as delivered by something else, and are not sent.
            is_behind: They wait behind live orders, as those of a backfill do.
        """
        is_late = is_behind or capture == "backfill"
        statement, params = self._admission(
            found,
            capture,
            size=size,
            lane="backfill" if is_late else "live",
            state="adopted" if adopts else "pending",
            backfill=backfill,
        )
        return self._accepted(
            found, lambda: self.database.row(Admitted, statement, **params)
        )

    def admit_touched(self, found: OrderQuery, size: int) -> Admitted:
        """Take orders out of the outbox and admit those that are confirmed.

        One transaction like `admission`, sent at once; it does not wait for the disk.

        Args:
            found: What takes them, and finds them.
            size: Orders that a batch may hold.

        Raises:
            PausedError: Capture is paused, and no row was taken.
            ViewsChangedError: The views are not those that were accepted; the same.
        """
        statement, params = self._admission(found, "listen", size=size)

        def admit() -> Admitted:
            (admitted,) = self.locked(Admitted, statement, durable=False, **params)
            return admitted

        return self._accepted(found, admit)

    def locked(
        self,
        kind: type[T],
        statement: Statement,
        *,
        durable: bool = True,
        **params: object,
    ) -> list[T]:
        """Run a statement like an admission: sent together with what locks.

        Raises:
            PausedError: Nothing is admitted for now; the statement ran all the same.
        """
        (watermark,), rows = self.database.together(
            self._lock(durable=durable), Step(rows_of(kind), statement, params)
        )
        watermark.refuse_paused()
        return rows

    def admit_touched_with(
        self, found: OrderQuery, size: int, then: Step[T]
    ) -> tuple[Admitted, T]:
        """Admit touched orders and run `then` in the same durable transaction.

        While admissions are paused, or the views are not the accepted ones, no row is
        taken: From `admit_touched`.
        """
        statement, params = self._admission(found, "listen", size=size)
        _, (admitted,), rest = self.database.together(
            self._lock(durable=True), Step(rows_of(Admitted), statement, params), then
        )
        self.database.age_plans(admitted.orders)
        return admitted, rest

    def _lock(self, *, durable: bool) -> Step[list[_Watermark]]:
        params = {"feed": self.feed_id, "durable": durable}
        return Step(rows_of(_Watermark), query("lock_watermark"), params)

    def replace_reused(self, found: OrderQuery, keys: Sequence[str], size: int) -> int:
        """Admit orders whose keys others had, which keep them in a retired form.

        Args:
            found: Them, as the view lists them.
            keys: Their keys.
            size: Orders that a batch may hold.

        Raises:
            PausedError: Nothing is admitted for now, by nobody.
        """
        retired = f" until {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        with self.admission():
            self.database.run(
                query("retire_reused"),
                feed=self.feed_id,
                keys=list(keys),
                retired=retired,
            )
            return self.admit(found, "reconcile", size=size).orders

    def _are_accepted(self, found: OrderQuery) -> bool:
        """Compare the keys of views that were changed with the ledger's."""
        if found.source is None:
            return False
        guard = IdentityGuard(found.source, self.database, self.feed_id)
        return guard.compare().held is None

    def refuse_other_keys(self, found: OrderQuery) -> None:
        """Refuse orders that nothing captured, if known orders have other keys now.

        Raises:
            ViewsChangedError: They have, or the views were changed.
        """
        if found.source is not None and not self._are_accepted(found):
            raise ViewsChangedError

    def _accepted(self, found: OrderQuery, admit: Callable[[], Admitted]) -> Admitted:
        """Admit; once more where changed views have the same keys when compared."""
        admitted = admit()
        if not admitted.are_accepted and self._are_accepted(found):
            admitted = admit()
        if not admitted.are_accepted:
            raise ViewsChangedError
        self.database.age_plans(admitted.orders)
        return admitted

    def _admission(
        self, found: OrderQuery, capture: Capture, **params: object
    ) -> tuple[Statement, Mapping[str, object]]:
        return compose("admit", **found.braces), {
            "feed": self.feed_id,
            "lane": "live",
            "state": "pending",
            "backfill": None,
            "capture": capture,
            "named": NAMED_ORDERS,
            **params,
            **found.params,
        }

    def move_watermark(self, upper: datetime) -> bool:
        """Move the watermark forward; False when it is there already."""
        moved = self.database.run(
            query("move_watermark"), feed=self.feed_id, upper=upper
        )
        return moved > 0

    def watermark(self) -> datetime:
        """Read the watermark."""
        return self.database.value(datetime, query("watermark"), feed=self.feed_id)

    def keep_initial(self, found: OrderQuery, chunk: int) -> None:
        """Keep orders as old ones, within the transaction that starts the feed."""
        self.database.run(
            compose("keep_initial_orders", found=found.query),
            feed=self.feed_id,
            chunk=chunk,
            **found.params,
        )

    def refuse_pruned(self, lower: datetime, upper: datetime) -> None:
        """Refuse a range (lower excluded) where receipts are no longer kept.

        Raises:
            RangePrunedError: It reaches into that of orders without a receipt.
        """
        pruned = self.database.find(_Pruned, query("pruned"), feed=self.feed_id)
        if pruned and lower < pruned.pruned_until and upper >= pruned.oldest_at:
            raise RangePrunedError(pruned.oldest_at, pruned.pruned_until)
