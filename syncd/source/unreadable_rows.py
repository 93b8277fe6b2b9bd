"""Finds the orders over whose own rows `confirmed_orders` fails.

They are found by key. A row whose key fails, or that the view's condition fails over,
has no key to be found by; then the span of its time is found.
"""

import time
from collections.abc import Sequence
from datetime import datetime

from syncd.core.errors import UnreadableRowError, UnreadableViewError
from syncd.source.orders import Source
from syncd.source.position import INSTANT

PAGE_KEYS = 1_000

LOCATE_SECONDS = 10.0
"""How long a row without a key is searched for, after the statement that then runs."""

_FIRST = datetime.fromisoformat("0001-01-02T00:00:00+00:00")
_LAST = datetime.fromisoformat("9998-12-31T00:00:00+00:00")


class RowFinder:
    """Finds what makes the view fail; it only reads."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def find(self, most: int, sqlstate: str) -> list[str]:
        """Return the keys of the orders whose times fail, `most` of them.

        Raises:
            UnreadableViewError: They are more, or cannot be distinguished from others.
        """
        found: list[str] = []
        after: str | None = None
        try:
            self._source.read_times(())
            while keys := self._source.keys_after(after, PAGE_KEYS):
                after = keys[-1]
                found += self.of(list(dict.fromkeys(keys)))
                if len(found) > most:
                    name = self._source.views.confirmed
                    raise _too_many(sqlstate, found[0], name)
        except UnreadableViewError:
            raise
        except UnreadableRowError as error:
            raise self._described(error) from error
        return found

    def of(self, keys: Sequence[str]) -> list[str]:
        """Return those of some orders whose times fail."""
        try:
            self._source.read_times(keys)
        except UnreadableRowError:
            if len(keys) == 1:
                return list(keys)
            middle = len(keys) // 2
            return [*self.of(keys[:middle]), *self.of(keys[middle:])]
        return []

    def _described(self, error: UnreadableRowError) -> UnreadableViewError:
        view = self._source.views.confirmed
        span = self._locate()
        if span is None:
            return _unnamed(error.sqlstate, "at any time", view)
        lower, upper = span
        if upper - lower <= INSTANT:
            return _unnamed(error.sqlstate, f"at {upper}", view)
        where = f"after {lower} and up to {upper}"
        return _unnamed(error.sqlstate, where, view)

    def _locate(self) -> tuple[datetime, datetime] | None:
        """Halve the span in which the view fails; None: it fails over an empty one."""
        lower, upper = _FIRST, _LAST
        if self._fails(upper, upper) or not self._fails(lower, upper):
            return None
        ends = time.monotonic() + LOCATE_SECONDS
        while upper - lower > INSTANT and time.monotonic() < ends:
            middle = lower + (upper - lower) / 2
            if self._fails(lower, middle):
                upper = middle
            else:
                lower = middle
        return lower, upper

    def _fails(self, lower: datetime, upper: datetime) -> bool:
        try:
            self._source.read_span(lower, upper)
        except UnreadableRowError:
            return True
        return False


def _unnamed(sqlstate: str, where: str, name: str) -> UnreadableViewError:
    return UnreadableViewError(
        sqlstate,
        f"{name} fails with SQLSTATE {sqlstate} on a row confirmed {where}, in "
        "its key or in the view's condition, so that it cannot be left out",
        "Read the rows of that time from the view to see the server's own error; "
        "correct the row, or let the view leave such rows out. Nothing is lost.",
    )


def _too_many(sqlstate: str, key: str, name: str) -> UnreadableViewError:
    """Return the error of more rows than are left out; `key` names one."""
    return UnreadableViewError(
        sqlstate,
        f"{name} fails with SQLSTATE {sqlstate} on the times of too many "
        f"orders to leave them out, for example {key}",
        "Read that order from the view to see the server's own error; correct the "
        "view. Nothing is lost.",
    )
