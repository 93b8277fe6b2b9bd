"""A run of a reconciliation: the orders that it counts, and its result."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from syncd.core.errors import SlowStatementError
from syncd.core.intervals import Interval
from syncd.core.tally import ReconciliationTally, tally_of
from syncd.ledger.batches import Ledger
from syncd.ledger.reused_keys import MOST, ReusedKeys
from syncd.postgres.statements import compose
from syncd.source.orders import OrderQuery, Source
from syncd.source.position import Position, Stretch


@dataclass(frozen=True, slots=True)
class Scope:
    """How far back a run reaches (None: all that the view lists), and how often."""

    name: str
    span: timedelta | None
    period: timedelta


HOURS, _, ALL, PROMOTION = SCOPES = (
    Scope("hours", timedelta(hours=16), timedelta(minutes=5)),
    Scope("days", timedelta(days=35), timedelta(hours=1)),
    Scope("all", None, timedelta(days=7)),
    Scope("promotion", timedelta(days=1), timedelta(minutes=10)),
)
ASKED = Scope("asked", None, timedelta(0))

COSTLY_SECONDS = 1.0
"""What counting orders without a usable time may cost the accounts of the hours."""


@dataclass(frozen=True, slots=True)
class ReconciliationRun:
    """An account in the making, of orders confirmed after `lower` and up to `upper`."""

    number: int
    scope: str
    lower: datetime
    upper: datetime
    reached_at: datetime
    reached_key: str | None

    @property
    def reached(self) -> Position:
        """How far it is."""
        return Position.after(self.reached_at, self.reached_key)


@dataclass(frozen=True, slots=True)
class Page:
    """The account of a part of a run, up to `end`; names the first missing order."""

    end: Position
    account: ReconciliationTally
    missing_key: str | None


@dataclass(frozen=True, slots=True)
class ReconciliationResult:
    """A whole account with its sentence.

    Attributes:
        without_time: New orders that are confirmed at no usable time, wherever.
        unreadable: Orders that were left out, since the view fails over their rows.
    """

    account: ReconciliationTally
    sentence: str
    seconds: float
    without_time: int = 0
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """Orders that stand alike; those of them with another time in the ledger, apart."""

    standing: str
    orders: int
    first_key: str
    moved: Sequence[str]
    moved_to: Sequence[datetime]
    unwritten: Sequence[str]


@dataclass(frozen=True, slots=True)
class KeptTally(ReconciliationTally):
    """An account as the ledger keeps it, with what belongs to no order's standing."""

    unreadable: int = 0
    seconds: float = 0.0

    @property
    def tally(self) -> ReconciliationTally:
        """The account alone."""
        names = [each.name for each in fields(ReconciliationTally)]
        return ReconciliationTally(**{name: getattr(self, name) for name in names})


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
        """Count the orders of a stretch, which `found` lists."""
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
        times = {key: time for key, (_, time) in moved.items()}
        for key in self._counted_here(run, span, times):
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

    def _counted_here(
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
            counted_at = moved[key] if moved[key] in times else min(times)
            if span.lower < counted_at <= span.upper:
                yield key

    def count_without_time(self, run: ReconciliationRun) -> int | None:
        """Count new orders that are confirmed at no usable time; None: too costly."""
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
