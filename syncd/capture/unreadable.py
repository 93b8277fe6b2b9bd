"""Orders of `confirmed_orders` whose own row makes the view fail.

One such row would stop the poll for all. They are found by key, since no range of times
can be read past them; the view is then read as if they had no time, so that they are
counted and named while all others go on, and looked at again later.
"""

import time

from syncd.database import named
from syncd.errors import UnreadableRowError
from syncd.ledger import Ledger
from syncd.log import Log
from syncd.source import Source

MOST_LEFT_OUT = 100
"""More than these are the view's fault, and hold capture until it is mended."""

AGAIN_SECONDS = 300.0
"""How long they are left out before the view is read whole again."""

PAGE_KEYS = 1_000
ALARM = "orders.unreadable"
NAMED = 5


class UnreadableOrders:
    """Leaves orders out of one source's view while they cannot be read."""

    def __init__(self, source: Source, ledger: Ledger, log: Log) -> None:
        self._source = source
        self._ledger = ledger
        self._log = log
        self._again_at = float("-inf")
        self._is_raised = True  # perhaps by a process before this one

    def read_again(self) -> None:
        """Read the view whole again, once the time for that has come."""
        if self._source.views.left_out and time.monotonic() >= self._again_at:
            self._source.views.leave_out(())

    def leave_out(self, error: UnreadableRowError) -> bool:
        """Find the orders that make the view fail; whether it can be read without them.

        Raises:
            SyncdError: Not even their keys can be read.
        """
        keys = self._find()
        if not 0 < len(keys) <= MOST_LEFT_OUT:
            return False
        self._source.views.leave_out(keys)
        self._again_at = time.monotonic() + AGAIN_SECONDS
        some = ", ".join(keys[:NAMED]) + (" …" if len(keys) > NAMED else "")
        reason = (
            f"{len(keys)} of confirmed_orders cannot be read "
            f"(SQLSTATE {error.sqlstate}): {some}"
        )
        self._ledger.database.run(
            named("raise_alarm"),
            feed=self._ledger.feed_id,
            alarm=ALARM,
            reason=reason,
        )
        self._is_raised = True
        self._log.emit_folded(
            "orders.unreadable",
            reason,
            orders=len(keys),
            order_key=keys[0],
            reason=reason,
            retry_seconds=AGAIN_SECONDS,
        )
        return True

    def note_readable(self) -> None:
        """Note that the view was read; end the alarm where nothing was left out."""
        if self._is_raised and not self._source.views.left_out:
            self._ledger.database.run(
                named("end_alarm"), feed=self._ledger.feed_id, alarm=ALARM
            )
            self._is_raised = False

    def _find(self) -> list[str]:
        """Walk the view by key; stop when there are too many."""
        found: list[str] = []
        after: str | None = None
        while len(found) <= MOST_LEFT_OUT:
            keys = self._source.keys_after(after, PAGE_KEYS)
            if not keys:
                break
            after = keys[-1]
            found += self._unreadable(list(dict.fromkeys(keys)))
        return found

    def _unreadable(self, keys: list[str]) -> list[str]:
        try:
            self._source.read_times(keys)
        except UnreadableRowError:
            if len(keys) == 1:
                return keys
            middle = len(keys) // 2
            return self._unreadable(keys[:middle]) + self._unreadable(keys[middle:])
        return []
