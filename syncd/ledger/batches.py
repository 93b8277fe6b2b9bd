"""The durable record: one row per order, and every transition of a batch.

Each transition is one statement, fenced by the claim's random token: what was settled
or taken over meanwhile, or lost and claimed again, is not touched (ADR-0023).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from syncd.core.errors import VIEW_FAULTS, SyncdError
from syncd.core.settlement import RECENT_ORDERS
from syncd.ledger.admission import Admission
from syncd.ledger.claim import (
    Claim,
    ClaimedBatch,
    Delivered,
    ExcludedOrder,
    Lane,
    NextDue,
    Order,
    Receipt,
)
from syncd.ledger.pauses import refuse_paused
from syncd.postgres.statements import Statement, compose, query


class Ledger(Admission):
    """Every state of every order of one started feed."""

    def claim(
        self,
        instance: int,
        lane: Lane,
        lease: timedelta,
        reading: Statement | None = None,
        *,
        rereads: bool = False,
    ) -> Claim | None:
        """Take the oldest due batch of a lane; None when there is none.

        None also when the ledger's server was promoted and nobody has noted it, as may
        be behind a pooler: what is pending may have been sent.

        Args:
            instance: Whose it becomes.
            lane: Which.
            lease: For how long.
            reading: Reads the rows of its orders with it. Where that fails the batch is
                claimed without them: reading them by key tells what is wrong.
            rereads: One of those that could not be read.

        Raises:
            PausedError: Nothing is sent for now, by nobody.
        """
        params = {"feed": self.feed_id, "lane": lane, "instance": instance}
        found, fault = self._claimed(reading, lease=lease, rereads=rereads, **params)
        claimed, rows = found
        if claimed.was_promoted:
            self.database.close()  # whoever opens it notes the promotion first
            return None
        refuse_paused("sending", claimed.paused_at, claimed.paused_reason)
        if claimed.batch_id is None:
            return None
        claim = claimed.claim(claimed.batch_id)
        claim = replace(claim, rows=rows or None, read_fault=fault)
        self.database.age_plans(len(claim.orders))
        if len(claim.orders) != claimed.orders:
            orders = self.database.rows(
                Order, query("claimed_orders"), batch=claim.batch_id
            )
            return replace(claim, orders=orders, rows=None)
        return claim

    def _claimed(
        self, reading: Statement | None, **params: object
    ) -> tuple[tuple[ClaimedBatch, Mapping[str, str] | None], SyncdError | None]:
        """Claim a batch with its rows, or without them: why they cannot be read."""
        fault, database = None, self.database
        if reading is not None:
            try:
                statement = compose("claim", rows=reading)
                return database.row_and_pairs(ClaimedBatch, statement, **params), None
            except VIEW_FAULTS as error:
                fault = error
        claimed, _ = database.row_and_pairs(ClaimedBatch, compose("claim"), **params)
        return (claimed, None), fault

    def next_due(self, *, rereads: bool = False) -> NextDue:
        """Return the seconds until a batch is due, and whether a backfill is active."""
        due = self.database.row(
            NextDue, query("next_due"), feed=self.feed_id, rereads=rereads
        )
        if due.seconds is None:
            return due
        # below 0 by the moment between the statement's two looks at the clock
        return replace(due, seconds=max(0.0, due.seconds))

    def renew(self, claim: Claim, lease: timedelta) -> bool:
        """Begin the lease anew; False when the claim is no longer ours."""
        renewed = self.database.run(
            query("renew"), batch=claim.batch_id, token=claim.token, lease=lease
        )
        return renewed > 0

    def exclude_orders(self, claim: Claim, exemptions: Sequence[ExcludedOrder]) -> bool:
        """Set orders of a claimed batch aside; False when it is no longer ours."""
        fenced = self.database.run(
            query("exclude_orders"),
            feed=self.feed_id,
            batch=claim.batch_id,
            token=claim.token,
            keys=[e.key for e in exemptions],
            states=[e.state for e in exemptions],
            reasons=[e.reason for e in exemptions],
            orderids=[e.orderid for e in exemptions],
            by=[e.rejected_by if e.state == "rejected" else None for e in exemptions],
        )
        return fenced > 0

    def postpone(self, claim: Claim, keys: Sequence[str], wait: timedelta) -> bool:
        """Move orders that are not ready into a batch of their own, due later.

        Returns:
            False when the batch is no longer ours: nothing was moved.
        """
        return self._move(claim, keys, wait=wait, waits=True)

    def move_unread(
        self, claim: Claim, keys: Sequence[str], reason: str, wait: timedelta
    ) -> bool:
        """Move orders that could not be read into a batch that waits for the view.

        Returns:
            False when the batch is no longer ours: nothing was moved.
        """
        moved = self.database.run(
            query("move_unread"),
            **_fence(claim),
            keys=list(keys),
            reason=reason,
            wait=wait,
        )
        return moved > 0

    def try_unread(self, reason: str) -> None:
        """Allow orders to be read again that could not be for a reason that is over."""
        self.database.run(query("try_unread"), feed=self.feed_id, reason=reason)

    def split(
        self,
        claim: Claim,
        pieces: Iterable[Sequence[str]],
        receipt: Receipt,
        *,
        refusals: int | None = None,
        uncertain: bool = False,
    ) -> bool:
        """Replace a claimed batch by smaller ones; False when it is no longer ours.

        Args:
            claim: The batch; ends `emptied`.
            pieces: Keys of the new batches, in order; together all of the batch's.
            receipt: Of the attempt that led to this.
            refusals: Evidence against each when the API refused them together.
            uncertain: Whether some may have been taken all the same.
        """
        with self.database.transaction():
            for keys in pieces:
                self._move(claim, keys, refusals=refusals, uncertain=uncertain)
            return self.close_empty(claim, receipt)

    def _move(
        self,
        claim: Claim,
        keys: Sequence[str],
        *,
        wait: timedelta | None = None,
        waits: bool = False,
        refusals: int | None = None,
        uncertain: bool = False,
    ) -> bool:
        fenced = self.database.run(
            query("move_orders"),
            batch=claim.batch_id,
            token=claim.token,
            keys=list(keys),
            wait=wait,
            waits=waits,
            refused=refusals is not None,
            refusals=refusals or 0,
            uncertain=int(uncertain),
        )
        return fenced > 0

    def close_empty(self, claim: Claim, receipt: Receipt) -> bool:
        """End a claimed batch whose orders were all set aside or moved.

        Returns:
            False when it is no longer ours, or has orders.
        """
        ended = self.database.run(
            query("close_empty"),
            outcome=receipt.outcome,
            reason=receipt.reason,
            **_fence(claim),
            **_receipt(receipt),
        )
        return ended > 0

    def deliver(self, claim: Claim, keys: Sequence[str], receipt: Receipt) -> Delivered:
        """Settle an accepted attempt.

        A late success counts even when the claim was taken over meanwhile, but never
        for an order that it did not send, nor when the ledger has lost the claim.

        Args:
            claim: The batch.
            keys: The orders that were sent.
            receipt: What the API said.
        """
        return self.database.row(
            Delivered,
            query("deliver"),
            feed=self.feed_id,
            keys=list(keys),
            recent=RECENT_ORDERS,
            **_fence(claim),
            **_receipt(receipt),
        )

    def doubt(self, claim: Claim, keys: Sequence[str], *, holds: bool) -> int:
        """Count the orders of a claim that the ledger has lost as uncertain.

        Args:
            claim: Lost by a crash or a promotion of the ledger's server.
            keys: The orders that may have been sent.
            holds: They wait for a person.

        Returns:
            How many; 0 for a claim that is known: who took it over has counted it.
        """
        return self.database.value(
            int,
            query("doubt_orders"),
            feed=self.feed_id,
            keys=list(keys),
            holds=holds,
            **_fence(claim),
        )

    def requeue(
        self,
        claim: Claim,
        receipt: Receipt,
        *,
        wait: timedelta | None = None,
        refusals: int | None = None,
        uncertain: bool = False,
        held: bool = False,
    ) -> bool:
        """Make a claimed batch pending again; False when it is no longer ours.

        Args:
            claim: The batch.
            receipt: Of the attempt that led to this; `unread` with its reason: the
                orders wait for the view.
            wait: How long the batch is not due; None: not at all.
            refusals: Evidence against it when the API refused it.
            uncertain: Whether some of it may have been taken all the same.
            held: Keep it for a person instead.
        """
        freed = self.database.run(
            query("requeue"),
            wait=wait,
            refused=refusals is not None,
            refusals=refusals,
            held=held,
            uncertain=int(uncertain),
            outcome=receipt.outcome,
            reason=receipt.reason,
            shape=receipt.shape,
            **_fence(claim),
            **_receipt(receipt),
        )
        return freed > 0


def _fence(claim: Claim) -> dict[str, object]:
    return {"batch": claim.batch_id, "attempt": claim.attempt, "token": claim.token}


def _receipt(receipt: Receipt) -> dict[str, object]:
    return {
        "status": receipt.status,
        "sent": receipt.sent,
        "sha256": receipt.sha256,
        "orderids": list(receipt.orderids),
    }
