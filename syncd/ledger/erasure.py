"""Erasure: what could name a person goes, and nothing ever sends the order again.

The order's row stays as `erased`, also for an order that the ledger never
had: captures, reconciliation and backfills pass over it (ADR-0013).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from syncd.core.command_errors import OrderUnknownError
from syncd.core.errors import UNREADABLE, SlowStatementError
from syncd.ledger.batches import Ledger
from syncd.ledger.order_lookup import find_key
from syncd.postgres.statements import query
from syncd.source.orders import Source

Sent = Literal["never", "perhaps", "now", "yes"]

_STATES: dict[Sent, str] = {
    "never": "it was never sent",
    "perhaps": "it may have been sent",
    "now": "it was being sent",
    "yes": "it had been sent",
}


@dataclass(frozen=True, slots=True)
class OrderTrace:
    """What syncd has of an order.

    Attributes:
        state: Where it stands; None: the ledger does not have it.
        sent: Whether it reached Squeezely.
        number: Its public number, if an exception keeps it.
    """

    key: str
    state: str | None
    sent: Sent
    number: str | None

    @property
    def reason(self) -> str:
        """What stays in the ledger."""
        return f"erased by hand: {_STATES[self.sent]}"


class Erasure:
    """Finds and erases orders of one feed."""

    def __init__(self, source: Source, ledger: Ledger) -> None:
        self._source = source
        self._ledger = ledger

    def find(self, targets: Sequence[str]) -> list[str]:
        """Find the keys of the orders meant, by key, public number or address; sorted.

        Raises:
            OrderUnknownError: One of them means no order.
            OrderAmbiguousError: One of them means more than one.
            SlowStatementError: The view cannot be searched in the time allowed.
        """
        try:
            return sorted({key for each in targets for key in self._keys(each)})
        except SlowStatementError as error:
            raise SlowStatementError(
                "the purchases view cannot be searched in the time that the role has",
                "Name the orders by key, or give the shop's table an index for it.",
            ) from error

    def _keys(self, target: str) -> list[str]:
        return self._of_email(target) if "@" in target else self._of_order(target)

    def _of_email(self, email: str) -> list[str]:
        address = email.strip().lower()
        hashed = sha256(address.encode()).hexdigest()
        if keys := self._source.of_email([address, hashed]):
            return keys
        raise OrderUnknownError(
            "the purchases view has no order of that address",
            "If the shop has erased it already, name the orders by key.",
        )

    def _of_order(self, order: str) -> list[str]:
        ledger = self._ledger
        if key := find_key(self._source, ledger.database, ledger.feed_id, order):
            return [key]
        raise OrderUnknownError(
            f"no order is known as {order!r}",
            "Name it by the order_key of the purchases view, "
            "or the person by e-mail address.",
        )

    def traces(self, keys: Sequence[str]) -> list[OrderTrace]:
        """Return what the ledger has of some orders, in their order."""
        standings = self._ledger.database.rows(
            _Standing, query("standings"), feed=self._ledger.feed_id, keys=list(keys)
        )
        return [standing.trace() for standing in standings]

    def erase(self, keys: Sequence[str]) -> list[OrderTrace]:
        """Erase orders; return what they were before.

        Nothing is admitted, claimed or settled of them meanwhile, so that one that was
        not being sent then is never sent.
        """
        database, ours = self._ledger.database, {"feed": self._ledger.feed_id}
        numbers = self._numbers(keys)
        with database.transaction():
            database.run(query("lock_watermark"), durable=True, **ours)
            self.hold_batches(keys)
            traces = self.traces(keys)
            numbers |= {t.key: t.number for t in traces if t.number}
            database.run(
                query("scrub"),
                **ours,
                keys=list(keys),
                numbers=list(numbers.values()),
                all_known=len(numbers) == len(keys),
            )
            known = [trace for trace in traces if trace.state]
            database.run(
                query("erase"),
                **ours,
                keys=[trace.key for trace in known],
                reasons=[trace.reason for trace in known],
            )
            unknown = [trace for trace in traces if not trace.state]
            if unknown:
                reason = unknown[0].reason
                new = [trace.key for trace in unknown]
                database.run(
                    query("insert_tombstones"), **ours, keys=new, reason=reason
                )
        return traces

    def hold_batches(self, keys: Sequence[str]) -> None:
        """Lock the batches of the orders, also those that they move to meanwhile."""
        held: list[int] | None = None
        while True:
            locked = self._ledger.database.values(
                int, query("lock_batches"), feed=self._ledger.feed_id, keys=list(keys)
            )
            if locked == held:
                return
            held = locked

    def _numbers(self, keys: Sequence[str]) -> dict[str, str]:
        """Read the public numbers of orders, as far as the view still has them."""
        numbers = {}
        for key in keys:
            try:
                row = self._source.read([key]).get(key, {})
            except UNREADABLE:
                continue
            if row.get("orderid") is not None:
                numbers[key] = str(row["orderid"])
        return numbers


@dataclass(frozen=True, slots=True)
class _Standing:
    """Where an order stands, and its batch; None: the ledger does not have it."""

    order_key: str
    state: str | None
    batch: str | None
    is_uncertain: bool | None
    number: str | None
    reason: str | None

    def trace(self) -> OrderTrace:
        return OrderTrace(self.order_key, self.state, self._sent(), self.number)

    def _sent(self) -> Sent:
        if self.state == "sending":
            return "now"
        if self.state == "delivered":
            return "yes"
        if self.state != "erased":
            return "perhaps" if self.is_uncertain or self.state == "held" else "never"
        stored = str(self.reason).partition(": ")[2]
        sent: Sent = next(s for s, text in _STATES.items() if text == stored)
        if sent == "now" and self.batch != "sending":
            return "yes" if self.batch == "delivered" else "perhaps"
        return sent
