"""Every backfill that was asked for, and how it is controlled.

A row of the ledger is the only control: changing it, from any shell, changes
what every daemon does. A page is captured in the transaction that notes it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from syncd.backfill.active import (
    ActiveBackfill,
    Cancelled,
    LoggedState,
    Progress,
    TakenAgain,
)
from syncd.backfill.plan import Plan, Purpose
from syncd.core.command_errors import BackfillStateError
from syncd.core.intervals import Interval
from syncd.ledger.batches import Ledger
from syncd.postgres.statements import Statement, compose, query
from syncd.source.orders import OrderPage, OrderQuery
from syncd.source.position import Position


class BackfillStore:
    """The backfills of one feed."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._database = ledger.database
        self._ours = {"feed": ledger.feed_id}

    # Ask

    def open(self, plan: Plan) -> int:
        """Ask for what was planned; a daemon does the rest. Gives its number.

        Raises:
            BackfillStateError: It overlaps one that is not finished.
        """
        span, request = plan.request.span, plan.request
        with self._locked():
            number = self.insert(
                (span.lower, span.upper),
                request.purpose,
                request.reason,
                planned=plan.orders,
                with_profile=request.with_profile,
            )
        if number is None:
            self.refuse_overlap(span)
            raise BackfillStateError(
                "a part of that range was in another backfill", "Ask for it again."
            )
        return number

    def refuse_overlap(self, span: Interval) -> None:
        """Report early what `open` would refuse.

        Raises:
            BackfillStateError: A part of the range is in one that is not finished.
        """
        for one in self.all():
            if one.is_unfinished and one.lower < span.upper and span.lower < one.upper:
                raise BackfillStateError(
                    f"a part of that range is in backfill {one.backfill}, which is not "
                    "finished",
                    f"Wait for it: syncd backfill watch {one.backfill}; or cancel it.",
                )

    def insert(
        self,
        bounds: tuple[datetime, datetime],
        purpose: Purpose,
        reason: str | None,
        *,
        planned: int,
        with_profile: bool,
    ) -> int | None:
        """Write a new row, within `admission`; None when it overlaps another."""
        return self._database.find_value(
            int,
            query("open_backfill"),
            lower=bounds[0],
            upper=bounds[1],
            purpose=purpose,
            reason=reason,
            planned=planned,
            with_profile=with_profile,
            **self._ours,
        )

    # Drive

    def active(self, lag: timedelta, period: timedelta) -> list[ActiveBackfill]:
        """List what has to be run or logged, oldest first.

        Args:
            lag: How long a live order may wait before past ones are not captured.
            period: How often progress is logged.
        """
        return self._database.rows(
            ActiveBackfill,
            query("active_backfills"),
            lag=lag,
            period=period,
            **self._ours,
        )

    def capture(self, active: ActiveBackfill, page: OrderPage, size: int) -> int | None:
        """Capture a page and note it, in one transaction.

        Returns:
            Its orders; None when it was taken, paused or cancelled meanwhile.
        """
        number = {"backfill": active.backfill}
        with self._ledger.admission(durable=False):
            lock = query("lock_backfill")
            reached = {"reached": active.reached, "key": active.reached_key}
            if not self._database.run(lock, **reached, **number):
                return None
            adopts = active.purpose == "adopt"
            new = self._ledger.admit(
                page.found,
                "backfill",
                size=size,
                adopts=adopts,
                backfill=active.backfill,
            ).orders
            known = resent = 0
            if not adopts and new < page.orders:
                known, resent = self.take_again(active, page.found, size)
            self.advance(active, page.end, new + known, resent)
        return new + known

    def take_again(
        self, active: ActiveBackfill, found: OrderQuery, size: int
    ) -> TakenAgain:
        """Make orders pending again that the ledger has already; within `admission`.

        Returns:
            How many, and how many of them had been delivered.
        """
        return self._database.row(
            TakenAgain,
            compose("take_again", found=found.query),
            backfill=active.backfill,
            is_resend=active.purpose == "resend",
            reason=active.reason,
            size=size,
            **self._ours,
            **found.params,
        )

    def advance(
        self, active: ActiveBackfill, end: Position, orders: int, resent: int
    ) -> None:
        """Note what was captured; within the transaction that captured it."""
        self._database.run(
            query("advance_backfill"),
            backfill=active.backfill,
            reached=end.passed,
            key=end.key,
            orders=orders,
            resent=resent,
        )

    def finish(self, number: int) -> bool:
        """End a backfill if nothing of it is left to do; True when that was now."""
        return self._database.run(query("finish_backfill"), backfill=number) > 0

    def claim_log_line(self, number: int, period: timedelta) -> LoggedState | None:
        """Record that a state is logged; None when another daemon was first."""
        return self._database.find(
            LoggedState, query("claim_backfill_log"), backfill=number, period=period
        )

    # Read

    def all(self) -> list[Progress]:
        """List all of them with their progress, oldest first."""
        return self._progress(None)

    def get(self, number: int) -> Progress:
        """Read the progress of one.

        Raises:
            BackfillStateError: The feed has no such backfill.
        """
        for progress in self._progress(number):
            return progress
        raise BackfillStateError(
            f"the feed has no backfill {number}",
            "`syncd backfill list` lists those of the configured feed.",
        )

    def _progress(self, number: int | None) -> list[Progress]:
        return self._database.rows(
            Progress, query("backfill_progress"), backfill=number, **self._ours
        )

    def unfinished(self) -> Progress:
        """Find the unfinished one, when none is named.

        Raises:
            BackfillStateError: There is none, or more than one.
        """
        found = [one for one in self.all() if one.is_unfinished]
        if len(found) == 1:
            return found[0]
        if not found:
            raise BackfillStateError(
                "no backfill is under way",
                "`syncd backfill list` lists the finished ones.",
            )
        numbers = ", ".join(str(one.backfill) for one in found)
        raise BackfillStateError(
            f"the backfills {numbers} are under way", "Name the one that you mean."
        )

    # Steer

    def pause(self, number: int) -> None:
        """Send nothing of it until it is resumed.

        Raises:
            BackfillStateError: It is not running, or unknown.
        """
        self._change(query("pause_backfill"), number, "paused")

    def resume(self, number: int) -> None:
        """Resume a paused one.

        Raises:
            BackfillStateError: It is not paused, or unknown.
        """
        self._change(query("resume_backfill"), number, "resumed")

    def cancel(self, number: int) -> Cancelled:
        """End it; what was never in a request is given back.

        Raises:
            BackfillStateError: It has ended, or is unknown.
        """
        with self._locked():
            self._change(query("cancel_backfill"), number, "cancelled")
            return self._database.row(
                Cancelled, compose("release_backfill"), backfill=number, **self._ours
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep pages from being taken meanwhile; also while capture is paused."""
        with self._database.transaction():
            self._database.run(query("lock_watermark"), durable=True, **self._ours)
            yield

    def _change(self, statement: Statement, number: int, done: str) -> None:
        if not self._database.run(statement, backfill=number, **self._ours):
            raise BackfillStateError(
                f"backfill {number} cannot be {done}: it is {self.get(number).state}",
                "`syncd backfill list` shows where each stands.",
            )
