"""Capture by polling: orders are taken at once, the watermark moves when it is true.

The invariant: the watermark passes an instant only after everything that could still
add an order stamped at or before it has ended (ADR-0003).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from syncd.capture.sweep import Pages, Sweep
from syncd.capture.tuning import DEFAULTS, PollTuning
from syncd.core.errors import SlowStatementError, SyncdError
from syncd.core.window import Vxid, Window, with_prepared, without_ended
from syncd.ledger.admission import Admitted
from syncd.ledger.batches import Ledger
from syncd.source.orders import Source
from syncd.source.position import Position
from syncd.source.transactions import Holder, Lsn, Transactions

SLACK = timedelta(seconds=5)
"""How far before the last poll an ordinary poll begins."""

SAFETY_POLL_INTERVAL = timedelta(minutes=3)
"""How often the poll runs, at least, while a follower does the work."""

BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PollResult:
    """What one poll did; `keys` names the first of the orders."""

    orders: int
    keys: Sequence[str]
    watermark: datetime | None  # where it moved to, None when it stayed
    held: Window | None  # the window that waits unusually long
    held_seconds: float = 0.0


class PollCapture:
    """Finds newly confirmed orders; call `poll` again and again, from one thread.

    Args:
        lookback: How far before its commit an order may be stamped.
        size: Orders that a batch may hold.
    """

    def __init__(
        self,
        transactions: Transactions,
        source: Source,
        ledger: Ledger,
        *,
        lookback: timedelta,
        size: int,
        tuning: PollTuning = DEFAULTS,
    ) -> None:
        self._tuning = tuning
        self._transactions = transactions
        self._ledger = ledger
        self._lookback = lookback
        self._pages = Pages(source, ledger, size=size, orders=tuning.page)
        transactions.on_restart(self.forget)
        self.forget()

    def forget(self) -> None:
        """Start over: what was seen of transactions means nothing any more."""
        self._window: Window | None = None
        self._closing: Sweep | None = None
        self._rest: Sweep | None = None
        self._rest_seconds = self._rest_since = 0.0
        self._awaited: Lsn | None = None
        self._opened_at: datetime | None = None
        self._seen: dict[Vxid, datetime] = {}
        self._polled_at: datetime | None = None
        self._deep_from: datetime | None = None
        self._deep_at = self._whole_at = self._tuning.clock()

    def poll(self) -> PollResult:
        """Poll once, then read of what was left, for a while.

        Raises:
            SyncdError: The database failed; the next poll starts over.
        """
        try:
            return self._poll()
        except SyncdError as error:
            self.forget()
            if isinstance(error, SlowStatementError):
                self._pages.shrink()
            raise

    def _poll(self) -> PollResult:
        now = self._transactions.clock()
        running = self._transactions.running()
        lower = self._since(now, running)
        self._advance(now, running)
        window = self._window
        if window is not None and self._closing is None and self._may_close(window):
            self._closing = Sweep(BEGINNING, window.upper)
        found, watermark = self._read_new(now, lower)
        more, moved = self._work_off()
        found, watermark = _together(found, more), moved or watermark
        if not self.is_behind:
            self._pages.grow()
        age = (now - self._opened_at).total_seconds() if self._opened_at else 0.0
        is_held = age > self._tuning.held_seconds and not self._closing
        held = self._window if is_held else None
        return PollResult(found.orders, found.keys, watermark, held, age)

    def holder(self) -> Holder:
        """Return the oldest transaction; an unknown one if it has just ended."""
        return next(iter(self._transactions.holders()), Holder())

    def _since(self, now: datetime, running: frozenset[Vxid]) -> datetime | None:
        """Return from when on an order may have become visible; None: read it all.

        A transaction that ended since the last poll may have stamped its orders when
        it was first seen, or shortly before; now and then, up to `lookback` before.
        However long the window has been open: what was read is not read again. Where
        the clock was set back, nothing counts as seen later than now.
        """
        ended = [seen for vxid, seen in self._seen.items() if vxid not in running]
        last, self._polled_at = self._polled_at, now
        polled_at = min(last or now, now)
        self._seen = {v: min(self._seen.get(v, polled_at), now) for v in running}
        if last is None or self._is_due(self._whole_at, self._tuning.whole_seconds):
            self._deep_from, self._whole_at = now, self._tuning.clock()
            self._rest_seconds = 0.0
            return None
        shallow = min([polled_at, *ended])
        deep = min(shallow, self._deep_from or shallow)
        deep_seconds = self._tuning.deep_seconds
        if now >= last and not self._is_due(self._deep_at, deep_seconds):
            self._deep_from = deep
            return shallow - SLACK
        self._deep_from, self._deep_at = now, self._tuning.clock()
        self._rest_seconds = 0.0
        return deep - self._lookback - SLACK

    def _is_due(self, last: float, period: float) -> bool:
        """Whether to poll far back again; a tenth of the time, where it takes long."""
        period = max(period, 10 * self._rest_seconds)
        return self._rest is None and self._tuning.clock() - last >= period

    def _read_new(
        self, now: datetime, lower: datetime | None
    ) -> tuple[Admitted, datetime | None]:
        """Read what is newest; with it a page of a window that may be closed."""
        late, watermark = Admitted(0, ()), None
        with self._ledger.admission(durable=False) as reached:
            start = self._start(now, reached)
            lower = max(start, lower or start)
            is_deep = self._deep_from == now
            found, begins = self._pages.newest(lower, now, is_deep=is_deep)
            if self._closing is not None:
                late, watermark = self._close_page(self._closing, reached)
        if begins > lower:
            self._leave(lower, begins, found.orders)
        return _together(found, late), watermark

    def _leave(self, lower: datetime, upper: datetime, orders: int) -> None:
        """Leave a range that was too large for a poll to pages of later turns."""
        if self._rest is None:
            self._rest = Sweep(lower, upper, orders)
            self._rest_since = self._tuning.clock()
        else:
            self._rest.extend(lower, upper)

    def _close_page(
        self, window: Sweep, reached: datetime
    ) -> tuple[Admitted, datetime | None]:
        """Read a page of the window's last scan, and move the watermark behind it.

        All that could add to the window had ended before its first page was read, so
        that each page is final whenever it is read: no snapshot spans them.
        """
        if window.position.at < reached:
            window.position = Position(min(reached, window.upper))
        admitted, watermark = Admitted(0, ()), None
        if not window.is_over:
            admitted = self._pages.admit(window)
            watermark = self._move_watermark(window.position)
        if window.is_over:
            self._closing = self._window = self._awaited = None
        return admitted, watermark

    def _move_watermark(self, position: Position) -> datetime | None:
        """Move it behind the last whole page; None where it stays."""
        if position.key is None and self._ledger.move_watermark(position.at):
            return position.at
        return None

    def _work_off(self) -> tuple[Admitted, datetime | None]:
        """Read pages that were left, each in a transaction of its own, for a while."""
        ends = time.monotonic() + self._tuning.turn_seconds
        found, moved = Admitted(0, ()), None
        while self.is_behind:
            with self._ledger.admission(durable=False) as reached:
                if self._closing is not None:
                    late, watermark = self._close_page(self._closing, reached)
                    found, moved = _together(found, late), watermark or moved
                if self._rest is not None:
                    found = _together(found, self._rest_page(self._rest))
            if time.monotonic() >= ends:
                break
        return found, moved

    def _rest_page(self, rest: Sweep) -> Admitted:
        admitted = self._pages.admit(rest)
        if rest.is_over:
            self._rest = None
            self._rest_seconds = self._tuning.clock() - self._rest_since
        return admitted

    @property
    def is_behind(self) -> bool:
        """Whether pages are left to read."""
        return self._closing is not None or self._rest is not None

    def _start(self, now: datetime, watermark: datetime) -> datetime:
        """Return where a whole poll begins: at the watermark.

        Unless a clock that was ahead has taken it into the future: then `lookback` ago.
        """
        return min(watermark, now - self._lookback)

    def _advance(self, now: datetime, running: frozenset[Vxid]) -> None:
        """Open a window, or bring the open one nearer to its end."""
        if self._window is None:
            step = self._tuning.step_of(self._lookback)
            if self._opened_at is None or abs(now - self._opened_at) >= step:
                self._window = Window(now - self._lookback, running)
                self._opened_at = now
        else:
            self._window = without_ended(self._window, running)
        window = self._window
        if window and (window.is_ready_for_prepared or window.prepared):
            self._window = with_prepared(window, self._transactions.prepared())

    def _may_close(self, window: Window) -> bool:
        """Return whether all that could add to the window has ended, and shows here.

        On a hot standby a position of the primary's is awaited that was read after
        they had ended, so that it is after their commits.
        """
        if not window.is_closable:
            return False
        self._awaited = self._awaited or self._transactions.written()
        return self._transactions.has_arrived(self._awaited)


def _together(one: Admitted, other: Admitted) -> Admitted:
    return Admitted(one.orders + other.orders, [*one.keys, *other.keys])
