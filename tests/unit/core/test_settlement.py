"""What follows for a batch after an attempt."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.response import Classification, Outcome
from syncd.core.settlement import (
    HOLD_PROBE,
    REJECTION_SPIKE_ORDERS,
    STUBBORN_ATTEMPTS,
    UNCLEAR_LIMIT,
    Action,
    Decision,
    EndpointHistory,
    decide,
    is_rejection_spike,
    probe_budget,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(minutes=1)
ACCEPTED = Classification(Outcome.ACCEPTED)
REFUSED = Classification(Outcome.REFUSED, "HTTP 400 email")
TRANSIENT = Classification(Outcome.TRANSIENT, "HTTP 503")
UNCLEAR = Classification(Outcome.UNCLEAR, "no answer in time", maybe_taken=True)

FORBIDDEN = Classification(Outcome.CLIENT_REFUSED, "HTTP 403 blocked")
UNKNOWN = Classification(Outcome.UNCLEAR, "{}", maybe_taken=True, is_unknown=True)
CONFLICT = Classification(Outcome.REFUSED, "HTTP 409", is_conflict=True)
KNOWN = replace(CONFLICT, known_already=True)
BUSY = Classification(Outcome.TRANSIENT, "HTTP 500", maybe_taken=True)
PROVEN = EndpointHistory(1, 2, refused_at=EARLIER, accepted_at=NOW, batch_refusals=1)
SPIKE = replace(PROVEN, recent_rejected=REJECTION_SPIKE_ORDERS, recent_accepted=10)
TWICE = replace(PROVEN, batch_refusals=2)

CASES = [
    ("accepted", ACCEPTED, EndpointHistory(100, 1), Action.DELIVERED, "available"),
    ("nobody explained it", UNKNOWN, EndpointHistory(9, 1), Action.ASK, "held"),
    ("bad key", FORBIDDEN, EndpointHistory(100, 1), Action.SUSPECT, "held"),
    (
        "bad key, and nobody else is left",
        FORBIDDEN,
        EndpointHistory(100, 2, refused_at=NOW),
        Action.SPLIT,
        "held",
    ),
    ("refused like a key, twice", FORBIDDEN, PROVEN, Action.SUSPECT, "held"),
    ("refused like a key, three times", FORBIDDEN, TWICE, Action.REJECT, "available"),
    (
        "refused like a key, many of them",
        FORBIDDEN,
        replace(SPIKE, batch_refusals=2),
        Action.SUSPECT,
        "available",
    ),
    (
        "a certificate that is refused",
        replace(FORBIDDEN, concerns_all=True),
        TWICE,
        Action.AGAIN,
        "held",
    ),
    ("server trouble", TRANSIENT, EndpointHistory(100, 1), Action.AGAIN, "backing_off"),
    (
        "long trouble",
        TRANSIENT,
        EndpointHistory(100, 99, failures=99),
        Action.AGAIN,
        "backing_off",
    ),
    (
        "trouble with this batch alone",
        BUSY,
        EndpointHistory(100, STUBBORN_ATTEMPTS),
        Action.SPLIT,
        "backing_off",
    ),
    (
        "trouble with this order alone",
        BUSY,
        EndpointHistory(1, STUBBORN_ATTEMPTS),
        Action.AGAIN,
        "backing_off",
    ),
    ("no answer", UNCLEAR, EndpointHistory(100, 1), Action.AGAIN, "backing_off"),
    (
        "never understood",
        UNCLEAR,
        EndpointHistory(9, 6, failures=UNCLEAR_LIMIT),
        Action.AGAIN,
        "held",
    ),
    (
        "list refused",
        REFUSED,
        EndpointHistory(100, 1, refusals=1),
        Action.SPLIT,
        "available",
    ),
    (
        "one refused, nothing proven",
        REFUSED,
        EndpointHistory(1, 1, refusals=1),
        Action.SUSPECT,
        "available",
    ),
    (
        "one refused, accepted only before",
        REFUSED,
        EndpointHistory(1, 2, refusals=1, refused_at=NOW, accepted_at=EARLIER),
        Action.SUSPECT,
        "available",
    ),
    (
        "one refused, accepted at the moment of its refusal",
        REFUSED,
        replace(PROVEN, refused_at=NOW),
        Action.SUSPECT,
        "available",
    ),
    ("one refused, others accepted since", REFUSED, PROVEN, Action.REJECT, "available"),
    ("one refused, as too many", REFUSED, SPIKE, Action.SUSPECT, "available"),
    (
        "everything refused",
        REFUSED,
        EndpointHistory(2, 1, refusals=probe_budget(100) + 1),
        Action.SPLIT,
        "held",
    ),
    (
        "too large",
        Classification(Outcome.REFUSED, too_large=True),
        EndpointHistory(100, 1, refusals=999),
        Action.SPLIT,
        "available",
    ),
    (
        "known already, after a doubtful attempt",
        KNOWN,
        EndpointHistory(1, 2, is_uncertain=True),
        Action.DELIVERED,
        "available",
    ),
    (
        "one of a list is known already",
        KNOWN,
        EndpointHistory(3, 2, is_uncertain=True),
        Action.SPLIT,
        "available",
    ),
    (
        "in conflict, after a doubtful attempt",
        CONFLICT,
        EndpointHistory(1, 2, is_uncertain=True),
        Action.AGAIN,
        "available",
    ),
    (
        "known already, at first",
        KNOWN,
        EndpointHistory(1, 1),
        Action.SUSPECT,
        "available",
    ),
    ("known already, and others are not", KNOWN, PROVEN, Action.REJECT, "available"),
]


@pytest.mark.parametrize(
    ("classification", "history", "action", "endpoint"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_each_classification_has_its_action(
    classification: Classification,
    history: EndpointHistory,
    action: Action,
    endpoint: str,
) -> None:
    """The cases are the table of reactions."""
    decision = decide(classification, history, 0.5)
    assert (decision.action, decision.endpoint) == (action, endpoint)


def test_too_many_rejections_are_a_spike() -> None:
    """The order waits, the others are sent; a person is notified."""
    assert decide(REFUSED, SPIKE, 0.5).is_spike
    assert decide(FORBIDDEN, replace(SPIKE, batch_refusals=2), 0.5).is_spike
    assert not decide(REFUSED, PROVEN, 0.5).is_spike


def test_an_undecidable_outcome_waits_for_a_person() -> None:
    """The setting for uncertain batches does not matter."""
    unknown = decide(UNKNOWN, EndpointHistory(3, 1), 0.5)
    assert (unknown.holds, unknown.uncertain) == (True, True)
    conflicting = decide(CONFLICT, EndpointHistory(1, 2, is_uncertain=True), 0.5)
    assert (conflicting.holds, conflicting.uncertain) == (True, False)


def test_a_single_order_refused_like_a_wrong_key_waits_with_the_hold() -> None:
    """It is sent again with the probe, not some time after it."""
    decision = decide(FORBIDDEN, EndpointHistory(1, 1), 0.5)
    assert (decision.action, decision.endpoint) == (Action.SUSPECT, "held")
    assert decision.batch_wait is None
    assert decision.endpoint_wait is not None


def test_evidence_counts_refusals_with_acceptances_in_between() -> None:
    """Consecutive ones count once; a refused half starts over."""
    alone = EndpointHistory(1, 1)
    assert decide(FORBIDDEN, alone, 0.5).evidence == 1
    again = replace(alone, batch_refusals=1, refused_at=NOW)
    assert decide(FORBIDDEN, again, 0.5).evidence == 1
    assert decide(FORBIDDEN, PROVEN, 0.5).evidence == 2
    assert decide(FORBIDDEN, replace(PROVEN, sent=4), 0.5).evidence == 0
    assert decide(REFUSED, replace(PROVEN, sent=4), 0.5).evidence == 1
    assert not decide(BUSY, PROVEN, 0.5).is_refused


def test_an_attempt_that_may_be_accepted_is_uncertain_in_every_case() -> None:
    """No possible repeat is uncounted."""
    partial = Classification(Outcome.REFUSED, maybe_taken=True)
    assert decide(UNCLEAR, EndpointHistory(5, 1), 0.5).uncertain
    assert decide(UNCLEAR, EndpointHistory(5, 9, failures=9), 0.5).uncertain
    assert decide(partial, EndpointHistory(5, 1), 0.5).uncertain
    assert decide(partial, EndpointHistory(1, 1), 0.5).uncertain
    assert not decide(TRANSIENT, EndpointHistory(5, 1), 0.5).uncertain


def test_retry_after_is_a_lower_bound() -> None:
    """The drawn wait may be shorter."""
    throttled = Classification(Outcome.TRANSIENT, retry_after=timedelta(seconds=30))
    assert decide(throttled, EndpointHistory(5, 1), 0.0).endpoint_wait == timedelta(
        seconds=30
    )


def test_a_batch_that_keeps_failing_lets_others_go_first() -> None:
    """Only after some attempts; before that, order is kept. Also during a hold."""
    first = decide(UNCLEAR, EndpointHistory(5, 1), 0.5)
    assert first.batch_wait is None
    for failures in (STUBBORN_ATTEMPTS - 1, UNCLEAR_LIMIT):
        later = decide(UNCLEAR, EndpointHistory(5, STUBBORN_ATTEMPTS, failures), 0.5)
        assert later.batch_wait is not None
        assert later.batch_wait > later.endpoint_wait


def test_a_batch_that_was_never_read_keeps_its_place() -> None:
    """The batch cannot be at fault, however long the outage lasts."""
    assert (
        decide(TRANSIENT, EndpointHistory(5, 99, failures=99), 0.5).batch_wait is None
    )


def test_a_hold_is_probed_soon_and_then_on_a_slow_schedule() -> None:
    """It ends at five minutes; the suspect is due as soon as the hold ends."""
    waits = []
    for failures in (0, 1, 2, 3, 4, 5, 99):
        held = decide(FORBIDDEN, EndpointHistory(5, 1, failures), 0.5)
        assert held.batch_wait is None
        waits.append(held.endpoint_wait.total_seconds())
    assert waits == [1, 4, 16, 64, 256, 300, 300]
    assert timedelta(minutes=5) == HOLD_PROBE


def test_the_probe_budget_covers_a_bisection() -> None:
    """Finding one order among n takes about log2(n) refusals, on either side."""
    assert [probe_budget(n) for n in (1, 2, 100, 1000)] == [10, 10, 22, 28]


@pytest.mark.parametrize(
    ("rejected", "accepted", "is_one"),
    [
        (1, 0, False),
        (4, 0, False),
        (5, 0, True),
        (5, 19, True),
        (5, 20, False),
        (10, 40, False),
        (11, 40, True),
        (49, 1, True),
    ],
)
def test_a_rejection_spike_has_a_number_and_a_share(
    rejected: float, accepted: float, *, is_one: bool
) -> None:
    """Five or more, and over a fifth of the recent orders."""
    assert is_rejection_spike(rejected, accepted) is is_one


@given(rejected=st.floats(1, 50), accepted=st.floats(0, 50), more=st.floats(0, 50))
def test_more_accepted_orders_never_raise_the_alarm(
    rejected: float, accepted: float, more: float
) -> None:
    """More rejected ones never end it."""
    assert is_rejection_spike(rejected, accepted) or not is_rejection_spike(
        rejected, accepted + more
    )
    assert not is_rejection_spike(rejected, accepted) or is_rejection_spike(
        rejected + more, accepted
    )


UNCERTAIN = [
    (UNCLEAR, EndpointHistory(5, 1, holds_uncertain=True)),
    (UNCLEAR, EndpointHistory(5, 9, failures=9, holds_uncertain=True)),
    (
        Classification(Outcome.REFUSED, maybe_taken=True),
        EndpointHistory(5, 1, holds_uncertain=True),
    ),
    (
        Classification(Outcome.TRANSIENT, maybe_taken=True),
        EndpointHistory(5, 1, holds_uncertain=True),
    ),
]


@pytest.mark.parametrize(("classification", "history"), UNCERTAIN)
def test_a_batch_that_may_be_accepted_waits_for_a_person_if_configured(
    classification: Classification, history: EndpointHistory
) -> None:
    """After any step; one that was certainly not accepted never waits."""
    assert decide(classification, history, 0.5).holds
    assert not decide(
        classification, replace(history, holds_uncertain=False), 0.5
    ).holds
    assert not decide(replace(classification, maybe_taken=False), history, 0.5).holds


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


AWAY = Classification(Outcome.TRANSIENT, concerns_all=True, puts_off=True)
MAYBE_AWAY = replace(AWAY, maybe_taken=True)
LARGE = Classification(Outcome.REFUSED, too_large=True)
BUDGET = probe_budget(100)

WHOLE = {
    "accepted": (ACCEPTED, EndpointHistory(3, 1), Decision(Action.DELIVERED)),
    "nobody explained it": (
        UNKNOWN,
        EndpointHistory(3, 1),
        Decision(Action.ASK, "held", HOLD_PROBE, uncertain=True, holds=True),
    ),
    "a certificate, again": (
        replace(FORBIDDEN, concerns_all=True),
        EndpointHistory(3, 1, 2),
        Decision(Action.AGAIN, "held", seconds(16)),
    ),
    "taken already": (
        KNOWN,
        EndpointHistory(1, 2, is_uncertain=True),
        Decision(Action.DELIVERED),
    ),
    "perhaps taken already": (
        CONFLICT,
        EndpointHistory(1, 2, is_uncertain=True),
        Decision(Action.AGAIN, holds=True),
    ),
    "busy": (
        BUSY,
        EndpointHistory(5, 1),
        Decision(Action.AGAIN, "backing_off", seconds(0.5), uncertain=True),
    ),
    "busy, one attempt before it is stubborn": (
        BUSY,
        EndpointHistory(5, 4),
        Decision(Action.AGAIN, "backing_off", seconds(0.5), uncertain=True),
    ),
    "busy for a pair alone": (
        BUSY,
        EndpointHistory(2, 5),
        Decision(Action.SPLIT, "backing_off", seconds(0.5), uncertain=True),
    ),
    "busy for an order alone": (
        BUSY,
        EndpointHistory(1, 5),
        Decision(
            Action.AGAIN, "backing_off", seconds(0.5), seconds(8.5), uncertain=True
        ),
    ),
    "busy for others too": (
        BUSY,
        EndpointHistory(2, 5, 1),
        Decision(Action.AGAIN, "backing_off", seconds(1), seconds(9), uncertain=True),
    ),
    "away, and not for this batch": (
        AWAY,
        EndpointHistory(5, 19),
        Decision(Action.AGAIN, "backing_off", seconds(0.5)),
    ),
    "away for this batch": (
        AWAY,
        EndpointHistory(5, 20),
        Decision(Action.SPLIT, "backing_off", seconds(0.5)),
    ),
    "away for this order": (
        AWAY,
        EndpointHistory(1, 20),
        Decision(Action.AGAIN, "backing_off", seconds(0.5), seconds(150.5)),
    ),
    "perhaps taken by one that is away": (
        MAYBE_AWAY,
        EndpointHistory(5, 19),
        Decision(Action.AGAIN, "backing_off", seconds(0.5), uncertain=True),
    ),
    "nobody answers": (
        TRANSIENT,
        EndpointHistory(5, 99),
        Decision(Action.AGAIN, "backing_off", seconds(0.5)),
    ),
    "asked to wait longer than drawn": (
        replace(AWAY, retry_after=seconds(7)),
        EndpointHistory(5, 1),
        Decision(Action.AGAIN, "backing_off", seconds(7)),
    ),
    "asked to wait less than drawn": (
        replace(AWAY, retry_after=seconds(7)),
        EndpointHistory(5, 1, 4),
        Decision(Action.AGAIN, "backing_off", seconds(8)),
    ),
    "unclear, not often enough to hold": (
        UNCLEAR,
        EndpointHistory(5, 1, 4),
        Decision(Action.AGAIN, "backing_off", seconds(8), uncertain=True),
    ),
    "unclear, too often": (
        UNCLEAR,
        EndpointHistory(5, 1, 5),
        Decision(Action.AGAIN, "held", HOLD_PROBE, uncertain=True),
    ),
    "busy, however often": (
        BUSY,
        EndpointHistory(5, 1, 99),
        Decision(Action.AGAIN, "backing_off", seconds(150), uncertain=True),
    ),
    "a pair is too large": (
        LARGE,
        EndpointHistory(2, 1, refusals=BUDGET + 1),
        Decision(Action.SPLIT, is_refused=True, evidence=1),
    ),
    "an order is too large": (
        LARGE,
        EndpointHistory(1, 1),
        Decision(Action.SUSPECT, batch_wait=seconds(2), is_refused=True, evidence=1),
    ),
    "a list is refused": (
        REFUSED,
        EndpointHistory(2, 1),
        Decision(Action.SPLIT, is_refused=True, evidence=1),
    ),
    "refused with the last probe of the budget": (
        REFUSED,
        EndpointHistory(1, 2, refusals=BUDGET),
        Decision(Action.SUSPECT, batch_wait=seconds(4), is_refused=True, evidence=1),
    ),
    "refused beyond the budget": (
        REFUSED,
        EndpointHistory(1, 2, refusals=BUDGET + 1),
        Decision(
            Action.SUSPECT,
            "held",
            HOLD_PROBE,
            seconds(4),
            is_refused=True,
            evidence=1,
        ),
    ),
    "refused beyond the budget, others accepted since": (
        REFUSED,
        replace(PROVEN, batch_refusals=0, refusals=BUDGET + 1),
        Decision(Action.SUSPECT, batch_wait=seconds(4), is_refused=True, evidence=1),
    ),
    "a suspect waits a quarter of an hour at most": (
        REFUSED,
        EndpointHistory(1, 30),
        Decision(Action.SUSPECT, batch_wait=seconds(450), is_refused=True, evidence=1),
    ),
    "rejected": (
        REFUSED,
        PROVEN,
        Decision(Action.REJECT, is_refused=True, evidence=2),
    ),
    "rejected, as the fourth of the recent": (
        REFUSED,
        replace(SPIKE, recent_rejected=3),
        Decision(Action.REJECT, is_refused=True, evidence=2),
    ),
    "one of too many": (
        REFUSED,
        replace(SPIKE, recent_rejected=4),
        Decision(
            Action.SUSPECT,
            batch_wait=seconds(900),
            is_refused=True,
            evidence=2,
            is_spike=True,
        ),
    ),
    "one of too many, beyond the budget": (
        REFUSED,
        replace(SPIKE, refusals=BUDGET + 1),
        Decision(
            Action.SUSPECT,
            batch_wait=seconds(900),
            is_refused=True,
            evidence=2,
            is_spike=True,
        ),
    ),
    "refused as by a wrong key": (
        FORBIDDEN,
        EndpointHistory(2, 1),
        Decision(Action.SUSPECT, "held", seconds(1), is_refused=True, evidence=1),
    ),
    "refused as by a wrong key, again": (
        FORBIDDEN,
        EndpointHistory(2, 2, 1, refused_at=EARLIER, batch_refusals=1),
        Decision(Action.SPLIT, "held", seconds(4), is_refused=True),
    ),
}


@pytest.mark.parametrize(
    ("classification", "history", "decision"), WHOLE.values(), ids=WHOLE
)
def test_a_decision_is_complete(
    classification: Classification, history: EndpointHistory, decision: Decision
) -> None:
    """It has the action, all waits, the evidence, and the reason."""
    assert decide(classification, history, 0.5) == decision
