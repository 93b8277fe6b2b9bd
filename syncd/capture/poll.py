"""Capture by polling: orders are taken at once, the watermark moves when it is true.

The invariant: the watermark passes an instant only after everything that could still
add an order stamped at or before it has ended (ADR-0003).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from syncd.core.window import Vxid, Window, with_prepared, without_ended
from syncd.errors import SyncdError
from syncd.ledger import Admitted, Ledger
from syncd.source import Source
from syncd.transactions import Lsn, Transactions

SLACK = timedelta(seconds=5)
"""How far before the last look an ordinary look begins."""

UNDERNEATH = timedelta(minutes=3)
"""How often the poll looks, at least, while a follower does the work."""

DEEP_SECONDS = 30.0
"""How often a look begins `lookback` earlier, for stamps older than `SLACK`."""

WHOLE_SECONDS = 600.0
"""How often the whole open window is read, for what was prepared and then committed."""

HELD_SECONDS = 60.0
"""Age from which a window that cannot be closed is worth a line."""


@dataclass(frozen=True, slots=True)
class Captured:
    """What one poll did; `keys` names the first of the orders."""

    orders: int
    keys: Sequence[str]
    watermark: datetime | None  # where it moved to, None when it stayed
    held: Window | None  # the window that waits unusually long
    held_seconds: float = 0.0


class Poll:
    """Finds newly confirmed orders; call `poll` again and again, from one thread."""

    def __init__(
        self,
        transactions: Transactions,
        source: Source,
        ledger: Ledger,
        *,
        lookback: timedelta,
        size: int,
    ) -> None:
        self._transactions = transactions
        self._source = source
        self._ledger = ledger
        self._lookback = lookback
        self._size = size
        transactions.on_move(self.forget)
        self._step = max(timedelta(seconds=1), min(lookback / 60, timedelta(seconds=5)))
        self.forget()

    def forget(self) -> None:
        """Start over; for a new connection, since transaction ids may be reused."""
        self._window: Window | None = None
        self._awaited: Lsn | None = None
        self._opened_at: datetime | None = None
        self._seen: dict[Vxid, datetime] = {}
        self._looked_at: datetime | None = None
        self._deep_from: datetime | None = None
        self._deep_at = self._whole_at = time.monotonic()

    def poll(self) -> Captured:
        """Look once.

        Raises:
            SyncdError: The database failed; the next look starts over.
        """
        try:
            return self._poll()
        except SyncdError:
            self.forget()
            raise

    def _poll(self) -> Captured:
        now = self._transactions.clock()
        running = self._transactions.running()
        lower = self._since(now, running)
        self._advance(now, running)
        window = self._window
        closing = window if window is not None and self._may_close(window) else None
        found, watermark = self._look(now, lower, closing)
        age = (now - self._opened_at).total_seconds() if self._opened_at else 0.0
        held = self._window if age > HELD_SECONDS else None
        return Captured(found.orders, found.keys, watermark, held, age)

    def poll_until_closed(self, patience_seconds: float) -> Captured:
        """Look until a window closed or the patience ends; for `run --once`."""
        deadline = time.monotonic() + patience_seconds
        captured = self.poll()
        orders = captured.orders
        while captured.watermark is None and time.monotonic() < deadline:
            time.sleep(0.05)
            captured = self.poll()
            orders += captured.orders
        return replace(captured, orders=orders)

    def holder(self) -> tuple[object, ...]:
        """Name the oldest transaction, as `Transactions.holders` does; or Nones."""
        holders = self._transactions.holders()
        return holders[0] if holders else (None, None, None, None)

    def _since(self, now: datetime, running: frozenset[Vxid]) -> datetime | None:
        """Tell from when on an order may have become visible; None: read it all.

        A transaction that ended since the last look may have stamped its orders when
        it was first seen, or shortly before; now and then, up to `lookback` before.
        However long the window has been open: what was read is not read again. Where
        the clock was set back, nothing counts as seen later than now.
        """
        ended = [seen for vxid, seen in self._seen.items() if vxid not in running]
        last, self._looked_at = self._looked_at, now
        looked_at = min(last or now, now)
        self._seen = {v: min(self._seen.get(v, looked_at), now) for v in running}
        if last is None or time.monotonic() - self._whole_at > WHOLE_SECONDS:
            self._deep_from, self._whole_at = now, time.monotonic()
            return None
        shallow = min([looked_at, *ended])
        deep = min(shallow, self._deep_from or shallow)
        if now >= last and time.monotonic() - self._deep_at < DEEP_SECONDS:
            self._deep_from = deep
            return shallow - SLACK
        self._deep_from, self._deep_at = now, time.monotonic()
        return deep - self._lookback - SLACK

    def _look(
        self, now: datetime, lower: datetime | None, closing: Window | None
    ) -> tuple[Admitted, datetime | None]:
        """Read what is new; with it, once more, a window, and move the watermark."""
        late, watermark = Admitted(0, ()), None
        with self._ledger.admission(durable=False) as reached:
            start = self._start(now, reached)
            lower = max(start, lower or start)
            if closing is not None and reached < closing.upper:
                if lower <= closing.upper:
                    lower = min(lower, reached)
                else:
                    late = self._admit(reached, closing.upper)
            found = self._admit(lower, None)
            if closing is not None and self._ledger.move_watermark(closing.upper):
                watermark = closing.upper
        if closing is not None:
            self._window = self._awaited = None
        orders = found.orders + late.orders
        return Admitted(orders, [*found.keys, *late.keys]), watermark

    def _start(self, now: datetime, watermark: datetime) -> datetime:
        """Tell where a whole look begins: at the watermark.

        Unless a clock that was ahead has taken it into the future: then `lookback` ago.
        """
        return min(watermark, now - self._lookback)

    def _admit(self, lower: datetime, upper: datetime | None) -> Admitted:
        found = self._source.between(lower, upper or "infinity", to_admit=True)
        return self._ledger.admit(found, "poll", size=self._size)

    def _advance(self, now: datetime, running: frozenset[Vxid]) -> None:
        """Open a window, or bring the open one nearer to its end."""
        if self._window is None:
            if self._opened_at is None or abs(now - self._opened_at) >= self._step:
                self._window = Window(now - self._lookback, running)
                self._opened_at = now
        else:
            self._window = without_ended(self._window, running)
        window = self._window
        if window and (window.is_ready_for_prepared or window.prepared):
            self._window = with_prepared(window, self._transactions.prepared())

    def _may_close(self, window: Window) -> bool:
        """Tell whether all that could add to the window has ended, and shows here.

        On a hot standby a position of the primary's is awaited that was read after
        they had ended, so that it lies behind their commits.
        """
        if not window.is_closable:
            return False
        self._awaited = self._awaited or self._transactions.written()
        return self._transactions.has_arrived(self._awaited)
