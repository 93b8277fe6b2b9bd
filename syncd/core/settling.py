"""What becomes of a batch after its attempt: the one table of reactions."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from math import ceil, log2

from syncd.core import backoff
from syncd.core.answer import Outcome, Verdict

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

EPIDEMIC_ORDERS = 5
EPIDEMIC_SHARE = 0.2
"""More rejected ones than this, among the recent, are no accident."""


class Step(Enum):
    """What becomes of the batch."""

    DELIVERED = "delivered"
    AGAIN = "again"  # pending; the endpoint is left alone for a while
    HOLD = "hold"  # pending; nothing is sent until a probe or a person helps
    SPLIT = "split"
    REJECT = "reject"
    SUSPECT = "suspect"  # pending, later: refused, but nothing proves the endpoint fine


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known besides the verdict.

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
    """The step, and how long to wait: for the endpoint, and for the batch itself.

    Attributes:
        step: What becomes of the batch.
        endpoint_wait: How long nothing is sent.
        batch_wait: How long the batch waits besides.
        uncertain: Some of its orders may have been taken.
        keeps: It is not sent again unless a person says so, whatever the step.
        doubts: The contract looks broken: until this batch is taken, nothing is sent.
    """

    step: Step
    endpoint_wait: timedelta = timedelta(0)
    batch_wait: timedelta | None = None
    uncertain: bool = False
    keeps: bool = False
    doubts: bool = False


def decide(verdict: Verdict, standing: Standing, unit: float) -> Decision:
    """Choose what to do; `unit` is a random number, 0 included, 1 excluded."""
    decision = _choose(verdict, standing, unit)
    return replace(decision, keeps=decision.uncertain and standing.holds_uncertain)


def _choose(verdict: Verdict, standing: Standing, unit: float) -> Decision:
    if verdict.outcome is Outcome.ACCEPTED:
        return Decision(Step.DELIVERED)
    if verdict.outcome is Outcome.CLIENT_REFUSED:
        return Decision(Step.HOLD, HOLD_PROBE)
    if verdict.outcome is Outcome.REFUSED:
        return _refused(verdict, standing, unit)
    return _later(verdict, standing, unit)


def _later(verdict: Verdict, standing: Standing, unit: float) -> Decision:
    uncertain = verdict.maybe_taken
    unclear = verdict.outcome is Outcome.UNCLEAR
    holds = unclear and standing.failures >= UNCLEAR_LIMIT
    wait = max(backoff.delay(standing.failures + 1, unit), verdict.retry_after)
    wait = HOLD_PROBE if holds else wait
    stubborn = uncertain and standing.attempt >= STUBBORN_ATTEMPTS
    batch_wait = wait + backoff.delay(standing.attempt, unit) if stubborn else None
    step = Step.HOLD if holds else Step.AGAIN
    return Decision(step, wait, batch_wait, uncertain)


def _refused(verdict: Verdict, standing: Standing, unit: float) -> Decision:
    """Find the guilty order; blame one only while the endpoint takes others."""
    if standing.sent > 1 and verdict.too_large:
        return Decision(Step.SPLIT)
    if standing.refusals > probe_budget(standing.batch_size):
        return Decision(Step.HOLD, HOLD_PROBE, uncertain=verdict.maybe_taken)
    if standing.sent > 1:
        return Decision(Step.SPLIT, uncertain=verdict.maybe_taken)
    if _is_proven(standing):
        if is_epidemic(standing.recent_rejected + 1, standing.recent_accepted):
            return Decision(Step.HOLD, HOLD_PROBE, doubts=True)
        return Decision(Step.REJECT)
    wait = backoff.delay(standing.attempt + 2, unit, cap=SUSPECT_CAP)
    return Decision(Step.SUSPECT, batch_wait=wait, uncertain=verdict.maybe_taken)


def _is_proven(standing: Standing) -> bool:
    """Whether the endpoint took another order since this one was first refused."""
    return (
        standing.refused_at is not None
        and standing.accepted_at is not None
        and standing.accepted_at > standing.refused_at
    )


def is_epidemic(rejected: float, accepted: float) -> bool:
    """Whether too many orders are refused while others are accepted.

    A bad order is an accident; one in five is a contract or a mapping that broke.

    Args:
        rejected: Of the recent orders, with the one at hand.
        accepted: Of the recent orders.
    """
    share = rejected / (rejected + accepted)
    return rejected >= EPIDEMIC_ORDERS and share > EPIDEMIC_SHARE


def probe_budget(batch_size: int) -> int:
    """Refusals without an acceptance that a bisection may need, and some more."""
    return 2 * ceil(log2(max(2, batch_size))) + 8
