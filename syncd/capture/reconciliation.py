"""Reconcile: every confirmed order of a range is accounted for, each counted once.

The views and the ledger are compared page by page, each page in a short statement of
its own; what the ledger lacks is captured. Progress is persisted with each page, so
that a run survives the process that began it.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from syncd.capture.reconciliation_run import (
    ASKED,
    HOURS,
    SCOPES,
    KeptTally,
    OrderCount,
    Page,
    ReconciliationResult,
    ReconciliationRun,
    Scope,
)
from syncd.capture.unreadable import Reading, read_whole
from syncd.core.errors import SlowStatementError
from syncd.core.tally import sentence
from syncd.ledger.batches import Ledger
from syncd.postgres.statements import query
from syncd.source.orders import Source
from syncd.source.position import INSTANT, Position, Stretch

PAGE_ORDERS = 20_000
UNTOUCHED = timedelta(minutes=2)
"""How long a run is without progress before another instance resumes it."""


class Reconciliation:
    """Makes accounts of a feed's confirmed orders.

    Args:
        size: Orders that a batch may hold.
        wait: Called before an order counts as missing: waits for as long as another
            capture needs to take what has just become visible. True: end instead.
        page: Orders that are compared at a time, at most; fewer where that takes longer
            than a statement may.
    """

    def __init__(
        self,
        source: Source,
        ledger: Ledger,
        *,
        size: int,
        wait: Callable[[], bool] = lambda: False,
        page: int = PAGE_ORDERS,
        reading: Reading = read_whole,
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._size = size
        self._wait = wait
        self._page_orders = self._most = page
        self._reading = reading
        self._orders = OrderCount(source, ledger)

    # Which range

    def scopes_due(self) -> list[Scope]:
        """List the scopes of which an account may be due now, the shallow first."""
        names = self._ledger.database.values(
            str,
            query("reconciliations_due"),
            feed=self._ledger.feed_id,
            scopes=[scope.name for scope in SCOPES],
            periods=[scope.period for scope in SCOPES],
            patience=UNTOUCHED,
        )
        return [scope for scope in SCOPES if scope.name in names]

    def due(self, scope: Scope) -> ReconciliationRun | None:
        """Take the account of a scope that is due now; None when there is none.

        The ledger decides what is due, whenever this process began: the last one was
        started a period ago, or its maker has left it.
        """
        database, ours = self._ledger.database, {"feed": self._ledger.feed_id}
        taken = database.find(
            ReconciliationRun,
            query("take_reconciliation"),
            scope=scope.name,
            period=scope.period,
            patience=UNTOUCHED,
            **ours,
        )
        if taken:
            return taken
        oldest, newest, now = self._bounds()
        lower = oldest
        if scope.span is not None:
            # The watermark may be ahead of a clock that was set back.
            lower = max(oldest, min(now, self._ledger.watermark()) - scope.span)
        return self._start(scope, lower, newest)

    def ask(self, lower: datetime | None, upper: datetime | None) -> ReconciliationRun:
        """Start the account of a range.

        Args:
            lower: Excluded; None: from the oldest order on.
            upper: Included; None: up to now, and to the newest order.
        """
        oldest, newest, _ = self._bounds()
        if lower is None:
            lower = min(oldest, (upper or newest) - INSTANT)
        upper = upper or max(newest, lower + INSTANT)
        run = self._start(ASKED, lower, upper)
        assert run is not None  # noqa: S101  # what is asked for is always due
        return run

    def _bounds(self) -> tuple[datetime, datetime, datetime]:
        """Return a time before the oldest order, one not before the newest, and now."""
        self._page_orders = min(2 * self._page_orders, self._most)
        oldest, newest, now = self._reading(self._source.bounds)
        newest = max(newest or now, now)
        return min(oldest or newest, newest) - INSTANT, newest, now

    def _start(
        self, scope: Scope, lower: datetime, upper: datetime
    ) -> ReconciliationRun | None:
        rows = self._ledger.locked(
            ReconciliationRun,
            query("start_reconciliation"),
            feed=self._ledger.feed_id,
            scope=scope.name,
            period=scope.period,
            lower=lower,
            upper=upper,
        )
        return rows[0] if rows else None

    # Page by page

    def pages(self, run: ReconciliationRun) -> Iterator[Page]:
        """Account for a run's orders page by page, and capture those that are missing.

        Ends early when another instance has taken the run over, or at a stop.
        """
        reached = run.reached
        while reached != Position(run.upper):
            made = self._next_page(run, reached)
            if made is None:
                return
            page, is_ours = made
            yield page
            if not is_ours:
                return
            reached = page.end

    def _next_page(
        self, run: ReconciliationRun, reached: Position
    ) -> tuple[Page, bool] | None:
        """Make the page after a position; a smaller one where the view is too slow."""
        while True:
            try:
                return self._reading(lambda: self._page(run, reached))
            except SlowStatementError:
                if self._page_orders == 1:
                    raise
                self._page_orders //= 2

    def _page(
        self, run: ReconciliationRun, reached: Position
    ) -> tuple[Page, bool] | None:
        stretch = self._source.stretch(reached, run.upper, self._page_orders)
        page = self._orders.count(run, stretch, self._source.within(stretch))
        if page.account.missing or page.account.withdrawn:
            return None if self._wait() else self._capture(run, reached, stretch)
        return self._keep(run, reached, page)

    def _capture(
        self, run: ReconciliationRun, reached: Position, stretch: Stretch
    ) -> tuple[Page, bool]:
        """Take what is missing still; the withdrawn that are confirmed again as well.

        Under the lock of admissions: what another capture took meanwhile is no alarm.
        """
        with self._ledger.admission():
            found = self._source.within(stretch, to_admit=True)
            self._ledger.refuse_other_keys(found)
            before = self._orders.count(run, stretch, found)
            self._ledger.admit(found, "reconcile", size=self._size)
            after = self._orders.count(run, stretch, found).account
            missing = before.account.missing
            captured = missing - after.missing
            account = replace(
                after,
                pending=after.pending - captured,
                missing=missing,
                captured=captured,
            )
            return self._keep(run, reached, replace(before, account=account))

    # What is kept

    def _keep(
        self, run: ReconciliationRun, reached: Position, page: Page
    ) -> tuple[Page, bool]:
        """Add a page to the account; False: another instance took that over."""
        withdrawn = self._ledger.database.value(
            int,
            query("count_withdrawn"),
            feed=self._ledger.feed_id,
            lower=reached.passed,
            upper=page.end.passed,
        )
        account = replace(page.account, withdrawn=withdrawn)
        changed = self._ledger.database.run(
            query("advance_reconciliation"),
            reconciliation=run.number,
            reached=reached.passed,
            reached_key=reached.key,
            upper=page.end.passed,
            upper_key=page.end.key,
            unreadable=len(self._source.views.left_out),
            confirmed=account.confirmed,
            **asdict(account),
        )
        return replace(page, account=account), changed > 0

    def finish(self, run: ReconciliationRun) -> ReconciliationResult | None:
        """End an account; None when it is not whole, or another instance ended it."""
        database = self._ledger.database
        without_time = self._reading(lambda: self._orders.count_without_time(run))
        kept = database.row(
            KeptTally, query("reconciliation"), reconciliation=run.number
        )
        text = sentence(
            run.lower, run.upper, kept.tally, without_time or 0, kept.unreadable
        )
        ended = database.run(
            query("finish_reconciliation"),
            reconciliation=run.number,
            sentence=text,
            without_time=without_time,
        )
        if run.scope != HOURS.name:
            database.run(query("prune_reconciliations"), feed=self._ledger.feed_id)
        if not ended:
            return None
        return ReconciliationResult(
            kept.tally, text, kept.seconds, without_time or 0, kept.unreadable
        )
