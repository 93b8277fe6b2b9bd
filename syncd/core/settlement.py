"""What happens to a batch after its attempt: the one table of reactions.

One order never holds the others: a feed that is held is probed with the batch that was
refused longest ago, a batch that is refused again is halved, and an order is rejected
only when others were accepted between its refusals (ADR-0006).
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from math import ceil, log2
from typing import Literal

from syncd.core import backoff
from syncd.core.response import Classification, Outcome

FIRST_PROBE = timedelta(seconds=1)
HOLD_PROBE = timedelta(minutes=5)
"""How often one batch is tried while sending is held: soon at first, then so often."""

STUBBORN_ATTEMPTS = 5
"""Attempts after which later batches are sent first, unless the batch was never read:
then it cannot be at fault, and the order of confirmation is kept."""

AWAY_ATTEMPTS = 20
"""The same where a server answers that it is unavailable (429, 503), which may concern
one batch alone. Without an answer no batch is at fault, however often."""

UNCLEAR_LIMIT = 5
"""Consecutive failures after which an unknown answer holds the feed."""

SUSPECT_CAP = timedelta(minutes=15)

REFUSALS_OF_AN_ORDER = 2
REFUSALS_OF_ANYBODY = 3
"""Refusals, with others accepted between each two, after which an order is rejected:
where the answer concerns the order, and where it may concern credentials or address."""

RECENT_ORDERS = 50
"""About how many of the last orders decide whether too many are refused."""

REJECTION_SPIKE_ORDERS = 5
REJECTION_SPIKE_SHARE = 0.2
"""More rejected ones among the recent suspend rejections."""


class Action(Enum):
    """What happens to the batch."""

    DELIVERED = "delivered"
    AGAIN = "again"  # pending
    SPLIT = "split"
    REJECT = "reject"
    SUSPECT = "suspect"  # pending, behind the others: refused, no order rejected yet
    ASK = "ask"  # held: the operator decides what the answer means


@dataclass(frozen=True, slots=True)
class EndpointHistory:
    """What is known besides the classification.

    Attributes:
        sent: Events in the attempt.
        attempt: Its number, from 1.
        failures: The endpoint's consecutive failures before this one.
        refusals: First-time refusals since the endpoint last accepted something,
            this one included.
        batch_refusals: The batch's own before this one; of refusals without an
            acceptance of others between them, one counts.
        refused_at: When the batch, or one that held its orders, was refused last
            before this attempt.
        accepted_at: When the endpoint last accepted something.
        recent_accepted: Recent orders that the endpoint accepted, older ones fading.
        recent_rejected: Recent orders that were rejected, likewise.
        batch_size: Orders that a batch may hold.
        is_uncertain: An earlier attempt may have been taken.
        holds_uncertain: What may have been taken is not sent again unasked.
    """

    sent: int
    attempt: int
    failures: int = 0
    refusals: int = 0
    batch_refusals: int = 0
    refused_at: datetime | None = None
    accepted_at: datetime | None = None
    recent_accepted: float = 0.0
    recent_rejected: float = 0.0
    batch_size: int = 100
    is_uncertain: bool = False
    holds_uncertain: bool = False

    @property
    def is_proven(self) -> bool:
        """Whether the endpoint took others since this batch was refused."""
        return (
            self.refused_at is not None
            and self.accepted_at is not None
            and self.accepted_at > self.refused_at
        )

    @property
    def evidence(self) -> int:
        """Return how many of its refusals count, this one included."""
        return self.batch_refusals + (self.is_proven or self.refused_at is None)


@dataclass(frozen=True, slots=True)
class Decision:
    """The action, and how long to wait: for the endpoint, and for the batch itself.

    Attributes:
        action: What becomes of the batch.
        endpoint: What the feed does then: send, wait and try again, or send nothing
            but a probe now and then.
        endpoint_wait: How long nothing is sent, unless open.
        batch_wait: How long the batch waits besides.
        uncertain: Some of its orders may have been taken.
        holds: It is sent again only on an operator's decision, whatever the action.
        is_refused: The batch, or each of its halves, is under suspicion now.
        evidence: Refusals that count against it, or against each of its halves.
        is_spike: It would be rejected, were there not too many rejected already.
    """

    action: Action
    endpoint: Literal["available", "backing_off", "held"] = "available"
    endpoint_wait: timedelta = timedelta(0)
    batch_wait: timedelta | None = None
    uncertain: bool = False
    holds: bool = False
    is_refused: bool = False
    evidence: int = 0
    is_spike: bool = False


def decide(
    classification: Classification, history: EndpointHistory, unit: float
) -> Decision:
    """Choose what to do; `unit` is a random number, 0 included, 1 excluded."""
    decision = _choose(classification, history, unit)
    holds = decision.uncertain and history.holds_uncertain
    return replace(decision, holds=holds or decision.holds)


def _choose(
    classification: Classification, history: EndpointHistory, unit: float
) -> Decision:
    if classification.outcome is Outcome.ACCEPTED:
        return Decision(Action.DELIVERED)
    if classification.is_unknown:
        return Decision(Action.ASK, "held", HOLD_PROBE, uncertain=True, holds=True)
    if classification.outcome is Outcome.CLIENT_REFUSED and classification.concerns_all:
        return Decision(Action.AGAIN, "held", hold_wait(history.failures))
    if classification.is_conflict and history.is_uncertain and history.sent == 1:
        return _conflicting(classification)
    if classification.outcome in {Outcome.REFUSED, Outcome.CLIENT_REFUSED}:
        decision = _refused(classification, history, unit)
        return replace(
            decision,
            uncertain=classification.maybe_taken,
            evidence=_kept(classification, history, decision),
            is_refused=True,
        )
    return _later(classification, history, unit)


def _kept(
    classification: Classification, history: EndpointHistory, decision: Decision
) -> int:
    """Return the evidence that goes with what becomes of the batch.

    Halves start over: a refusal may concern the other half. Where the answer names the
    order's fault, the refusal of the whole is evidence all the same.
    """
    if decision.action is not Action.SPLIT:
        return history.evidence
    return int(classification.outcome is Outcome.REFUSED)


def _conflicting(classification: Classification) -> Decision:
    """Take a refused repeat of a doubtful attempt for what that attempt came to."""
    if classification.known_already:
        return Decision(Action.DELIVERED)
    return Decision(Action.AGAIN, holds=True)


def _later(
    classification: Classification, history: EndpointHistory, unit: float
) -> Decision:
    """Try again; a batch that fails while others are accepted, in halves."""
    uncertain = classification.maybe_taken
    unclear = classification.outcome is Outcome.UNCLEAR
    holds = unclear and history.failures >= UNCLEAR_LIMIT
    wait = max(backoff.delay(history.failures + 1, unit), classification.retry_after)
    wait = HOLD_PROBE if holds else wait
    is_read = uncertain and not classification.concerns_all
    limit = STUBBORN_ATTEMPTS if is_read else AWAY_ATTEMPTS
    is_answered = uncertain or classification.puts_off
    stubborn = is_answered and history.attempt >= limit
    if stubborn and history.failures == 0 and history.sent > 1:
        return Decision(Action.SPLIT, "backing_off", wait, uncertain=uncertain)
    batch_wait = wait + backoff.delay(history.attempt, unit) if stubborn else None
    endpoint: Literal["held", "backing_off"] = "held" if holds else "backing_off"
    return Decision(Action.AGAIN, endpoint, wait, batch_wait, uncertain)


def _refused(
    classification: Classification, history: EndpointHistory, unit: float
) -> Decision:
    """Find the guilty order; blame one only while the endpoint takes others."""
    if classification.too_large and history.sent > 1:
        return Decision(Action.SPLIT)
    decision = _suspected(classification, history, unit)
    if decision.action is Action.REJECT or decision.is_spike:
        return decision
    if classification.outcome is Outcome.CLIENT_REFUSED:
        wait = hold_wait(history.failures)
        return replace(decision, endpoint="held", endpoint_wait=wait, batch_wait=None)
    if history.refusals > probe_budget(history.batch_size) and not history.is_proven:
        return replace(decision, endpoint="held", endpoint_wait=HOLD_PROBE)
    return decision


def _suspected(
    classification: Classification, history: EndpointHistory, unit: float
) -> Decision:
    """Choose by the evidence against the batch alone."""
    is_ambiguous = classification.outcome is Outcome.CLIENT_REFUSED
    wait = backoff.delay(history.attempt + 2, unit, cap=SUSPECT_CAP)
    if history.sent > 1:
        is_first = is_ambiguous and history.refused_at is None
        return Decision(Action.SUSPECT if is_first else Action.SPLIT)
    needed = REFUSALS_OF_ANYBODY if is_ambiguous else REFUSALS_OF_AN_ORDER
    if not history.is_proven or history.evidence < needed:
        return Decision(Action.SUSPECT, batch_wait=wait)
    if is_rejection_spike(history.recent_rejected + 1, history.recent_accepted):
        return Decision(Action.SUSPECT, batch_wait=SUSPECT_CAP, is_spike=True)
    return Decision(Action.REJECT)


def hold_wait(failures: int) -> timedelta:
    """Return how long a held feed waits for its next probe: longer each time."""
    return min(HOLD_PROBE, FIRST_PROBE * (1 << 2 * min(failures, 9)))


def is_rejection_spike(rejected: float, accepted: float) -> bool:
    """Whether too many orders are refused while others are accepted.

    A bad order is an accident; one in five is a contract or a mapping that broke.

    Args:
        rejected: Of the recent orders, with the one at hand.
        accepted: Of the recent orders.
    """
    share = rejected / (rejected + accepted)
    return rejected >= REJECTION_SPIKE_ORDERS and share > REJECTION_SPIKE_SHARE


def probe_budget(batch_size: int) -> int:
    """Refusals without an acceptance that a bisection may need, and some more."""
    return 2 * ceil(log2(max(2, batch_size))) + 8
