"""What delivery logs of each batch: one line for each attempt."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from syncd.core.event import LeftOut
from syncd.core.redaction import Redactor
from syncd.core.response import NoResponse, Response
from syncd.core.response_shape import describe_drift
from syncd.core.settlement import Action, Decision
from syncd.ledger.claim import Claim, ExcludedOrder, Receipt
from syncd.log.log import Log


class DeliveryLog:
    """Logs the outcomes of one worker's batches."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._trouble = False

    def set_aside(
        self,
        claim: Claim,
        exclusions: Sequence[ExcludedOrder],
        receipt: Receipt | None = None,
    ) -> None:
        """Report orders that were rejected, by reason, or withdrawn; one key of each.

        With a receipt when it was the API that refused one.
        """
        reasons: dict[str, list[ExcludedOrder]] = {}
        for exclusion in exclusions:
            if exclusion.state == "rejected":
                reasons.setdefault(exclusion.reason, []).append(exclusion)
        for reason, rejected in reasons.items():
            self._log.emit(
                "orders.rejected",
                batch=claim.batch_id,
                attempt=claim.attempt if receipt else None,
                orders=len(rejected),
                order_key=rejected[0].key,
                status=receipt.status if receipt else None,
                reason=reason,
            )
        withdrawn = [e for e in exclusions if e.state == "withdrawn"]
        if withdrawn:
            self._log.emit(
                "orders.withdrawn",
                batch=claim.batch_id,
                orders=len(withdrawn),
                order_key=withdrawn[0].key,
            )

    def left_out(self, details: Sequence[tuple[LeftOut, int, str]]) -> None:
        """Log which details orders went without; each kind once a minute."""
        for detail, orders, key in details:
            self._log.emit_folded(
                "fields.left_out",
                detail,
                field=detail.field,
                reason=detail.reason,
                orders=orders,
                order_key=key,
            )

    def waiting(self, claim: Claim, waiting: Sequence[tuple[str, str]]) -> None:
        """Log that orders are not complete yet; the first one is named."""
        key, reason = waiting[0]
        self._log.emit(
            "orders.waiting",
            batch=claim.batch_id,
            orders=len(waiting),
            order_key=key,
            reason=reason,
        )

    def unreadable(
        self, claim: Claim, keys: Sequence[str], reason: str, wait: timedelta
    ) -> None:
        """Log that orders wait for the view; the first one is named."""
        self._log.emit_folded(
            "orders.unreadable",
            (reason, len(keys)),
            batch=claim.batch_id,
            orders=len(keys),
            order_key=keys[0],
            reason=reason,
            retry_seconds=wait.total_seconds(),
        )

    def answered(
        self, claim: Claim, answer: Response | NoResponse, redactor: Redactor
    ) -> None:
        """Log once in this process that an answer has a shape not known."""
        shape = describe_drift(answer) if isinstance(answer, Response) else None
        if shape:
            shape = redactor.redact(shape)
            self._log.emit_once(
                "api.response_changed",
                shape,
                batch=claim.batch_id,
                attempt=claim.attempt,
                shape=shape,
            )

    def delivered(
        self, claim: Claim, receipt: Receipt, *, seconds: float, size: int, late: bool
    ) -> None:
        """Log that a batch was accepted, and that sending works again if it did not."""
        self._log.emit(
            "batch.delivered",
            batch=claim.batch_id,
            attempt=claim.attempt,
            orders=receipt.sent,
            duration_ms=round(seconds * 1000),
            bytes=size,
            lag_seconds=_lag_seconds(claim),
            repeat=claim.uncertain > 0,
            is_resend=claim.is_resend,
            late=late,
        )
        if self._trouble:
            self._trouble = False
            self._log.emit("sending.resumed")

    def refused(self, claim: Claim, decision: Decision, receipt: Receipt) -> None:
        """Log that a batch was halved."""
        self._trouble = True
        self._log.emit("batch.split", **_facts(claim, receipt))
        self._uncertain(claim, decision, receipt)

    def held(self, decision: Decision, receipt: Receipt) -> None:
        """Report that nothing is sent but a probe now and then, or not even that."""
        self._trouble = True
        asks = decision.action is Action.ASK
        self._log.emit(
            "sending.held",
            status=receipt.status,
            reason=receipt.reason,
            retry_seconds=None if asks else decision.endpoint_wait.total_seconds(),
        )

    def spiked(self, claim: Claim, receipt: Receipt) -> None:
        """Report that too many orders are refused: no more of them are rejected."""
        self._log.emit(
            "rejections.suspended",
            batch=claim.batch_id,
            order_key=claim.orders[0].key,
            status=receipt.status,
            reason=receipt.reason,
        )

    def requeue(self, claim: Claim, decision: Decision, receipt: Receipt) -> None:
        """Report why a batch waits, for how long or for whom."""
        self._trouble = True
        wait = max(decision.endpoint_wait, decision.batch_wait or timedelta(0))
        self._uncertain(claim, decision, receipt)
        if decision.holds:
            return
        facts = _facts(claim, receipt, retry_seconds=wait.total_seconds())
        self._log.emit("batch.deferred", **facts)

    def lost(
        self, claim: Claim, receipt: Receipt, orders: int, *, is_held: bool
    ) -> None:
        """Log that a claim is not in the ledger any more, whose orders were sent."""
        reason = "the ledger has lost the claim: its server crashed or was promoted"
        facts = _facts(claim, receipt, orders=orders, reason=reason, is_held=is_held)
        self._log.emit("batch.uncertain", **facts)

    def _uncertain(self, claim: Claim, decision: Decision, receipt: Receipt) -> None:
        if decision.uncertain:
            facts = _facts(claim, receipt, is_held=decision.holds)
            self._log.emit("batch.uncertain", **facts)


def _facts(claim: Claim, receipt: Receipt, **others: object) -> dict[str, object]:
    """Return the fields of an attempt that was not accepted, and others."""
    return {
        "batch": claim.batch_id,
        "attempt": claim.attempt,
        "orders": receipt.sent,
        "outcome": receipt.outcome,
        "status": receipt.status,
        "reason": receipt.reason,
        **others,
    }


def _lag_seconds(claim: Claim) -> float:
    oldest = min(order.confirmed_at for order in claim.orders)
    return max(0.0, (datetime.now(UTC) - oldest).total_seconds())
