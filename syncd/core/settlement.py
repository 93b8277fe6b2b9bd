"""What becomes of a batch after its attempt: the one table of reactions."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from math import ceil, log2

from syncd.core import backoff
from syncd.core.response import Classification, Outcome

HOLD_PROBE = timedelta(minutes=5)
"""How often one batch is tried while sending is held."""

STUBBORN_ATTEMPTS = 5
"""Attempts after which a batch lets the ones behind it go first, unless it was never
read: then it cannot be what is at fault, and the order of confirmation is kept."""

UNCLEAR_LIMIT = 5
"""Consecutive failures after which an answer nobody understands holds the feed."""

SUSPECT_CAP = timedelta(minutes=15)

RECENT_ORDERS = 50
"""About so many of the last orders tell whether too many are refused."""

REJECTION_SPIKE_ORDERS = 5
REJECTION_SPIKE_SHARE = 0.2
"""More rejected ones than this, among the recent, are no accident."""


class Action(Enum):
    """What becomes of the batch."""

    DELIVERED = "delivered"
    AGAIN = "again"  # pending; the endpoint is left alone for a while
    HOLD = "hold"  # pending; nothing is sent until a probe or a person helps
    SPLIT = "split"
    REJECT = "reject"
    SUSPECT = "suspect"  # pending, later: refused, but nothing proves the endpoint fine


@dataclass(frozen=True, slots=True)
class EndpointHistory:
    """What is known besides the classification.

    Attributes:
        sent: Events in the attempt.
        attempt: Its number, from 1.
        failures: The endpoint's consecutive failures before this one.
        refusals: First-time refusals since the endpoint last accepted something,
            this one included.
        refused_at: When the batch was refused first, before this attempt.
        accepted_at: When the endpoint last accepted something.
        recent_accepted: Recent orders that the endpoint accepted, older ones fading.
        recent_rejected: Recent orders that were rejected, likewise.
        batch_size: Orders that a batch may hold.
        holds_uncertain: What may have been taken is not sent again unasked.
    """

    sent: int
    attempt: int
    failures: int = 0
    refusals: int = 0
    refused_at: datetime | None = None
    accepted_at: datetime | None = None
    recent_accepted: float = 0.0
    recent_rejected: float = 0.0
    batch_size: int = 100
    holds_uncertain: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The action, and how long to wait: for the endpoint, and for the batch itself.

    Attributes:
        action: What becomes of the batch.
        endpoint_wait: How long nothing is sent.
        batch_wait: How long the batch waits besides.
        uncertain: Some of its orders may have been taken.
        holds: It is not sent again unless a person says so, whatever the action.
        suspects_contract: The contract looks broken: nothing is sent until this batch
            is taken.
    """

    action: Action
    endpoint_wait: timedelta = timedelta(0)
    batch_wait: timedelta | None = None
    uncertain: bool = False
    holds: bool = False
    suspects_contract: bool = False


def decide(
    classification: Classification, history: EndpointHistory, unit: float
) -> Decision:
    """Choose what to do; `unit` is a random number, 0 included, 1 excluded."""
    decision = _choose(classification, history, unit)
    return replace(decision, holds=decision.uncertain and history.holds_uncertain)


def _choose(
    classification: Classification, history: EndpointHistory, unit: float
) -> Decision:
    if classification.outcome is Outcome.ACCEPTED:
        return Decision(Action.DELIVERED)
    if classification.outcome is Outcome.CLIENT_REFUSED:
        return Decision(Action.HOLD, HOLD_PROBE)
    if classification.outcome is Outcome.REFUSED:
        return _refused(classification, history, unit)
    return _later(classification, history, unit)


def _later(
    classification: Classification, history: EndpointHistory, unit: float
) -> Decision:
    uncertain = classification.maybe_taken
    unclear = classification.outcome is Outcome.UNCLEAR
    holds = unclear and history.failures >= UNCLEAR_LIMIT
    wait = max(backoff.delay(history.failures + 1, unit), classification.retry_after)
    wait = HOLD_PROBE if holds else wait
    stubborn = uncertain and history.attempt >= STUBBORN_ATTEMPTS
    batch_wait = wait + backoff.delay(history.attempt, unit) if stubborn else None
    action = Action.HOLD if holds else Action.AGAIN
    return Decision(action, wait, batch_wait, uncertain)


def _refused(
    classification: Classification, history: EndpointHistory, unit: float
) -> Decision:
    """Find the guilty order; blame one only while the endpoint takes others."""
    if history.sent > 1 and classification.too_large:
        return Decision(Action.SPLIT)
    if history.refusals > probe_budget(history.batch_size):
        return Decision(Action.HOLD, HOLD_PROBE, uncertain=classification.maybe_taken)
    if history.sent > 1:
        return Decision(Action.SPLIT, uncertain=classification.maybe_taken)
    if _is_proven(history):
        if is_rejection_spike(history.recent_rejected + 1, history.recent_accepted):
            return Decision(Action.HOLD, HOLD_PROBE, suspects_contract=True)
        return Decision(Action.REJECT)
    wait = backoff.delay(history.attempt + 2, unit, cap=SUSPECT_CAP)
    return Decision(
        Action.SUSPECT, batch_wait=wait, uncertain=classification.maybe_taken
    )


def _is_proven(history: EndpointHistory) -> bool:
    """Whether the endpoint took another order since this one was first refused."""
    return (
        history.refused_at is not None
        and history.accepted_at is not None
        and history.accepted_at > history.refused_at
    )


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
