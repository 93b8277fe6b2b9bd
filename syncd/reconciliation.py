"""Reconcile: every confirmed order of a range is accounted for, each counted once.

The views and the ledger are compared page by page, each page in a short statement of
its own; what the ledger lacks is captured. Progress is persisted with each page, so
that an account survives whoever made it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import cast

from syncd.core.account import Account, account_of, limits, sentence
from syncd.core.coverage import Span, common, gaps, merged
from syncd.database import around, named
from syncd.deadline import Row
from syncd.ledger import Ledger
from syncd.source import Found, Source

PAGE_ORDERS = 20_000
UNTOUCHED = timedelta(minutes=2)
"""How long nobody touches an account before another instance goes on with it."""


@dataclass(frozen=True, slots=True)
class Depth:
    """How far back an account looks (None: all that syncd answers for), how often."""

    name: str
    span: timedelta | None
    period: timedelta


HOURS, _, ALL, PROMOTION = DEPTHS = (
    Depth("hours", timedelta(hours=2), timedelta(minutes=5)),
    Depth("days", timedelta(days=7), timedelta(hours=1)),
    Depth("all", None, timedelta(days=7)),
    Depth("promotion", timedelta(days=1), timedelta(minutes=10)),
)
ASKED = Depth("asked", None, timedelta(0))


@dataclass(frozen=True, slots=True)
class Run:
    """An account in the making.

    Attributes:
        more: Says what its range leaves out.
        spans: What was covered when it was taken up.
    """

    number: int
    depth: str
    lower: datetime
    upper: datetime
    reached: datetime
    more: str
    spans: Sequence[Span]


@dataclass(frozen=True, slots=True)
class Page:
    """The account of a part of a run, up to `upper`; names the first missing order."""

    upper: datetime
    account: Account
    missing_key: str | None


@dataclass(frozen=True, slots=True)
class Finished:
    """A whole account with its sentence."""

    account: Account
    sentence: str
    seconds: float


class Reconciliation:
    """Makes accounts of a feed's confirmed orders.

    Args:
        source: The views.
        ledger: The feed's ledger.
        size: Orders that a batch may hold.
        wait: Called before an order counts as missing: waits for as long as another
            capture needs to take what has just become visible. True: end instead.
        page: Orders that are compared at a time.
    """

    def __init__(
        self,
        source: Source,
        ledger: Ledger,
        *,
        size: int,
        wait: Callable[[], bool] = lambda: False,
        page: int = PAGE_ORDERS,
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._size = size
        self._wait = wait
        self._page_orders = page

    # Which range

    def depths_due(self) -> list[Depth]:
        """List the depths of which an account may be due now, the shallow first."""
        rows = self._ledger.database.all(
            named("reconciliations_due"),
            feed=self._ledger.feed_id,
            depths=[depth.name for depth in DEPTHS],
            periods=[depth.period for depth in DEPTHS],
            patience=UNTOUCHED,
        )
        names = {name for (name,) in rows}
        return [depth for depth in DEPTHS if depth.name in names]

    def due(self, depth: Depth) -> Run | None:
        """Take the account of a depth that is due now; None when there is none.

        Due is what the ledger says, whenever this process began: the last one was
        started a period ago, or its maker has left it.
        """
        database, ours = self._ledger.database, {"feed": self._ledger.feed_id}
        rows = database.all(
            named("take_reconciliation"),
            depth=depth.name,
            period=depth.period,
            patience=UNTOUCHED,
            **ours,
        )
        spans = self.covered()
        if rows:
            return self._run(rows[0], None, spans)
        asked = self._range(depth, spans)
        return self._start(depth, asked, spans) if asked else None

    def ask(self, lower: datetime | None, upper: datetime | None) -> Run | None:
        """Start the account of a range; None: nothing of it is covered.

        Args:
            lower: Excluded; None: from where syncd answers for every order.
            upper: Included; None: up to the watermark.
        """
        spans = self.covered()
        if not spans:
            return None
        lower, upper = lower or spans[0].lower, upper or spans[-1].upper
        return self._start(ASKED, Span(lower, upper), spans) if lower < upper else None

    def covered(self) -> list[Span]:
        """List the ranges that syncd answers for: in order, apart, maybe empty.

        They end at the watermark's whole second.
        """
        rows = self._ledger.database.all(named("covered"), feed=self._ledger.feed_id)
        bounds = cast("list[tuple[datetime, datetime]]", rows)
        spans = merged(Span(lower, upper) for lower, upper in bounds if lower < upper)
        if not spans:
            return []
        end = spans[-1].upper.replace(microsecond=0)
        return common(spans, Span(spans[0].lower, end)) if end > spans[0].lower else []

    def _range(self, depth: Depth, spans: Sequence[Span]) -> Span | None:
        if not spans:
            return None
        lower, upper = spans[0].lower, spans[-1].upper
        if depth.span is not None:
            # The watermark may be ahead of a clock that was set back.
            lower = max(lower, min(self._source.clock(), upper) - depth.span)
        return Span(lower, upper) if lower < upper else None

    def _start(self, depth: Depth, asked: Span, covered: Sequence[Span]) -> Run | None:
        spans = common(covered, asked)
        if not spans:
            return None
        rows = self._ledger.locked(
            named("start_reconciliation"),
            feed=self._ledger.feed_id,
            depth=depth.name,
            period=depth.period,
            lower=spans[0].lower,
            upper=spans[-1].upper,
        )
        return self._run(rows[0], asked, covered) if rows else None

    def _run(self, row: Row, asked: Span | None, spans: Sequence[Span]) -> Run:
        number, depth, lower, upper, reached = cast(
            "tuple[int, str, datetime, datetime, datetime]", row
        )
        asked = asked or Span(lower, upper)
        end = max(upper, min(asked.upper, spans[-1].upper))
        unasked = gaps(spans, Span(asked.lower, end))
        later = end if asked.upper > end else None
        more = limits(unasked, later)
        return Run(number, depth, lower, upper, reached, more, spans)

    # Page by page

    def pages(self, run: Run) -> Iterator[Page]:
        """Account for a run's orders page by page, and capture those that are missing.

        Ends early when another instance has taken the run over, or when told to end.
        """
        reached = run.reached
        for span in common(run.spans, Span(run.lower, run.upper)):
            lower = max(span.lower, reached)
            while lower < span.upper:
                upper = self._source.page_end(lower, span.upper, self._page_orders)
                made = self._page(run, reached, Span(lower, upper))
                if made is None:
                    return
                page, is_ours = made
                yield page
                if not is_ours:
                    return
                reached = lower = upper

    def _page(
        self, run: Run, reached: datetime, span: Span
    ) -> tuple[Page, bool] | None:
        found = self._source.between(span.lower, span.upper)
        page = self._count(run, span, found)
        if page.account.missing or page.account.withdrawn:
            return None if self._wait() else self._capture(run, reached, span)
        page = self._with_withdrawn(span, page)
        return page, self._advance(run, reached, page)

    def _capture(self, run: Run, reached: datetime, span: Span) -> tuple[Page, bool]:
        """Take what is missing still; the withdrawn that are confirmed again as well.

        Under the lock of admissions: what another capture took meanwhile is no alarm.
        """
        with self._ledger.admission():
            found = self._source.between(span.lower, span.upper, to_admit=True)
            before = self._count(run, span, found)
            self._ledger.admit(found, "reconcile", size=self._size)
            after = self._count(run, span, found).account
            missing = before.account.missing
            captured = missing - after.missing
            account = replace(
                after,
                pending=after.pending - captured,
                missing=missing,
                captured=captured,
            )
            page = replace(before, account=account)
            page = self._with_withdrawn(span, page)
            return page, self._advance(run, reached, page)

    def _count(self, run: Run, span: Span, found: Found) -> Page:
        rows = self._ledger.database.all(
            around("account", found=found.query),
            feed=self._ledger.feed_id,
            **found.params,
        )
        standings: dict[str, int] = {}
        moved: dict[str, tuple[str, datetime]] = {}
        first = None
        for standing, orders, key, keys, times in cast("list[_Counted]", rows):
            standings[standing] = orders
            pairs = zip(keys, times, strict=True)
            moved |= {other: (standing, time) for other, time in pairs}
            first = key if standing == "missing" else first
        for key in self._at_home(run, span, {k: t for k, (_, t) in moved.items()}):
            standings[moved[key][0]] += 1
        return Page(span.upper, account_of(standings), first)

    def _at_home(
        self, run: Run, span: Span, moved: dict[str, datetime]
    ) -> Iterator[str]:
        """Name those of the orders that are to be counted in this page.

        The view may list an order in several pages. It counts where the ledger has
        it, or, when it is not listed there (any more), where it is listed first.
        """
        if not moved:
            return
        covered = common(run.spans, Span(run.lower, run.upper))
        listed: dict[str, list[datetime]] = {}
        for key, time in self._source.listings([*moved], run.lower, run.upper):
            if any(part.lower < time <= part.upper for part in covered):
                listed.setdefault(key, []).append(time)
        for key, times in listed.items():
            home = moved[key] if moved[key] in times else min(times)
            if span.lower < home <= span.upper:
                yield key

    def _with_withdrawn(self, span: Span, page: Page) -> Page:
        (withdrawn,) = self._ledger.database.one(
            named("count_withdrawn"),
            feed=self._ledger.feed_id,
            lower=span.lower,
            upper=span.upper,
        )
        account = replace(page.account, withdrawn=cast("int", withdrawn))
        return replace(page, account=account)

    # What is kept

    def _advance(self, run: Run, reached: datetime, page: Page) -> bool:
        changed = self._ledger.database.run(
            named("advance_reconciliation"),
            reconciliation=run.number,
            reached=reached,
            upper=page.upper,
            confirmed=page.account.confirmed,
            **asdict(page.account),
        )
        return changed > 0

    def finish(self, run: Run) -> Finished | None:
        """End an account; None when it is not whole, or another instance ended it."""
        database = self._ledger.database
        *counts, seconds = database.one(
            named("reconciliation"), reconciliation=run.number
        )
        account = Account(*cast("list[int]", counts))
        text = sentence(run.lower, run.upper, account, run.more)
        ended = database.run(
            named("finish_reconciliation"), reconciliation=run.number, sentence=text
        )
        if run.depth != HOURS.name:
            database.run(named("prune_reconciliations"), feed=self._ledger.feed_id)
        return Finished(account, text, cast("float", seconds)) if ended else None


_Counted = tuple[str, int, str, Sequence[str], Sequence[datetime]]
