"""Delivery of one batch: claim → read → render → send → settle.

At least once: a batch is claimed durably before its POST and settled after the
answer; what happens in between to a dying process is found as a claim past its
lease, counted as uncertain and sent again (ADR-0001).
"""

import hashlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from syncd.config import Settings
from syncd.core.body import encode
from syncd.core.difference import Seal
from syncd.core.purchase import Purchase
from syncd.core.response import Classification, NoResponse, Outcome, Response, classify
from syncd.core.settlement import Action, Decision, EndpointHistory, decide
from syncd.core.veil import Veil
from syncd.delivery.circuit_breaker import CircuitBreaker
from syncd.delivery.fingerprints import Fingerprints
from syncd.delivery.rendering import Rendered, Rendering, rules_of
from syncd.delivery.report import Report
from syncd.delivery.squeezely import Squeezely
from syncd.errors import UnreadableRowError
from syncd.ledger import Claim, Exemption, Lane, Ledger, Receipt
from syncd.log import Log
from syncd.source import Source

REJECTION_SPIKE = "too many orders are refused while others are accepted"

FRESH_SECONDS = 5.0
"""A claim older than this is renewed before its POST."""

LEASE_MARGIN = timedelta(seconds=15)
"""Added to the POST's timeout: reading, rendering and settling."""


@dataclass(frozen=True, slots=True)
class Trip:
    """What one claimed batch came to.

    Attributes:
        events: Sent; 0 when it came to no request.
        accepted: They were taken.
        throttled: The API asked for a slower pace.
    """

    events: int = 0
    accepted: bool = False
    throttled: bool = False


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
        self._source = source
        self._rendering = Rendering(source, rules_of(settings), self._settle)
        self._ledger = ledger
        self._breaker = CircuitBreaker(ledger.database, ledger.feed_id)
        self._report = Report(log)
        self._instance = instance
        self._api = Squeezely(settings)
        self._secret = settings.api_key.get_secret_value()
        self._lease = self._settings.timeout + LEASE_MARGIN
        self._fingerprints = Fingerprints(
            ledger,
            source.database,
            settings.source.purchases,
            Seal.of(settings.api_key.get_secret_value()),
        )
        self._unfinished: Callable[[], object] | None = None
        self._claimed_at = 0.0
        self._lane: Lane = "live"

    def close(self) -> None:
        """Close the connection to the API."""
        self._fingerprints.write()
        self._api.close()

    def deliver_next(self, lane: Lane) -> Trip | None:
        """Take the oldest due batch of a lane through to its settlement.

        Returns:
            What came of it; None when nothing was due.

        Raises:
            SyncdError: The database failed or a view is broken; the claim, if any,
                is put back or left to its lease.
        """
        self.finish()
        self._claimed_at = time.monotonic()
        reading = self._source.reading_claimed()
        claim = self._ledger.claim(self._instance, lane, self._lease, reading)
        if claim is None:
            return None
        self._lane = lane
        bare = replace(claim, rows=None)
        self._unfinished = partial(self._ledger.put_back, bare, Receipt("unread"))
        try:
            rendered = self._rendering.render(claim)
        except UnreadableRowError as error:
            self._isolate(bare, error)
            trip = Trip()
        else:
            del claim  # and its rows, while the API is waited for
            trip = self._take_through(bare, rendered)
        self._unfinished = None
        return trip

    def do_aside(self) -> float | None:
        """Do a little of what nobody waits for.

        Returns:
            In how many seconds there is more of it, 0.0: now; None: nothing.
        """
        return self._fingerprints.go_on()

    def finish(self) -> None:
        """Settle what a failing database kept from being settled."""
        if self._unfinished is not None:
            self._unfinished()
            self._unfinished = None

    def _take_through(self, claim: Claim, rendered: Rendered) -> Trip:
        if self._is_to_send(claim, rendered):
            return self._send(claim, rendered.purchases)
        if claim.probes:
            self._breaker.end_probe()
        return Trip()

    def _is_to_send(self, claim: Claim, rendered: Rendered) -> bool:
        """Set aside what is not to be sent; False when the claim ended with that."""
        if not self._set_aside(claim, rendered):
            return False
        if not rendered.purchases:
            self._ledger.dissolve(claim, Receipt("nothing_to_send"))
            return False
        if self._settings.body == "single" and len(rendered.purchases) > 1:
            self._split_into_singles(claim, rendered.purchases)
            return False
        return self._is_still_ours(claim)

    def _is_still_ours(self, claim: Claim) -> bool:
        """Make sure, after a slow reading or a sleep, that nobody else sends it."""
        seconds = time.monotonic() - self._claimed_at
        return seconds < FRESH_SECONDS or self._ledger.renew(claim, self._lease)

    # Set aside

    def _isolate(self, claim: Claim, error: UnreadableRowError) -> None:
        """Treat a row that makes the view fail as an order that is refused.

        So it is found by halving, and blamed only while other orders go through.
        """
        reason = f"the purchases view fails (SQLSTATE {error.sqlstate})"
        keys = [order.key for order in claim.orders]
        receipt = Receipt("unread", reason=reason)
        self._react(claim, Classification(Outcome.REFUSED, reason), receipt, keys)

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
        self._report.waiting(claim, rendered.waiting)
        return True

    def _except(
        self,
        claim: Claim,
        exemptions: Sequence[Exemption],
        receipt: Receipt | None = None,
    ) -> bool:
        """Set orders aside for good and say so; False when the claim was lost."""
        if not self._ledger.except_orders(claim, exemptions):
            return False
        self._report.set_aside(claim, exemptions, receipt)
        return True

    def _split_into_singles(
        self, claim: Claim, purchases: Sequence[tuple[str, Purchase]]
    ) -> None:
        pieces = [[key] for key, _ in purchases]
        self._ledger.split(claim, pieces, Receipt("nothing_to_send"), refused=False)

    # Send and settle

    def _send(self, claim: Claim, purchases: Sequence[tuple[str, Purchase]]) -> Trip:
        body = encode([p.body for _, p in purchases], self._settings.body)
        started = time.monotonic()
        answer = self._api.post(body)
        seconds = time.monotonic() - started
        classification = classify(answer, len(purchases), datetime.now(UTC))
        veil = Veil((p.event for _, p in purchases), [self._secret])
        classification = replace(
            classification, reason=veil.over(classification.reason)
        )
        receipt = _receipt(answer, classification, body, purchases)
        accepted = classification.outcome is Outcome.ACCEPTED
        if accepted:
            self._unfinished = partial(
                self._deliver, claim, receipt, seconds, len(body)
            )
        else:
            keys = [key for key, _ in purchases]
            self._unfinished = partial(
                self._react, claim, classification, receipt, keys
            )
        self._report.answered(claim, answer, veil)
        self.finish()
        is_whole = self._lane == "live" or (claim.resends and claim.with_profile)
        if accepted and is_whole:
            self._fingerprints.note(claim, purchases)
        return Trip(len(purchases), accepted, classification.throttled)

    def _deliver(
        self, claim: Claim, receipt: Receipt, seconds: float, size: int
    ) -> None:
        late = self._ledger.deliver(claim, receipt) == 0
        self._report.delivered(claim, receipt, seconds=seconds, size=size, late=late)

    def _react(
        self,
        claim: Claim,
        classification: Classification,
        receipt: Receipt,
        keys: list[str],
    ) -> None:
        history = self._history(claim, classification, keys)
        jitter = random.random()  # noqa: S311  # spreads retries, guards nothing
        decision = decide(classification, history, jitter)
        if decision.suspects_contract:
            receipt = replace(receipt, reason=f"{REJECTION_SPIKE}: {receipt.reason}")
        if decision.action is Action.SPLIT and not decision.holds:
            self._split(claim, decision, receipt, keys)
        elif decision.action is Action.REJECT:
            self._reject(claim, receipt, keys[0])
        else:
            self._put_back(claim, decision, receipt)

    def _history(
        self, claim: Claim, classification: Classification, keys: list[str]
    ) -> EndpointHistory:
        """Gather what the decision needs beyond the classification."""
        known = EndpointHistory(
            sent=len(keys),
            attempt=claim.attempt,
            refused_at=claim.refused_at,
            batch_size=self._settings.orders_per_batch,
            holds_uncertain=self._settings.uncertain == "hold",
        )
        if classification.outcome is not Outcome.REFUSED:
            return replace(known, failures=self._breaker.failures())
        lately = self._breaker.count_refusals(int(claim.attempt == 1))
        return replace(
            known,
            refusals=lately.refusals,
            accepted_at=lately.accepted_at,
            recent_accepted=lately.recent_accepted,
            recent_rejected=lately.recent_rejected,
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
        self._report.refused(claim, decision, receipt)

    def _reject(self, claim: Claim, receipt: Receipt, key: str) -> None:
        orderid = receipt.orderids[0] if receipt.orderids else None
        reason = receipt.reason or "refused"
        exemption = Exemption(key, "rejected", reason, orderid)
        if self._except(claim, [exemption], receipt):
            self._breaker.count_rejected()
        self._ledger.dissolve(claim, receipt)

    def _put_back(self, claim: Claim, decision: Decision, receipt: Receipt) -> None:
        reason = receipt.reason or "unknown"
        if decision.action is Action.HOLD:
            doubted = claim.batch_id if decision.suspects_contract else None
            wait = decision.endpoint_wait
            self._breaker.back_off("held", wait, reason, doubted=doubted)
        elif decision.action is Action.AGAIN:
            self._breaker.back_off("retrying", decision.endpoint_wait, reason)
        self._ledger.put_back(
            claim,
            receipt,
            wait=decision.batch_wait,
            refused=decision.action is Action.SUSPECT,
            uncertain=decision.uncertain,
            held=decision.holds,
        )
        self._report.put_back(claim, decision, receipt)


def _receipt(
    answer: Response | NoResponse,
    classification: Classification,
    body: bytes,
    purchases: Sequence[tuple[str, Purchase]],
) -> Receipt:
    return Receipt(
        outcome=classification.outcome.value,
        status=answer.status if isinstance(answer, Response) else None,
        reason=classification.reason or None,
        sent=len(purchases),
        sha256=hashlib.sha256(body).digest(),
        orderids=[purchase.orderid for _, purchase in purchases],
    )
