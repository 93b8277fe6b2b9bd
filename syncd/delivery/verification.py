"""Trying the real account: which form of body it takes, and whether it takes lists.

The vendor does not document it. Test purchases, marked as such, find it out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from syncd.config.settings import Settings
from syncd.core.event import Event
from syncd.core.payload import encode
from syncd.core.redaction import Redactor
from syncd.core.response import Classification, Outcome, Response, classify, counted
from syncd.delivery.answers import Answers
from syncd.delivery.squeezely import Squeezely
from syncd.ledger.account import AccountCapabilities, Payload

AMOUNT = 0.01
_NOT_THE_FORM = frozenset({401, 403, 404, 429})
"""Refusals for which another form of the body is no cure."""


@dataclass(frozen=True, slots=True)
class TestRequest:
    """One request with test purchases, and what came of it.

    Attributes:
        counted: Events that the answer counts as accepted; None without a count.
    """

    title: str
    payload: Payload
    orderids: Sequence[str]
    status: int | None
    classification: Classification
    counted: int | None

    @property
    def is_accepted(self) -> bool:
        """Whether status and body confirm that the events were accepted."""
        return self.classification.outcome is Outcome.ACCEPTED


class Verification:
    """Sends test purchases to the configured account.

    Args:
        settings: Whom to send to, and in which form first.
        answers: What its answers mean; unknown ones are recorded.
        customer: Email address of the test's customer.
        product: Id of a product, preferably one that Squeezely has.
        now: When the test purchases are made; aware.
    """

    def __init__(
        self,
        settings: Settings,
        api: Squeezely,
        answers: Answers,
        *,
        customer: str,
        product: str,
        now: datetime,
    ) -> None:
        self._configured: Payload = settings.squeezely.payload
        self._api = api
        self._answers = answers
        self._secret = settings.api_key.get_secret_value()
        self._customer = customer
        self._product = product
        self._now = now
        self._made = 0

    def run(self) -> Iterator[TestRequest]:
        """Send one purchase alone, in the other form if that is refused, then two."""
        other: Payload = "single" if self._configured == "events" else "events"
        trial = self._send("one purchase", self._configured, 1)
        yield trial
        if not trial.is_accepted and _may_be_the_form(trial):
            trial = self._send("one purchase in the other form", other, 1)
            yield trial
        if trial.is_accepted and trial.payload == "events":
            yield self._send("two purchases in one list", "events", 2)

    def _send(self, title: str, payload: Payload, count: int) -> TestRequest:
        purchases = [Event.of(self._event()) for _ in range(count)]
        answer = self._api.post(encode([p.body for p in purchases], payload))
        redactor = Redactor((p.event for p in purchases), [self._secret])
        read = classify(answer, count, self._now)
        classification, shape = self._answers.explain(read, answer, count, redactor)
        if shape is not None:
            self._answers.note(shape, classification.reason)
        orderids = [purchase.orderid for purchase in purchases]
        answered = answer if isinstance(answer, Response) else None
        return TestRequest(
            title,
            payload,
            orderids,
            answered.status if answered else None,
            classification,
            counted(answered) if answered else None,
        )

    def _event(self) -> dict[str, object]:
        self._made += 1
        product = {
            "id": self._product,
            "name": "syncd test purchase",
            "price": AMOUNT,
            "quantity": 1,
        }
        return {
            "event": "Purchase",
            "email": self._customer,
            "orderid": f"SYNCD-TEST-{self._now:%Y%m%d-%H%M%S}-{self._made}",
            "timestamp": self._now.isoformat(timespec="seconds"),
            "totalvalue": AMOUNT,
            "products": [product],
        }


def _may_be_the_form(trial: TestRequest) -> bool:
    refused = trial.classification.outcome in {Outcome.REFUSED, Outcome.CLIENT_REFUSED}
    return refused and trial.status not in _NOT_THE_FORM


def conclude(trials: Sequence[TestRequest]) -> AccountCapabilities | None:
    """Return what trials have shown; None when no form was accepted."""
    accepted = [trial for trial in trials if trial.is_accepted]
    if not accepted:
        return None
    payload = accepted[-1].payload
    listed = [trial for trial in trials if len(trial.orderids) > 1]
    if payload == "single" or not listed:
        return AccountCapabilities(payload, None, "answer")
    trial = listed[-1]
    if not trial.is_accepted:
        return AccountCapabilities(payload, accepts_lists=False, evidence="answer")
    whole = True if trial.counted == len(trial.orderids) else None
    return AccountCapabilities(payload, whole, "answer")
