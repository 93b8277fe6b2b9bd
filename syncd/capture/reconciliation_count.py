"""Counts a page's confirmed orders by where they stand, each in one page only."""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime

from syncd.capture.reconciliation_run import (
    COSTLY_SECONDS,
    HOURS,
    Counted,
    Page,
    ReconciliationRun,
)
from syncd.core.errors import SlowStatementError
from syncd.core.intervals import Interval
from syncd.core.tally import tally_of
from syncd.ledger.batches import Ledger
from syncd.ledger.reused_keys import MOST, ReusedKeys
from syncd.postgres.statements import compose
from syncd.source.orders import OrderQuery, Source
from syncd.source.position import Stretch


class OrderCount:
    """Compares orders that the views list with the ledger."""

    def __init__(self, source: Source, ledger: Ledger) -> None:
        self._reused = ReusedKeys(source, ledger.database, ledger.feed_id)
        self._source = source
        self._ledger = ledger
        self._without_time_seconds = 0.0

    def count(
        self, run: ReconciliationRun, stretch: Stretch, found: OrderQuery
    ) -> Page:
        """Count the orders of a stretch.

        Args:
            run: The run whose page it is.
            stretch: Where its orders lie.
            found: Lists them.
        """
        rows = self._ledger.database.rows(
            Counted,
            compose("account", found=found.query),
            feed=self._ledger.feed_id,
            **found.params,
        )
        span = Interval(stretch.lower, stretch.end.at)
        standings: dict[str, int] = {}
        moved: dict[str, tuple[str, datetime]] = {}
        first = None
        for row in rows:
            before = self._listed_before(run, span, row.unwritten)
            standings[row.standing] = row.orders - before
            pairs = zip(row.moved, row.moved_to, strict=True)
            moved |= {key: (row.standing, time) for key, time in pairs}
            first = row.first_key if row.standing == "missing" else first
        if self._is_reused([*moved]):
            return self.count(run, stretch, found)
        for key in self._at_home(run, span, {k: t for k, (_, t) in moved.items()}):
            standings[moved[key][0]] += 1
        return Page(stretch.end, tally_of(standings), first)

    def _is_reused(self, keys: Sequence[str]) -> bool:
        """Note those of some known orders whose keys stand for others; any new?

        Their time in the view is not the one that the ledger has.
        """
        noted = 0
        for first in range(0, len(keys), MOST):
            noted += self._reused.note(keys[first : first + MOST])
        return noted > 0

    def _listed_before(
        self, run: ReconciliationRun, span: Interval, keys: Sequence[str]
    ) -> int:
        """Count those of some orders that an earlier page has counted.

        The ledger has no time of theirs by which one page would be their own.
        """
        if not keys or span.lower <= run.lower:
            return 0
        return self._source.count_listed(keys, run.lower, span.lower)

    def _at_home(
        self, run: ReconciliationRun, span: Interval, moved: dict[str, datetime]
    ) -> Iterator[str]:
        """Name those of the orders that are to be counted in this page.

        The view may list an order in several pages. It counts where the ledger has
        it, or, when it is not listed there (any more), where it is listed first.
        """
        if not moved:
            return
        listed: dict[str, list[datetime]] = {}
        for key, at in self._source.listings([*moved], run.lower, run.upper):
            listed.setdefault(key, []).append(at)
        for key, times in listed.items():
            home = moved[key] if moved[key] in times else min(times)
            if span.lower < home <= span.upper:
                yield key

    def count_without_time(self, run: ReconciliationRun) -> int | None:
        """Count new orders that are confirmed at no usable time; None: did not look."""
        if run.scope == HOURS.name and self._without_time_seconds > COSTLY_SECONDS:
            return None
        started = time.monotonic()
        try:
            found = self._source.orders_without_time()
            return self._ledger.database.value(
                int,
                compose("count_new", found=found.query),
                feed=self._ledger.feed_id,
                left_out=list(self._source.views.left_out),
                **found.params,
            )
        except SlowStatementError:
            return None
        finally:
            self._without_time_seconds = time.monotonic() - started
