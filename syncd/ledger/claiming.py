"""How a batch is claimed: the oldest due one, perhaps with what was just admitted."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from syncd.core.errors import VIEW_FAULTS, SyncdError
from syncd.core.several_rows import merged
from syncd.ledger.admission import Admission, Admitted
from syncd.ledger.claim import Claim, ClaimedBatch, Lane, NextDue, Order
from syncd.ledger.pauses import refuse_paused
from syncd.postgres.database import Step, row_and_pairs_of
from syncd.postgres.statements import Statement, compose, query
from syncd.source.orders import OrderQuery

_Found = tuple[ClaimedBatch, Sequence[tuple[str, str]] | None]


@dataclass(frozen=True, slots=True)
class Touched:
    """Touched orders that are admitted by the transaction that claims.

    Attributes:
        found: Takes them out of the outbox, and finds them.
        size: Orders that a batch may hold.
        report: Called with what was admitted, before anything else comes of the claim.
    """

    found: OrderQuery
    size: int
    report: Callable[[Admitted], None]


class Claiming(Admission):
    """Claims batches of one started feed."""

    def claim(
        self,
        instance: int,
        lane: Lane,
        lease: timedelta,
        reading: Statement | None = None,
        *,
        rereads: bool = False,
        touched: Touched | None = None,
    ) -> Claim | None:
        """Take the oldest due batch of a lane; None when there is none.

        None also when the ledger's server was promoted unnoticed, as may
        be behind a pooler: what is pending may have been sent.

        Args:
            instance: Whose it becomes.
            lane: Which.
            lease: For how long.
            reading: Reads its orders' rows with it. Where that fails the batch is
                claimed without them: reading them by key finds the cause.
            rereads: One of those that could not be read.
            touched: Admitted first; where a view fails they stay for the capture.

        Raises:
            PausedError: Sending is paused.
        """
        params = {"lane": lane, "instance": instance, "lease": lease}
        (claimed, rows), fault = self._claimed(
            reading, touched, rereads=rereads, **params
        )
        if (batch_id := self._batch_of(claimed)) is None:
            return None
        claim = claimed.claim(batch_id)
        self.database.age_plans(len(claim.orders))
        if len(claim.orders) == claimed.orders:
            return replace(claim, rows=merged(rows or ()) or None, read_fault=fault)
        return replace(claim, orders=self._orders_of(claim), read_fault=fault)

    def _batch_of(self, claimed: ClaimedBatch) -> int | None:
        if claimed.was_promoted:
            self.database.close()  # opening it records the promotion first
            return None
        refuse_paused("sending", claimed.paused_at, claimed.paused_reason)
        return claimed.batch_id

    def _orders_of(self, claim: Claim) -> Sequence[Order]:
        """Read them again: some came between the claim's snapshot and its lock."""
        return self.database.rows(Order, query("claimed_orders"), batch=claim.batch_id)

    def _claimed(
        self, reading: Statement | None, touched: Touched | None, **params: object
    ) -> tuple[_Found, SyncdError | None]:
        """Claim a batch with its rows, or without them: why they cannot be read."""
        fault, database = None, self.database
        params["feed"] = self.feed_id
        if reading is not None:
            statement = compose("claim", rows=reading)
            if touched is not None:
                with suppress(*VIEW_FAULTS):
                    return self._admitted_and_claimed(touched, statement, params), None
            try:
                return database.row_and_pairs(ClaimedBatch, statement, **params), None
            except VIEW_FAULTS as error:
                fault = error
        claimed, _ = database.row_and_pairs(ClaimedBatch, compose("claim"), **params)
        return (claimed, None), fault

    def _admitted_and_claimed(
        self, touched: Touched, statement: Statement, params: Mapping[str, object]
    ) -> _Found:
        step = Step(row_and_pairs_of(ClaimedBatch), statement, params)
        admitted, found = self.admit_touched_with(touched.found, touched.size, step)
        touched.report(admitted)
        return found

    def next_due(self, *, rereads: bool = False) -> NextDue:
        """Return the seconds until a batch is due, and whether a backfill is active."""
        due = self.database.row(
            NextDue, query("next_due"), feed=self.feed_id, rereads=rereads
        )
        if due.seconds is None:
            return due
        # below 0 by the time between the statement's two readings of the clock
        return replace(due, seconds=max(0.0, due.seconds))
