"""The durable record: one row per order, and every transition of a batch.

Each transition is one statement, fenced by the claim's random token: what was settled
or taken over meanwhile, or lost and claimed again, is not touched (ADR-0023).
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from syncd.core.settlement import RECENT_ORDERS
from syncd.ledger.claim import Claim, Claiming, Delivered, ExcludedOrder, Receipt
from syncd.postgres.statements import Statement, query


class Ledger(Claiming):
    """Every state of every order of one started feed."""

    def _change(self, statement: Statement, claim: Claim, **params: object) -> bool:
        """Run a statement that the claim fences; False when it is no longer ours."""
        return self.database.run(statement, **_fence(claim), **params) > 0

    def renew(self, claim: Claim, lease: timedelta) -> bool:
        """Renew the lease; False when the claim is no longer ours."""
        return self._change(query("renew"), claim, lease=lease)

    def exclude_orders(self, claim: Claim, exclusions: Sequence[ExcludedOrder]) -> bool:
        """Set orders of a claimed batch aside; False when it is no longer ours."""
        return self._change(
            query("exclude_orders"),
            claim,
            feed=self.feed_id,
            keys=[e.key for e in exclusions],
            states=[e.state for e in exclusions],
            reasons=[e.reason for e in exclusions],
            orderids=[e.orderid for e in exclusions],
            by=[e.rejected_by if e.state == "rejected" else None for e in exclusions],
        )

    def postpone(self, claim: Claim, keys: Sequence[str], wait: timedelta) -> bool:
        """Move orders that are not ready into a batch of their own, due later.

        False when the batch is no longer ours: nothing was moved.
        """
        return self._move(claim, keys, wait=wait, waits=True)

    def move_unread(
        self, claim: Claim, keys: Sequence[str], reason: str, wait: timedelta
    ) -> bool:
        """Move orders that could not be read into a batch that waits for the view.

        False when the batch is no longer ours: nothing was moved.
        """
        return self._change(
            query("move_unread"), claim, keys=list(keys), reason=reason, wait=wait
        )

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
        return self._change(
            query("move_orders"),
            claim,
            keys=list(keys),
            wait=wait,
            waits=waits,
            refused=refusals is not None,
            refusals=refusals or 0,
            uncertain=int(uncertain),
        )

    def close_empty(self, claim: Claim, receipt: Receipt) -> bool:
        """End a claimed batch whose orders were all set aside or moved.

        False when it is no longer ours, or has orders.
        """
        return self._change(query("close_empty"), claim, **_receipt(receipt))

    def deliver(self, claim: Claim, keys: Sequence[str], receipt: Receipt) -> Delivered:
        """Settle an accepted attempt; `keys` are the orders that were sent.

        A late success counts even when the claim was taken over meanwhile, but never
        for an order that it did not send, nor when the ledger has lost the claim.
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

    def mark_uncertain(self, claim: Claim, keys: Sequence[str], *, holds: bool) -> int:
        """Count the orders of a claim that the ledger has lost as uncertain.

        Args:
            claim: Lost by a crash or a promotion of the ledger's server.
            keys: The orders that may have been sent.
            holds: They wait for a person.

        Returns:
            How many; 0 for a known claim: the instance that took it over has counted
            it.
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
        return self._change(
            query("requeue"),
            claim,
            wait=wait,
            refused=refusals is not None,
            refusals=refusals,
            held=held,
            uncertain=int(uncertain),
            **_receipt(receipt),
        )


def _fence(claim: Claim) -> dict[str, object]:
    return {"batch": claim.batch_id, "attempt": claim.attempt, "token": claim.token}


def _receipt(receipt: Receipt) -> dict[str, object]:
    return {
        "outcome": receipt.outcome,
        "status": receipt.status,
        "reason": receipt.reason,
        "sent": receipt.sent,
        "sha256": receipt.sha256,
        "orderids": list(receipt.orderids),
        "shape": receipt.shape,
    }
