"""Delivery of one batch: claim → read → render → send → settle.

At least once: a batch is claimed durably before its POST and settled after the
answer; what happens in between to a dying process is found as a claim past its
lease, counted as uncertain and sent again (ADR-0001). Before the first byte of a
request `_unfinished` puts the batch back as unread; from then on, until there is a
receipt, as uncertain, whatever ends the exchange (ADR-0023).
"""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from syncd.config.settings import Settings
from syncd.core.redaction import Redactor
from syncd.core.response import NoResponse, Outcome, Response, classify
from syncd.delivery.components import DeliveryComponents, Reads
from syncd.delivery.rendering import Rendered
from syncd.delivery.settlement import Sent, Step
from syncd.ledger.batches import Ledger
from syncd.ledger.claim import Claim, Lane, Receipt
from syncd.postgres.errors import STATEMENT_SECONDS
from syncd.source.orders import Source

FRESH_SECONDS = 5.0

READ_LIMIT = timedelta(seconds=STATEMENT_SECONDS)
"""A claim outlives one read of the view."""


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """What one claimed batch came to.

    Attributes:
        events: Sent; 0 when it came to no request.
        accepted: They were taken.
        throttled: The API asked for a slower pace.
        unread: Orders of it could not be read.
        full: It had as many orders as a batch may have.
    """

    events: int = 0
    accepted: bool = False
    throttled: bool = False
    unread: bool = False
    full: bool = False


class Delivery:
    """Sends batches of one feed; one thread, one connection to the API.

    Attributes:
        fresh_seconds: A claim older than this is renewed before its POST.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        ledger: Ledger,
        components: DeliveryComponents,
        *,
        instance: int,
        reads: Reads,
    ) -> None:
        self.fresh_seconds = FRESH_SECONDS
        self._settings = settings.squeezely
        self._secret = settings.api_key.get_secret_value()
        self._patience = settings.source.completeness_timeout
        self._source = source
        self._ledger = ledger
        self._reader = components.reader
        self._renderer = components.renderer
        self._api = components.api
        self._settlement = components.settlement
        self._unread = components.unread
        self._left_out = components.left_out
        self._fingerprints = components.fingerprints
        self._instance = instance
        self._reads = reads
        self._touched = components.touched
        self._lease = max(self._settings.timeout, READ_LIMIT) + components.lease_margin
        self._unfinished: Step | None = None
        self._claimed_at = 0.0
        self._lane: Lane = "live"

    def deliver_next(self, lane: Lane) -> DeliveryResult | None:
        """Take the oldest due batch of a lane through to its settlement.

        Returns:
            What came of it; None when nothing was due.

        Raises:
            SyncdError: The database failed or a view is broken; the claim, if any,
                is put back or left to its lease.
        """
        self.finish()
        claim = self._claim(lane)
        if claim is None:
            return None
        bare = replace(claim, rows=None, read_fault=None)
        self._unfinished = partial(self._put_unread_back, bare)
        rendered = self._render(claim)
        unread = rendered is None or len(rendered) < len(claim.orders)
        full = len(claim.orders) >= self._settings.orders_per_batch
        del claim  # and its rows, while the API is waited for
        result = DeliveryResult()
        if rendered is not None and self._is_to_send(bare, rendered):
            result = self._send(bare, rendered)
        elif bare.probes:
            self._settlement.breaker.end_probe()
        self._unfinished = None
        return replace(result, unread=unread, full=full)

    def finish(self) -> None:
        """Settle what a failing database kept from being settled."""
        while self._unfinished is not None:
            self._unfinished = self._unfinished()

    # Claim

    def _claim(self, lane: Lane) -> Claim | None:
        """Claim the oldest due batch; with its rows, where they can be read at once."""
        self._claimed_at, self._lane = time.monotonic(), lane
        at_once = self._reader.takes_all and not self._reads.again
        query = self._source.reading_claimed() if at_once else None
        return self._ledger.claim(
            self._instance,
            lane,
            self._lease,
            query,
            rereads=self._reads.again,
            touched=self._touched() if query else None,
        )

    def _is_still_ours(self, claim: Claim) -> bool:
        """Make sure, after a slow read or a sleep, that no other instance sends it."""
        now = time.monotonic()
        if now - self._claimed_at < self.fresh_seconds:
            return True
        self._claimed_at = now
        return self._ledger.renew(claim, self._lease)

    def _put_unread_back(self, claim: Claim) -> None:
        self._ledger.requeue(claim, Receipt("unread"))

    # Render

    def _render(self, claim: Claim) -> Rendered | None:
        """Read and render a claim's orders; those that cannot be read leave it.

        Returns:
            What stays in the claim; None: nothing does, or it is no longer ours.
        """
        if claim.rows is not None:
            self._reads.history.note_read(len(claim.rows), claim.claimed_at)
            return self._renderer.render(claim, claim.rows)
        reading = self._reader.read(claim, partial(self._is_still_ours, claim))
        blamed = self._unread.settle(claim, reading) if reading.is_ours else None
        if blamed is None:
            return None
        left = reading.left()
        read = [order for order in claim.orders if order.key not in left]
        rendered = self._renderer.render(replace(claim, orders=read), reading.rows)
        rendered.exclusions.extend(blamed)
        return rendered

    def _is_to_send(self, claim: Claim, rendered: Rendered) -> bool:
        """Set aside what is not to be sent; False when the claim ended with that."""
        if not self._set_aside(claim, rendered):
            return False
        if not rendered.purchases:
            self._ledger.close_empty(claim, Receipt("nothing_to_send"))
            return False
        if self._settings.payload == "single" and len(rendered.purchases) > 1:
            pieces = [[key] for key, _ in rendered.purchases]
            self._ledger.split(claim, pieces, Receipt("nothing_to_send"))
            return False
        return self._is_still_ours(claim)

    def _set_aside(self, claim: Claim, rendered: Rendered) -> bool:
        """Take out what is not to be sent; False when the claim is no longer ours.

        Then nothing may be sent: a late success would settle what was left out.
        """
        settlement, excluded = self._settlement, rendered.exclusions
        if excluded and not settlement.set_aside(claim, excluded):
            return False
        if not rendered.waiting:
            return True
        wait = max(timedelta(seconds=1), min(self._patience / 6, timedelta(seconds=30)))
        keys = [key for key, _ in rendered.waiting]
        if not self._ledger.postpone(claim, keys, wait):
            return False
        settlement.report.waiting(claim, rendered.waiting)
        return True

    # Send and settle

    def _send(self, claim: Claim, rendered: Rendered) -> DeliveryResult:
        purchases, settlement = rendered.purchases, self._settlement
        sent = Sent.of(claim, purchases, self._settings.payload)
        started = time.monotonic()
        answer = self._post(sent)
        seconds = time.monotonic() - started
        redactor = Redactor((p.event for _, p in purchases), [self._secret])
        read = classify(answer, len(purchases), datetime.now(UTC))
        read, shape = settlement.answers.explain(read, answer, len(purchases), redactor)
        receipt = replace(sent.receipt(answer, read), shape=shape)
        self._unfinished = settlement.of(sent, read, receipt, seconds)
        settlement.report.answered(claim, answer, redactor)
        self.finish()
        accepted = read.outcome is Outcome.ACCEPTED
        if accepted:
            self._note(claim, rendered)
        return DeliveryResult(len(purchases), accepted, read.throttled)

    def _post(self, sent: Sent) -> Response | NoResponse:
        """POST a body; from its first byte on, the claim is put back as uncertain."""
        unread = self._unfinished
        self._unfinished = partial(self._settlement.unanswered, sent)
        try:
            return self._api.post(sent.body)
        except BaseException:
            if not self._api.has_begun:
                self._unfinished = unread
            raise

    # Beside

    def _note(self, claim: Claim, rendered: Rendered) -> None:
        """Record what accepted events lacked, and fingerprints of complete ones."""
        purchases = rendered.purchases
        self._settlement.report.left_out(self._left_out.note(purchases))
        if self._lane == "live" or (claim.is_resend and claim.with_profile):
            self._fingerprints.note(claim, purchases)

    def run_idle_work(self) -> float | None:
        """Do a little of the idle work.

        Returns:
            In how many seconds there is more of it, 0.0: now; None: nothing.
        """
        self._left_out.write()
        return self._fingerprints.work()

    def close(self) -> None:
        """Close the connection to the API."""
        self._fingerprints.write()
        self._left_out.write()
        self._api.close()
