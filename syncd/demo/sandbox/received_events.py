"""What was really received, by orderid: the evidence for tests and operators.

Invariant: an event is in the totals and under its orderid, or in neither.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from syncd.demo.sandbox.contract import AMSTERDAM, Event, in_amsterdam, shown_time


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts since the start.

    Attributes:
        requests: POSTs to the track endpoint, whatever became of them.
        events: Back-end events really accepted.
        orderids: Distinct orderids among these.
        repeats: Back-end events beyond the first of their orderid.
        front_end: Front-end events accepted.
        inserted: Orderids that the front end had not made before.
        verified: Orderids that it had.
        merged: Purchases seen from both sides.
    """

    requests: int = 0
    events: int = 0
    orderids: int = 0
    repeats: int = 0
    front_end: int = 0
    inserted: int = 0
    verified: int = 0
    merged: int = 0


@dataclass(slots=True)
class Purchase:
    """One purchase, as Squeezely's own screen would show it.

    Attributes:
        created_at: "YYYY-MM-DD HH:mm:ss" in Amsterdam, from the event's `timestamp`
            (the back end's wins, then the latest); without any, the receipt.
        received_at: First receipt, from either side.
        posted_at: First receipt from the back end.
        posts: Back-end events accepted for it.
        from_front_end: The front end has sent it.
        api_inserted: The front end had not made it when the API first sent it.
        body: Last event, the back end's before the front end's; None once dropped.

    Source: SQUEEZELY.md 2.3 and 5.3.
    """

    orderid: str
    created_at: str
    received_at: datetime
    posted_at: datetime | None = None
    posts: int = 0
    from_front_end: bool = False
    api_inserted: bool = False
    body: Event | None = None

    @property
    def api_verified(self) -> bool:
        """Return whether the API confirmed one that the front end had made."""
        return self.posts > 0 and not self.api_inserted

    @property
    def merged(self) -> bool:
        """Return whether both sides have sent it."""
        return self.from_front_end and self.posts > 0

    @property
    def products(self) -> list[dict[str, Any]]:
        """Products of the last body that are objects; empty once it is dropped."""
        products = (self.body or {}).get("products")
        lines = products if isinstance(products, list) else []
        return [line for line in lines if isinstance(line, dict)]

    @property
    def total(self) -> str | None:
        """`totalvalue`, else the sum of price times quantity, in two decimals.

        Source: SQUEEZELY.md 2.1.
        """
        stated = _number((self.body or {}).get("totalvalue"))
        if stated is not None:
            return f"{stated:.2f}"
        amounts = [
            price * quantity
            for line in self.products
            if (price := _number(line.get("price"))) is not None
            and (quantity := _number(line.get("quantity", 1))) is not None
        ]
        return f"{sum(amounts, Decimal(0)):.2f}" if amounts else None

    def row(self) -> dict[str, object]:
        """Show it without its body: text and numbers only, whatever the body holds."""
        holders = [self.body or {}, *self.products]
        languages = (_text(holder.get("language")) for holder in holders)
        return {
            "orderid": self.orderid,
            "created_at": self.created_at,
            "received_at": self.received_at.astimezone(AMSTERDAM).isoformat(),
            "api_inserted": self.api_inserted,
            "api_verified": self.api_verified,
            "merged": self.merged,
            "posts": self.posts,
            "body_kept": self.body is not None,
            "products": [_line(product) for product in self.products],
            "total": self.total,
            "currency": _text((self.body or {}).get("currency")),
            "languages": list(dict.fromkeys(filter(None, languages))),
        }


class ReceivedEvents:
    """Everything received, by orderid; safe to use from any thread.

    Args:
        keep_bodies: Number of orderids whose last body is kept; counts and times
            are kept for all.
    """

    def __init__(self, keep_bodies: int = 10_000) -> None:
        self._keep_bodies = keep_bodies
        self._purchases: dict[str, Purchase] = {}
        self._with_body: OrderedDict[str, Purchase] = OrderedDict()
        self._counts = asdict(Totals())
        self._changed = threading.Condition()

    def count_request(self) -> None:
        """Count a POST to the track endpoint, before anything is made of it."""
        with self._changed:
            self._count(requests=1)

    def receive_backend(self, event: Event, at: datetime) -> None:
        """Accept a back-end purchase event that the contract found valid.

        Raises:
            TimestampError: Its `timestamp` cannot be read; nothing was accepted.
        """
        created_at = _created_at(event)
        with self._changed:
            purchase = self._purchase(event["orderid"], created_at, at)
            is_first, is_known = not purchase.posts, purchase.from_front_end
            if is_first:
                purchase.posted_at = at
                purchase.api_inserted = not is_known
            purchase.posts += 1
            purchase.created_at = created_at or purchase.created_at
            self._keep(purchase, event)
            self._count(
                events=1,
                orderids=is_first,
                repeats=not is_first,
                inserted=is_first and not is_known,
                verified=is_first and is_known,
                merged=is_first and is_known,
            )

    def receive_frontend(self, event: Event, at: datetime) -> None:
        """Accept a front-end purchase event; it never replaces what the API sent.

        Raises:
            TimestampError: Its `timestamp` cannot be read; nothing was accepted.
        """
        created_at = _created_at(event)
        with self._changed:
            purchase = self._purchase(event["orderid"], created_at, at)
            is_merging = purchase.posts > 0 and not purchase.from_front_end
            purchase.from_front_end = True
            if not purchase.posts:
                purchase.created_at = created_at or purchase.created_at
                self._keep(purchase, event)
            self._count(front_end=1, merged=is_merging)

    def purchases(self) -> list[Purchase]:
        """List all purchases in the order of their first receipt."""
        with self._changed:
            return [replace(purchase) for purchase in self._purchases.values()]

    def newest(
        self, limit: int, offset: int = 0, containing: str = ""
    ) -> tuple[int, list[Purchase]]:
        """List purchases, newest first receipt first, with the number that match.

        Args:
            limit: Most purchases to list.
            offset: How many of the matching ones to pass over.
            containing: Text within the orderid, in any case; empty matches all.
        """
        part = containing.casefold()
        with self._changed:
            count = len(self._purchases)
            found: Iterable[Purchase] = reversed(self._purchases.values())
            if part:
                found = [p for p in found if part in p.orderid.casefold()]
                count = len(found)
            return count, [replace(p) for p in islice(found, offset, offset + limit)]

    def purchase(self, orderid: str) -> Purchase | None:
        """Find one purchase; None if neither side has sent it."""
        with self._changed:
            purchase = self._purchases.get(orderid)
            return replace(purchase) if purchase else None

    def posts(self, orderid: str) -> int:
        """Count the back-end events accepted for `orderid`; 0 if none."""
        purchase = self._purchases.get(orderid)
        return purchase.posts if purchase else 0

    def first_received_at(self, orderid: str) -> datetime | None:
        """Return when the first back-end event for `orderid` came, if any did."""
        purchase = self._purchases.get(orderid)
        return purchase.posted_at if purchase else None

    @property
    def totals(self) -> Totals:
        """All counts of one moment."""
        with self._changed:
            return Totals(**self._counts)

    def wait_until(
        self, is_reached: Callable[[Totals], bool], timeout_seconds: float
    ) -> bool:
        """Wait until the totals satisfy `is_reached`; False if the time is over."""
        with self._changed:
            return self._changed.wait_for(
                lambda: is_reached(self.totals), timeout_seconds
            )

    def _purchase(self, orderid: str, created_at: str | None, at: datetime) -> Purchase:
        """Find or make a purchase; runs under the lock."""
        if orderid not in self._purchases:
            created_at = created_at or in_amsterdam(at)
            self._purchases[orderid] = Purchase(orderid, created_at, at)
        return self._purchases[orderid]

    def _keep(self, purchase: Purchase, body: Event) -> None:
        """Keep the latest bodies only; runs under the lock."""
        purchase.body = body
        self._with_body[purchase.orderid] = purchase
        self._with_body.move_to_end(purchase.orderid)
        if len(self._with_body) > self._keep_bodies:
            self._with_body.popitem(last=False)[1].body = None

    def _count(self, **more: int) -> None:
        """Add to the totals and wake those who wait; runs under the lock."""
        for name, number in more.items():
            self._counts[name] += number
        self._changed.notify_all()


def _created_at(event: Event) -> str | None:
    return shown_time(event["timestamp"]) if "timestamp" in event else None


def _line(product: dict[str, object]) -> dict[str, object]:
    quantity = _number(product.get("quantity"))
    return {
        "id": _text(product.get("id")),
        "quantity": None if quantity is None else f"{quantity.normalize():f}",
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> Decimal | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(str(value))
    return None
