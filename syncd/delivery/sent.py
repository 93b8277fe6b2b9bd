"""One request as it is sent, and the receipt of what came of it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from syncd.core.event import Event
from syncd.core.payload import encode
from syncd.core.response import Classification, NoResponse, Response
from syncd.ledger.claim import Claim, Receipt


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
