"""Orders of `confirmed_orders` whose own row makes the view fail.

One such row would stop all that read the view: capture, reconciliation, comparisons.
They are found by key, since no range of times can be read past them; the view is then
read as if they had no time, so that they are counted and named while all others
continue, and each is read again later. A row whose key cannot be read stops them all,
as do too many: then the alarm reports it.

The invariant: an order is left out only while its own row cannot be read.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from syncd.core.errors import UnreadableRowError, UnreadableViewError
from syncd.ledger.batches import Ledger
from syncd.postgres.statements import query
from syncd.source.orders import Source
from syncd.source.unreadable_rows import RowFinder
from syncd.source.views import LeftOut

if TYPE_CHECKING:  # the status is read without a log
    from syncd.log.log import Log

MOST_LEFT_OUT = 100
"""More than these are the view's fault: nothing is read until it is corrected."""

AGAIN_SECONDS = 300.0
"""How often the rows that are left out are read again."""

BLOCKED_SECONDS = 30.0
"""How often a row that cannot be left out is searched for."""

ALARM = "orders.unreadable"
NAMED = 5

T = TypeVar("T")


class Reading(Protocol):
    """Reads the view, if need be without the orders over whose own row it fails."""

    def __call__(self, read: Callable[[], T]) -> T:
        """Return what `read` does; it is called again where an order is left out."""
        ...


def read_whole(read: Callable[[], T]) -> T:
    """Read the view, and leave no order out."""
    return read()


class Exclusion:
    """The orders that the readers of one process leave out; each may find them.

    Attributes:
        again_seconds: How often the rows that are left out are read again.
        left_out: What the sources of the process share.
        guard: Held by the reader that searches for unreadable rows for all.
        again_at: When they are read again.
        blocked: Why orders cannot be left out, as it was found last.
        blocked_until: When that is read again.
        end_at: When to check whether the alarm may end.
    """

    def __init__(self, again_seconds: float = AGAIN_SECONDS) -> None:
        self.again_seconds = again_seconds
        self.left_out = LeftOut()
        self.guard = threading.Lock()
        self.again_at = float("-inf")
        self.blocked: UnreadableViewError | None = None
        self.blocked_until = float("-inf")
        self.end_at = float("-inf")

    def postpone(self) -> None:
        """Leave the orders out until `again_seconds` are over."""
        self.again_at = time.monotonic() + self.again_seconds


class UnreadableOrders:
    """Leaves orders out for one reader, on connections of its own.

    Args:
        source: What it reads; it shares the exclusion's keys.
        ledger: Where the alarm is kept; None: nowhere, before the feed's first start.
        exclusion: Shared with the other readers of the process.
    """

    def __init__(
        self, source: Source, ledger: Ledger | None, log: "Log", exclusion: Exclusion
    ) -> None:
        self._rows = RowFinder(source)
        self._ledger = ledger
        self._log = log
        self._exclusion = exclusion
        self._left_out = exclusion.left_out

    def __call__(self, read: Callable[[], T]) -> T:
        """Return what `read` does; call it again where orders had to be left out.

        Raises:
            SyncdError: It fails for another reason, for too many orders, or not even
                their keys can be read.
        """
        self._retry_left_out()
        before = self._left_out.keys
        try:
            done = read()
        except UnreadableRowError as error:
            if not self._leave_out(error, before):
                raise
            done = read()
        self._note_readable()
        return done

    def _retry_left_out(self) -> None:
        """Leave out no longer whatever can be read by now, once that is due."""
        exclusion = self._exclusion
        with exclusion.guard:
            keys = self._left_out.keys
            if not keys or time.monotonic() < exclusion.again_at:
                return
            self._left_out.keys = ()
            self._left_out.keys = tuple(self._rows.of(keys))
            exclusion.postpone()

    def _leave_out(self, error: UnreadableRowError, before: Sequence[str]) -> bool:
        """Find the orders that make the view fail; whether the others can be read."""
        if error.view != "confirmed_orders":
            return False
        with self._exclusion.guard:
            known = self._left_out.keys
            if known != before:  # another reader has found them meanwhile
                return True
            found = self._found(error.sqlstate)
            if not found:
                return False
            self._left_out.keys = keys = (*known, *found)
            self._exclusion.postpone()
        self._report(keys, error.sqlstate)
        return True

    def _found(self, sqlstate: str) -> list[str]:
        """Find them; a row that hides them is searched for at intervals only."""
        exclusion, now = self._exclusion, time.monotonic()
        if exclusion.blocked is None or now >= exclusion.blocked_until:
            try:
                exclusion.blocked = None
                most = MOST_LEFT_OUT - len(self._left_out.keys)
                return self._rows.find(most, sqlstate)
            except UnreadableViewError as error:
                exclusion.blocked = error
                exclusion.blocked_until = time.monotonic() + BLOCKED_SECONDS
        self._raise_alarm(str(exclusion.blocked))
        raise exclusion.blocked.with_traceback(None)

    def _report(self, keys: Sequence[str], sqlstate: str) -> None:
        some = ", ".join(keys[:NAMED]) + (" …" if len(keys) > NAMED else "")
        reason = (
            f"{len(keys)} of confirmed_orders cannot be read "
            f"(SQLSTATE {sqlstate}): {some}"
        )
        self._raise_alarm(reason)
        self._log.emit_folded(
            "orders.unreadable",
            reason,
            orders=len(keys),
            order_key=keys[0],
            reason=reason,
            retry_seconds=self._exclusion.again_seconds,
        )

    def _raise_alarm(self, reason: str) -> None:
        if self._ledger is not None:
            self._ledger.database.run(
                query("raise_alarm"),
                feed=self._ledger.feed_id,
                alarm=ALARM,
                reason=reason,
            )
        wait = min(BLOCKED_SECONDS, self._exclusion.again_seconds)
        self._exclusion.end_at = time.monotonic() + wait

    def _note_readable(self) -> None:
        """End the alarm, of any instance, once the whole view can be read."""
        exclusion, now = self._exclusion, time.monotonic()
        if self._ledger is None or self._left_out.keys or now < exclusion.end_at:
            return
        exclusion.end_at = now + exclusion.again_seconds
        ours = {"feed": self._ledger.feed_id}
        if ALARM not in self._ledger.database.values(str, query("alarms"), **ours):
            return
        if self._is_unreadable():
            exclusion.end_at = now + BLOCKED_SECONDS
        else:
            self._ledger.database.run(query("end_alarm"), alarm=ALARM, **ours)

    def _is_unreadable(self) -> bool:
        """Return whether the view fails over a row, wherever that is."""
        try:
            return bool(self._rows.find(MOST_LEFT_OUT, ""))
        except UnreadableRowError:
            return True
