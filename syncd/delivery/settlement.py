"""What an answer makes of a batch: delivered, put back, split, or set aside.

Each step that talks to the database may fail; what is still to be done then is tried
again before the next batch is claimed.
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal

from syncd.config.settings import SqueezelySettings
from syncd.core.event import Event
from syncd.core.payload import encode
from syncd.core.response import Classification, NoResponse, Outcome, Response
from syncd.core.settlement import Action, Decision, EndpointHistory, decide
from syncd.delivery.answers import Answers
from syncd.delivery.circuit_breaker import CircuitBreaker
from syncd.delivery.delivery_log import DeliveryLog
from syncd.ledger.batches import Ledger
from syncd.ledger.claim import Claim, ExcludedOrder, Receipt

NO_RECEIPT = "the exchange ended without a receipt"
UNSENT = "the batch has orders that were not sent"

Step = Callable[[], "Step | None"]
"""What is to be done, and what then; None: nothing more."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The orders of one request, in its order, and the claim that it is made for."""

    claim: Claim
    keys: list[str]
    orderids: list[str]
    body: bytes

    @classmethod
    def of(
        cls,
        claim: Claim,
        purchases: Sequence[tuple[str, Event]],
        form: Literal["events", "single"],
    ) -> "Sent":
        """Encode the events of a claim's orders as one body."""
        keys = [key for key, _ in purchases]
        orderids = [purchase.orderid for _, purchase in purchases]
        body = encode([purchase.body for _, purchase in purchases], form)
        return cls(claim, keys, orderids, body)

    def receipt(self, answer: Response | NoResponse, read: Classification) -> Receipt:
        """Return what the ledger keeps of the exchange."""
        return Receipt(
            outcome=read.outcome.value,
            status=answer.status if isinstance(answer, Response) else None,
            reason=read.reason or None,
            sent=len(self.keys),
            sha256=hashlib.sha256(self.body).digest(),
            orderids=self.orderids,
        )


@dataclass(frozen=True, slots=True)
class Settlement:
    """Settles the batches that one worker has sent."""

    settings: SqueezelySettings
    ledger: Ledger
    breaker: CircuitBreaker
    answers: Answers
    report: DeliveryLog

    @property
    def holds(self) -> bool:
        """Whether what may have been taken waits for a person."""
        return self.settings.on_uncertain == "hold"

    def of(
        self,
        sent: Sent,
        read: Classification,
        receipt: Receipt,
        seconds: float,
    ) -> Step:
        """Return the step that settles an answered request."""
        if read.outcome is Outcome.ACCEPTED:
            return partial(self.accepted, sent, receipt, seconds)
        return partial(self.refused, sent.claim, read, receipt, sent.keys)

    def accepted(self, sent: Sent, receipt: Receipt, seconds: float) -> None:
        """Settle a request whose orders the API has taken."""
        claim = sent.claim
        delivered = self.ledger.deliver(claim, sent.keys, receipt)
        if not delivered.is_known:
            self._mark_uncertain(claim, receipt, sent.keys)
            return
        is_late = delivered.orders is None
        if is_late:
            self._put_unsent_back(sent)
        self.report.delivered(
            claim, receipt, seconds=seconds, size=len(sent.body), late=is_late
        )

    def _put_unsent_back(self, sent: Sent) -> None:
        """Free a batch that is ours still, since it has orders that were not sent."""
        read = Classification(Outcome.UNCLEAR, UNSENT, maybe_taken=True)
        receipt = sent.receipt(NoResponse(UNSENT, taken=True), read)
        held = self.holds
        self.ledger.requeue(sent.claim, receipt, uncertain=True, held=held)

    def unanswered(self, sent: Sent, reason: str = NO_RECEIPT) -> Step | None:
        """Put a batch back of which some may have been taken."""
        answer = NoResponse(reason, taken=True)
        read = Classification(Outcome.UNCLEAR, reason, maybe_taken=True)
        return self.refused(sent.claim, read, sent.receipt(answer, read), sent.keys)

    def refused(
        self,
        claim: Claim,
        classification: Classification,
        receipt: Receipt,
        keys: list[str],
    ) -> Step | None:
        """Settle a request whose orders were not taken, or may not have been."""
        history = self._history(claim, classification, keys)
        jitter = random.random()  # noqa: S311  # spreads retries, guards nothing
        decision = decide(classification, history, jitter)
        self._spare_endpoint(claim, decision, receipt, history)
        is_ours = True
        if decision.action is Action.SPLIT and not decision.holds:
            is_ours = self._split(claim, decision, receipt, keys)
        elif decision.action is Action.REJECT:
            self._reject(claim, receipt, keys[0])
        elif decision.action is Action.DELIVERED:
            self._settle_conflict(claim, receipt, keys)
        else:
            is_ours = self._put_back(claim, decision, receipt)
        if decision.uncertain and not is_ours:
            self._mark_uncertain(claim, receipt, keys)
        if decision.action is Action.ASK and receipt.shape is not None:
            return partial(
                self.answers.apply_meaning, receipt.shape, self.ledger.feed_id
            )
        return None

    def _mark_uncertain(
        self, claim: Claim, receipt: Receipt, keys: Sequence[str]
    ) -> None:
        """Count what was sent for a claim that the ledger has lost."""
        if orders := self.ledger.mark_uncertain(claim, keys, holds=self.holds):
            self.report.lost(claim, receipt, orders, is_held=self.holds)

    def _history(
        self, claim: Claim, classification: Classification, keys: list[str]
    ) -> EndpointHistory:
        if classification.outcome is Outcome.REFUSED:
            lately = self.breaker.count_refusals(int(claim.attempt == 1))
        else:
            lately = self.breaker.record()
        return EndpointHistory(
            sent=len(keys),
            attempt=claim.attempt,
            batch_refusals=claim.refusals,
            refused_at=claim.refused_at,
            batch_size=self.settings.orders_per_batch,
            is_uncertain=claim.uncertain > 0,
            holds_uncertain=self.holds,
            **asdict(lately),
        )

    def _spare_endpoint(
        self,
        claim: Claim,
        decision: Decision,
        receipt: Receipt,
        history: EndpointHistory,
    ) -> None:
        """Leave the endpoint alone as decided; report a hold that lasts, or a spike."""
        reason = receipt.reason or "unknown"
        if decision.action is Action.ASK and receipt.shape is not None:
            self.answers.note(receipt.shape, reason)
            self.breaker.await_explanation(receipt.shape, reason, claim.batch_id)
        elif decision.endpoint != "available":
            suspect = claim.batch_id if decision.is_refused else None
            wait = decision.endpoint_wait
            self.breaker.back_off(decision.endpoint, wait, reason, suspect=suspect)
        asks = decision.action is Action.ASK
        if decision.endpoint == "held" and (asks or history.failures > 0):
            self.report.held(decision, receipt)
        if decision.is_spike and self.breaker.note_spike():
            self.report.spiked(claim, receipt)

    def _settle_conflict(self, claim: Claim, receipt: Receipt, keys: list[str]) -> None:
        """Take what the API has already for delivered: an earlier attempt did it."""
        delivered = self.ledger.deliver(claim, keys, receipt)
        late = delivered.orders is None
        self.report.delivered(claim, receipt, seconds=0.0, size=0, late=late)

    def _split(
        self, claim: Claim, decision: Decision, receipt: Receipt, keys: list[str]
    ) -> bool:
        middle = (len(keys) + 1) // 2
        is_ours = self.ledger.split(
            claim,
            [keys[:middle], keys[middle:]],
            receipt,
            refusals=decision.evidence if decision.is_refused else None,
            uncertain=decision.uncertain,
        )
        self.report.refused(claim, decision, receipt)
        return is_ours

    def _reject(self, claim: Claim, receipt: Receipt, key: str) -> None:
        orderid = receipt.orderids[0] if receipt.orderids else None
        reason = receipt.reason or "refused"
        exclusion = ExcludedOrder(key, "rejected", reason, orderid, "api")
        if self.set_aside(claim, [exclusion], receipt):
            self.breaker.count_rejected()
        self.ledger.close_empty(claim, receipt)

    def _put_back(self, claim: Claim, decision: Decision, receipt: Receipt) -> bool:
        is_ours = self.ledger.requeue(
            claim,
            receipt,
            wait=decision.batch_wait,
            refusals=decision.evidence if decision.is_refused else None,
            uncertain=decision.uncertain,
            held=decision.holds,
        )
        self.report.requeue(claim, decision, receipt)
        return is_ours

    def set_aside(
        self,
        claim: Claim,
        exclusions: Sequence[ExcludedOrder],
        receipt: Receipt | None = None,
    ) -> bool:
        """Set orders aside for good and log it; False when the claim was lost."""
        if not self.ledger.exclude_orders(claim, exclusions):
            return False
        self.report.set_aside(claim, exclusions, receipt)
        return True
