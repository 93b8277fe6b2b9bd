"""Delivery of one batch: claim → read → render → send → settle.

At least once: a batch is claimed durably before its POST and settled after the
answer; what happens in between to a dying process is found as a claim past its
lease, counted as uncertain and sent again (ADR-0001).
"""

import hashlib
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from syncd.config import Settings
from syncd.core.answer import Answer, Outcome, Silence, Verdict, judge
from syncd.core.purchase import Purchase
from syncd.core.settling import Decision, Standing, Step, decide
from syncd.errors import UnreadableRowError
from syncd.ledger import Claim, Exemption, Lane, Ledger, Receipt
from syncd.log import Log
from syncd.rendering import Rendered, Rendering, rules_of
from syncd.source import Source
from syncd.squeezely import Squeezely, encode

LEASE_MARGIN = timedelta(seconds=15)
"""Added to the POST's timeout: reading, rendering and settling."""


class Delivery:
    """Sends batches of one feed; one thread, one connection to the API."""

    def __init__(
        self,
        settings: Settings,
        source: Source,
        ledger: Ledger,
        log: Log,
        *,
        instance: int,
    ) -> None:
        self._settings = settings.squeezely
        self._settle = settings.source.settle
        self._rendering = Rendering(source, rules_of(settings), self._settle)
        self._ledger = ledger
        self._log = log
        self._instance = instance
        self._api = Squeezely(settings)
        self._lease = self._settings.timeout + LEASE_MARGIN
        self._trouble = False
        self._unfinished: Callable[[], object] | None = None

    def close(self) -> None:
        """Close the connection to the API."""
        self._api.close()

    def deliver_next(self, lane: Lane) -> int | None:
        """Take the oldest due batch of a lane through to its settlement.

        Returns:
            Number of events that were sent; None when nothing was due.

        Raises:
            SyncdError: The database failed or a view is broken; the claim, if any,
                is put back or left to its lease.
        """
        self.finish()
        claim = self._ledger.claim(self._instance, lane, self._lease)
        if claim is None:
            return None
        self._unfinished = partial(self._ledger.put_back, claim, Receipt("unread"))
        sent = self._take_through(claim)
        self._unfinished = None
        return sent

    def finish(self) -> None:
        """Settle what a failing database kept from being settled."""
        if self._unfinished is not None:
            self._unfinished()
            self._unfinished = None

    def _take_through(self, claim: Claim) -> int:
        try:
            rendered = self._rendering.render(claim)
        except UnreadableRowError as error:
            self._isolate(claim, error)
            return 0
        if not self._set_aside(claim, rendered):
            return 0
        if not rendered.purchases:
            self._ledger.dissolve(claim, Receipt("nothing_to_send"))
            return 0
        if self._settings.body == "single" and len(rendered.purchases) > 1:
            self._split_into_singles(claim, rendered.purchases)
            return 0
        return self._send(claim, rendered.purchases)

    # Set aside

    def _isolate(self, claim: Claim, error: UnreadableRowError) -> None:
        """Treat a row that makes the view fail as an order that is refused.

        So it is found by halving, and blamed only while other orders go through.
        """
        reason = f"the purchases view fails (SQLSTATE {error.sqlstate})"
        keys = [order.key for order in claim.orders]
        receipt = Receipt("unread", reason=reason)
        self._react(claim, Verdict(Outcome.REFUSED, reason), receipt, keys)

    def _set_aside(self, claim: Claim, rendered: Rendered) -> bool:
        """Take out what is not to be sent; False when the claim is no longer ours.

        Then nothing may be sent: a late success would settle what was left out.
        """
        if rendered.exemptions and not self._except(claim, rendered.exemptions):
            return False
        if not rendered.waiting:
            return True
        wait = max(timedelta(seconds=1), min(self._settle / 6, timedelta(seconds=30)))
        keys = [key for key, _ in rendered.waiting]
        if not self._ledger.postpone(claim, keys, wait):
            return False
        key, reason = rendered.waiting[0]
        self._log.emit(
            "orders.waiting",
            batch=claim.batch_id,
            orders=len(rendered.waiting),
            order_key=key,
            reason=reason,
        )
        return True

    def _except(self, claim: Claim, exemptions: Sequence[Exemption]) -> bool:
        """Set orders aside for good and say so; False when the claim was lost."""
        if not self._ledger.except_orders(claim, exemptions):
            return False
        self._report_exemptions(claim, exemptions)
        return True

    def _report_exemptions(self, claim: Claim, exemptions: Sequence[Exemption]) -> None:
        rejected = [e for e in exemptions if e.state == "rejected"]
        withdrawn = [e for e in exemptions if e.state == "withdrawn"]
        if rejected:
            self._log.emit(
                "orders.rejected",
                batch=claim.batch_id,
                orders=len(rejected),
                order_key=rejected[0].key,
                reason=rejected[0].reason,
            )
        if withdrawn:
            self._log.emit(
                "orders.withdrawn",
                batch=claim.batch_id,
                orders=len(withdrawn),
                order_key=withdrawn[0].key,
            )

    def _split_into_singles(
        self, claim: Claim, purchases: Sequence[tuple[str, Purchase]]
    ) -> None:
        pieces = [[key] for key, _ in purchases]
        self._ledger.split(claim, pieces, Receipt("nothing_to_send"), refused=False)

    # Send and settle

    def _send(self, claim: Claim, purchases: Sequence[tuple[str, Purchase]]) -> int:
        body = encode([p.event for _, p in purchases], self._settings.body)
        started = time.monotonic()
        answer = self._api.post(body)
        duration_ms = round((time.monotonic() - started) * 1000)
        verdict = judge(answer, len(purchases), datetime.now(UTC))
        receipt = _receipt(answer, verdict, body, purchases)
        if verdict.outcome is Outcome.ACCEPTED:
            self._unfinished = partial(
                self._deliver, claim, receipt, duration_ms, len(body)
            )
        else:
            keys = [key for key, _ in purchases]
            self._unfinished = partial(self._react, claim, verdict, receipt, keys)
        self.finish()
        return len(purchases)

    def _deliver(
        self, claim: Claim, receipt: Receipt, duration_ms: int, size: int
    ) -> None:
        delivered = self._ledger.deliver(claim, receipt)
        oldest = min(order.confirmed_at for order in claim.orders)
        lag = (datetime.now(UTC) - oldest).total_seconds()
        self._log.emit(
            "batch.delivered",
            batch=claim.batch_id,
            attempt=claim.attempt,
            orders=receipt.sent,
            duration_ms=duration_ms,
            bytes=size,
            lag_seconds=max(0.0, lag),
            repeat=claim.uncertain > 0,
            late=delivered == 0,
        )
        if self._trouble:
            self._trouble = False
            self._log.emit("sending.resumed")

    def _react(
        self, claim: Claim, verdict: Verdict, receipt: Receipt, keys: list[str]
    ) -> None:
        self._trouble = True
        standing = self._standing(claim, verdict, keys)
        jitter = random.random()  # noqa: S311  # spreads retries, guards nothing
        decision = decide(verdict, standing, jitter)
        if decision.step is Step.SPLIT:
            self._split(claim, decision, receipt, keys)
        elif decision.step is Step.REJECT:
            self._reject(claim, receipt, keys[0])
        else:
            self._put_back(claim, decision, receipt)

    def _standing(self, claim: Claim, verdict: Verdict, keys: list[str]) -> Standing:
        """Gather what the decision needs beyond the verdict."""
        failures, refusals, accepted_at = 0, 0, None
        if verdict.outcome is Outcome.REFUSED:
            refusals, accepted_at = self._ledger.endpoint_refused(
                int(claim.attempt == 1)
            )
        else:
            failures = self._ledger.endpoint_failures()
        return Standing(
            sent=len(keys),
            attempt=claim.attempt,
            failures=failures,
            refusals=refusals,
            refused_at=claim.refused_at,
            accepted_at=accepted_at,
            batch_size=self._settings.orders_per_batch,
        )

    def _split(
        self, claim: Claim, decision: Decision, receipt: Receipt, keys: list[str]
    ) -> None:
        middle = (len(keys) + 1) // 2
        self._ledger.split(
            claim,
            [keys[:middle], keys[middle:]],
            receipt,
            refused=True,
            uncertain=decision.uncertain,
        )
        self._log.emit(
            "batch.split",
            batch=claim.batch_id,
            attempt=claim.attempt,
            orders=receipt.sent,
            status=receipt.status,
            reason=receipt.reason,
        )

    def _reject(self, claim: Claim, receipt: Receipt, key: str) -> None:
        orderid = receipt.orderids[0] if receipt.orderids else None
        reason = receipt.reason or "refused"
        self._except(claim, [Exemption(key, "rejected", reason, orderid)])
        self._ledger.dissolve(claim, receipt)

    def _put_back(self, claim: Claim, decision: Decision, receipt: Receipt) -> None:
        reason = receipt.reason or "unknown"
        if decision.step is Step.HOLD:
            self._ledger.endpoint_failed("held", decision.endpoint_wait, reason)
        elif decision.step is Step.AGAIN:
            self._ledger.endpoint_failed("retrying", decision.endpoint_wait, reason)
        self._ledger.put_back(
            claim,
            receipt,
            wait=decision.batch_wait,
            refused=decision.step is Step.SUSPECT,
            uncertain=decision.uncertain,
        )
        self._report_put_back(claim, decision, receipt)

    def _report_put_back(
        self, claim: Claim, decision: Decision, receipt: Receipt
    ) -> None:
        wait = max(decision.endpoint_wait, decision.batch_wait or timedelta(0))
        if decision.step is Step.HOLD:
            self._log.emit(
                "sending.held",
                status=receipt.status,
                reason=receipt.reason,
                retry_seconds=wait.total_seconds(),
            )
        where = {"batch": claim.batch_id, "attempt": claim.attempt}
        if decision.uncertain:
            self._log.emit(
                "batch.uncertain", **where, orders=receipt.sent, reason=receipt.reason
            )
        self._log.emit(
            "batch.deferred",
            **where,
            orders=receipt.sent,
            outcome=receipt.outcome,
            status=receipt.status,
            reason=receipt.reason,
            retry_seconds=wait.total_seconds(),
        )


def _receipt(
    answer: Answer | Silence,
    verdict: Verdict,
    body: bytes,
    purchases: Sequence[tuple[str, Purchase]],
) -> Receipt:
    return Receipt(
        outcome=verdict.outcome.value,
        status=answer.status if isinstance(answer, Answer) else None,
        reason=verdict.reason or None,
        sent=len(purchases),
        sha256=hashlib.sha256(body).digest(),
        orderids=[purchase.orderid for _, purchase in purchases],
    )
