"""Delivery of one batch: claim → read → render → send → settle.

At least once: a batch is claimed durably before its POST and settled after the
answer; what happens in between to a dying process is found as a claim past its
lease, counted as uncertain and sent again (ADR-0001). Before the first byte of a
request `_unfinished` puts the batch back as unread; from then on, until there is a
receipt, as uncertain, whatever ends the exchange (ADR-0023).
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from syncd.config.settings import Settings
from syncd.core.event import Event
from syncd.core.event_diff import FingerprintKey
from syncd.core.read_size import ReadSize
from syncd.core.redaction import Redactor
from syncd.core.response import Classification, NoResponse, Outcome, Response, classify
from syncd.core.settlement import Action, Decision, EndpointHistory, decide
from syncd.core.unread import ReadHistory
from syncd.delivery.answers import Answers
from syncd.delivery.circuit_breaker import CircuitBreaker
from syncd.delivery.delivery_log import DeliveryLog
from syncd.delivery.fingerprints import Fingerprints
from syncd.delivery.reading import RowReader
from syncd.delivery.rendering import Rendered, Renderer, rules_of
from syncd.delivery.sent import Sent
from syncd.delivery.squeezely import Squeezely
from syncd.delivery.unread import Unread
from syncd.ledger.batches import Ledger
from syncd.ledger.claim import Claim, ExcludedOrder, Lane, Receipt
from syncd.ledger.order_quality import LeftOutCounter
from syncd.log.log import Log
from syncd.postgres.errors import STATEMENT_SECONDS
from syncd.source.orders import Source

NO_RECEIPT = "the exchange ended without a receipt"
UNSENT = "the batch has orders that were not sent"

FRESH_SECONDS = 5.0
"""A claim older than this is renewed before its POST."""

LEASE_MARGIN = timedelta(seconds=15)
"""Added to the POST's timeout: reading, rendering and settling."""


READ_LIMIT = timedelta(seconds=STATEMENT_SECONDS)
"""A claim outlives one read of the view."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What the workers of a feed know together of reading its view.

    Attributes:
        again: What could not be read is read, and nothing else.
    """

    size: ReadSize
    history: ReadHistory
    again: bool = False

    @classmethod
    def of(cls, settings: Settings) -> "Reads":
        """Know nothing yet."""
        return cls(ReadSize(settings.squeezely.orders_per_batch), ReadHistory())


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """What one claimed batch came to.

    Attributes:
        events: Sent; 0 when it came to no request.
        accepted: They were taken.
        throttled: The API asked for a slower pace.
        unread: Orders of it could not be read.
    """

    events: int = 0
    accepted: bool = False
    throttled: bool = False
    unread: bool = False


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
        reads: Reads | None = None,
    ) -> None:
        self._settings = settings.squeezely
        self._settle = settings.source.completeness_timeout
        self._source = source
        reads = reads or Reads.of(settings)
        self._rereads, self._reads = reads.again, reads
        self._reader = RowReader(source, reads.size)
        self._rendering = Renderer(source, rules_of(settings), self._settle)
        self._ledger = ledger
        self._breaker = CircuitBreaker(ledger.database, ledger.feed_id)
        self._answers = Answers(ledger.database, settings)
        self._report = DeliveryLog(log)
        self._unread = Unread(ledger, self._report, reads.history)
        self._instance = instance
        self._api = Squeezely(settings)
        self._holds = self._settings.on_uncertain == "hold"
        self._secret = settings.api_key.get_secret_value()
        self._lease = max(self._settings.timeout, READ_LIMIT) + LEASE_MARGIN
        self._fingerprints = Fingerprints(
            ledger,
            source.database,
            settings.source.purchases_view,
            FingerprintKey.of(settings.api_key.get_secret_value()),
        )
        self._left_out = LeftOutCounter(ledger)
        self._unfinished: Callable[[], object] | None = None
        self._claimed_at = 0.0
        self._lane: Lane = "live"

    def close(self) -> None:
        """Close the connection to the API."""
        self._fingerprints.write()
        self._left_out.write()
        self._api.close()

    def deliver_next(self, lane: Lane) -> DeliveryResult | None:
        """Take the oldest due batch of a lane through to its settlement.

        Returns:
            What came of it; None when nothing was due.

        Raises:
            SyncdError: The database failed or a view is broken; the claim, if any,
                is put back or left to its lease.
        """
        self.finish()
        self._claimed_at = time.monotonic()
        at_once = self._reader.takes_all and not self._rereads
        query = self._source.reading_claimed() if at_once else None
        claim = self._ledger.claim(
            self._instance, lane, self._lease, query, rereads=self._rereads
        )
        if claim is None:
            return None
        self._lane = lane
        bare = replace(claim, rows=None, read_fault=None)
        self._unfinished = partial(self._ledger.requeue, bare, Receipt("unread"))
        rendered = self._read(claim)
        unread = rendered is None or len(rendered) < len(claim.orders)
        del claim  # and its rows, while the API is waited for
        trip = self._take_through(bare, rendered)
        self._unfinished = None
        return replace(trip, unread=unread)

    def _read(self, claim: Claim) -> Rendered | None:
        """Read and render a claim's orders; those that cannot be read leave it.

        Returns:
            What stays in the claim; None: nothing does, or it is no longer ours.
        """
        if claim.rows is not None:
            self._reads.history.note_read(len(claim.rows), claim.claimed_at)
            return self._rendering.render(claim, claim.rows)
        reading = self._reader.read(claim, partial(self._is_still_ours, claim))
        blamed = self._unread.settle(claim, reading) if reading.is_ours else None
        if blamed is None:
            return None
        left = reading.left()
        read = [order for order in claim.orders if order.key not in left]
        rendered = self._rendering.render(replace(claim, orders=read), reading.rows)
        rendered.exemptions.extend(blamed)
        return rendered

    def run_idle_work(self) -> float | None:
        """Do a little of what nobody waits for.

        Returns:
            In how many seconds there is more of it, 0.0: now; None: nothing.
        """
        self._left_out.write()
        return self._fingerprints.go_on()

    def finish(self) -> None:
        """Settle what a failing database kept from being settled."""
        if self._unfinished is not None:
            self._unfinished()
            self._unfinished = None

    def _take_through(self, claim: Claim, rendered: Rendered | None) -> DeliveryResult:
        if rendered is not None and self._is_to_send(claim, rendered):
            return self._send(claim, rendered.purchases)
        if claim.probes:
            self._breaker.end_probe()
        return DeliveryResult()

    def _is_to_send(self, claim: Claim, rendered: Rendered) -> bool:
        """Set aside what is not to be sent; False when the claim ended with that."""
        if not self._set_aside(claim, rendered):
            return False
        if not rendered.purchases:
            self._ledger.close_empty(claim, Receipt("nothing_to_send"))
            return False
        if self._settings.payload == "single" and len(rendered.purchases) > 1:
            self._split_into_singles(claim, rendered.purchases)
            return False
        return self._is_still_ours(claim)

    def _is_still_ours(self, claim: Claim) -> bool:
        """Make sure, after a slow reading or a sleep, that nobody else sends it."""
        now = time.monotonic()
        if now - self._claimed_at < FRESH_SECONDS:
            return True
        self._claimed_at = now
        return self._ledger.renew(claim, self._lease)

    # Set aside

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
        exemptions: Sequence[ExcludedOrder],
        receipt: Receipt | None = None,
    ) -> bool:
        """Set orders aside for good and say so; False when the claim was lost."""
        if not self._ledger.exclude_orders(claim, exemptions):
            return False
        self._report.set_aside(claim, exemptions, receipt)
        return True

    def _split_into_singles(
        self, claim: Claim, purchases: Sequence[tuple[str, Event]]
    ) -> None:
        pieces = [[key] for key, _ in purchases]
        self._ledger.split(claim, pieces, Receipt("nothing_to_send"))

    # Send and settle

    def _send(
        self, claim: Claim, purchases: Sequence[tuple[str, Event]]
    ) -> DeliveryResult:
        sent = Sent.of(claim, purchases, self._settings.payload)
        started = time.monotonic()
        answer = self._post(sent)
        seconds = time.monotonic() - started
        veil = Redactor((p.event for _, p in purchases), [self._secret])
        read = classify(answer, len(purchases), datetime.now(UTC))
        classification, shape = self._answers.explain(
            read, answer, len(purchases), veil
        )
        receipt = replace(sent.receipt(answer, classification), shape=shape)
        accepted = classification.outcome is Outcome.ACCEPTED
        self._unfinished = (
            partial(self._deliver, sent, receipt, seconds)
            if accepted
            else partial(self._react, claim, classification, receipt, sent.keys)
        )
        self._report.answered(claim, answer, veil)
        self.finish()
        if accepted:
            self._report.left_out(self._left_out.note(purchases))
        is_whole = self._lane == "live" or (claim.is_resend and claim.with_profile)
        if accepted and is_whole:
            self._fingerprints.note(claim, purchases)
        return DeliveryResult(len(purchases), accepted, classification.throttled)

    def _post(self, sent: Sent) -> Response | NoResponse:
        """POST a body; from its first byte on, the claim is put back as uncertain."""
        unread = self._unfinished
        self._unfinished = partial(self._leave_in_doubt, sent, NO_RECEIPT)
        try:
            return self._api.post(sent.body)
        except BaseException:
            if not self._api.has_begun:
                self._unfinished = unread
            raise

    def _leave_in_doubt(self, sent: Sent, reason: str) -> None:
        answer = NoResponse(reason, taken=True)
        read = Classification(Outcome.UNCLEAR, reason, maybe_taken=True)
        self._react(sent.claim, read, sent.receipt(answer, read), sent.keys)

    def _deliver(self, sent: Sent, receipt: Receipt, seconds: float) -> None:
        claim = sent.claim
        delivered = self._ledger.deliver(claim, sent.keys, receipt)
        if not delivered.is_known:
            self._doubt(claim, receipt, sent.keys)
            return
        is_late = delivered.orders is None
        if is_late:
            self._put_unsent_back(sent)
        self._report.delivered(
            claim, receipt, seconds=seconds, size=len(sent.body), late=is_late
        )

    def _put_unsent_back(self, sent: Sent) -> None:
        """Free a batch that is ours still, since it has orders that were not sent."""
        read = Classification(Outcome.UNCLEAR, UNSENT, maybe_taken=True)
        receipt = sent.receipt(NoResponse(UNSENT, taken=True), read)
        held = self._holds
        self._ledger.requeue(sent.claim, receipt, uncertain=True, held=held)

    def _doubt(self, claim: Claim, receipt: Receipt, keys: Sequence[str]) -> None:
        """Count what was sent for a claim that the ledger has lost."""
        if orders := self._ledger.doubt(claim, keys, holds=self._holds):
            self._report.lost(claim, receipt, orders, is_held=self._holds)

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
            self._doubt(claim, receipt, keys)
        if decision.action is Action.ASK and receipt.shape is not None:
            feed_id = self._ledger.feed_id
            self._unfinished = partial(self._answers.heed, receipt.shape, feed_id)
            self._unfinished()

    def _history(
        self, claim: Claim, classification: Classification, keys: list[str]
    ) -> EndpointHistory:
        """Gather what the decision needs beyond the classification."""
        is_first = classification.outcome is Outcome.REFUSED and claim.attempt == 1
        lately = (
            self._breaker.count_refusals(int(is_first))
            if classification.outcome is Outcome.REFUSED
            else self._breaker.record()
        )
        return EndpointHistory(
            sent=len(keys),
            attempt=claim.attempt,
            batch_refusals=claim.refusals,
            refused_at=claim.refused_at,
            batch_size=self._settings.orders_per_batch,
            is_uncertain=claim.uncertain > 0,
            holds_uncertain=self._holds,
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
            self._answers.note(receipt.shape, reason)
            self._breaker.await_explanation(receipt.shape, reason, claim.batch_id)
        elif decision.endpoint != "available":
            suspect = claim.batch_id if decision.is_refused else None
            wait = decision.endpoint_wait
            self._breaker.back_off(decision.endpoint, wait, reason, suspect=suspect)
        asks = decision.action is Action.ASK
        if decision.endpoint == "held" and (asks or history.failures > 0):
            self._report.held(decision, receipt)
        if decision.is_spike and self._breaker.note_spike():
            self._report.spiked(claim, receipt)

    def _settle_conflict(self, claim: Claim, receipt: Receipt, keys: list[str]) -> None:
        """Take what the API has already for delivered: an earlier attempt did it."""
        delivered = self._ledger.deliver(claim, keys, receipt)
        late = delivered.orders is None
        self._report.delivered(claim, receipt, seconds=0.0, size=0, late=late)

    def _split(
        self, claim: Claim, decision: Decision, receipt: Receipt, keys: list[str]
    ) -> bool:
        middle = (len(keys) + 1) // 2
        is_ours = self._ledger.split(
            claim,
            [keys[:middle], keys[middle:]],
            receipt,
            refusals=decision.evidence if decision.is_refused else None,
            uncertain=decision.uncertain,
        )
        self._report.refused(claim, decision, receipt)
        return is_ours

    def _reject(self, claim: Claim, receipt: Receipt, key: str) -> None:
        orderid = receipt.orderids[0] if receipt.orderids else None
        reason = receipt.reason or "refused"
        exemption = ExcludedOrder(key, "rejected", reason, orderid, "api")
        if self._except(claim, [exemption], receipt):
            self._breaker.count_rejected()
        self._ledger.close_empty(claim, receipt)

    def _put_back(self, claim: Claim, decision: Decision, receipt: Receipt) -> bool:
        is_ours = self._ledger.requeue(
            claim,
            receipt,
            wait=decision.batch_wait,
            refusals=decision.evidence if decision.is_refused else None,
            uncertain=decision.uncertain,
            held=decision.holds,
        )
        self._report.requeue(claim, decision, receipt)
        return is_ours
