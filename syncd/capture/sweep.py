"""A range with more orders than one poll reads: read in order, page by page.

The invariant: everything up to a sweep's position was read since it began.
"""

from datetime import datetime

from syncd.ledger.admission import Admitted
from syncd.ledger.batches import Ledger
from syncd.source.orders import OrderQuery, Source
from syncd.source.position import Position

MASS_PAGES = 10
"""New orders of a sweep, in pages, after which others wait behind live ones."""


class Pages:
    """Admits pages of the order database's view; the source with the ledger.

    Args:
        size: Orders that a batch may hold.
        orders: Orders that a page holds.
    """

    def __init__(
        self, source: Source, ledger: Ledger, *, size: int, orders: int
    ) -> None:
        self.source = source
        self.ledger = ledger
        self.orders = self.most = orders
        self.mass = MASS_PAGES * orders
        self._size = size

    def shrink(self) -> None:
        """Take smaller pages: one took longer than a statement may."""
        self.orders = max(self.orders // 2, 1)

    def grow(self) -> None:
        """Take larger pages again, up to what was asked for."""
        self.orders = min(self.orders * 2, self.most)

    def newest(
        self, lower: datetime, now: datetime, *, is_deep: bool
    ) -> tuple[Admitted, datetime]:
        """Admit the newest orders after `lower`, a page at most; within an admission.

        Where a page and more are stamped later than now, a page of those up to now too;
        the others are left to a deep poll, since each poll would leave them again.

        Returns:
            Where the page begins: `lower` when it holds all.
        """
        bound = self.source.newest_page(lower, "infinity", self.orders)
        found = self.source.between(bound or lower, "infinity", to_admit=True)
        admitted = self._admit(found, is_behind=False)
        if bound is None or bound <= now:
            return admitted, bound or lower
        past = self.source.newest_page(lower, now, self.orders)
        more = self._admit(
            self.source.between(past or lower, now, to_admit=True), is_behind=False
        )
        orders = admitted.orders + more.orders
        begins = bound if is_deep else past or lower
        return Admitted(orders, [*admitted.keys, *more.keys]), begins

    def admit(self, sweep: "Sweep") -> Admitted:
        """Admit the next page of a sweep; within an admission."""
        after, upper = sweep.position, sweep.upper
        stretch = self.source.stretch(after, upper, self.orders)
        found = self.source.within(stretch, to_admit=True)
        admitted = self._admit(found, is_behind=sweep.orders >= self.mass)
        sweep.passed(stretch.end, admitted.orders)
        return admitted

    def _admit(self, found: OrderQuery, *, is_behind: bool) -> Admitted:
        return self.ledger.admit(found, "poll", size=self._size, is_behind=is_behind)


class Sweep:
    """A pass over a range (lower excluded, upper included), oldest first.

    Attributes:
        position: How far it is.
        orders: New ones that it has found, with those of the poll that left it.
    """

    def __init__(self, lower: datetime, upper: datetime, orders: int = 0) -> None:
        self.position = Position(lower)
        self.upper = upper
        self.orders = orders
        self._again: tuple[datetime, datetime] | None = None

    @property
    def is_over(self) -> bool:
        """Whether the whole range was read, since the last call of `extend`."""
        return self.position == Position(self.upper) and self._again is None

    def extend(self, lower: datetime, upper: datetime) -> None:
        """Read a range too: orders may have become visible where it was passed."""
        if lower >= self.position.at:
            self.upper = max(self.upper, upper)
        else:
            low, high = self._again or (lower, upper)
            self._again = min(low, lower), max(high, upper)

    def passed(self, position: Position, orders: int) -> None:
        """Continue from there; at the end, begin what was requested meanwhile."""
        self.position = position
        self.orders += orders
        if position == Position(self.upper) and self._again is not None:
            (lower, self.upper), self._again = self._again, None
            self.position = Position(lower)
