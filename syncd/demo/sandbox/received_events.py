"""What was really received, by orderid: the proof that tests and operators look at.

Invariant: an event is in the totals and under its orderid, or in neither.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from syncd.demo.sandbox.answers import Event
from syncd.demo.sandbox.timestamps import shown, shown_moment


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts since the start.

    Attributes:
        requests: POSTs to the track endpoint, whatever became of them.
        events: Back-end events really taken.
        orderids: Distinct orderids among these.
        repeats: Back-end events beyond the first of their orderid.
        front_end: Front-end events taken.
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


@dataclass(frozen=True, slots=True)
class Purchase:
    """One purchase, as Squeezely's own screen would show it.

    Attributes:
        created_at: "YYYY-MM-DD HH:mm:ss" in Amsterdam, from the event's `timestamp`
            (the back end's wins, then the latest); without any, the receipt.
        received_at: First receipt, from either side.
        api_inserted: The front end had not made it when the API first sent it.
        api_verified: The API confirmed one that the front end had made.
        posts: Back-end events taken for it.
        merged: Both sides have sent it.
        body: Last event, the back end's before the front end's; None once dropped.

    Source: SQUEEZELY.md 2.3 and 5.3.
    """

    orderid: str
    created_at: str
    received_at: datetime
    api_inserted: bool
    api_verified: bool
    posts: int
    merged: bool
    body: Event | None

    @property
    def products(self) -> list[dict[str, Any]]:
        """Products of the last body that are objects; empty once it is dropped."""
        products = (self.body or {}).get("products")
        lines = products if isinstance(products, list) else []
        return [line for line in lines if isinstance(line, dict)]


@dataclass(slots=True)
class _Record:
    """What is kept of an orderid for good: counts and times, no body."""

    orderid: str
    created_at: str
    received_at: datetime
    posted_at: datetime | None = None
    posts: int = 0
    from_front_end: bool = False
    inserted: bool = False

    @property
    def merged(self) -> bool:
        return self.from_front_end and self.posts > 0


class ReceivedEvents:
    """Everything received, by orderid; safe to use from any thread.

    Args:
        keep_bodies: Number of orderids whose last body is kept; counts and times
            are kept for all.
    """

    def __init__(self, keep_bodies: int = 10_000) -> None:
        self._keep_bodies = keep_bodies
        self._records: dict[str, _Record] = {}
        self._bodies: OrderedDict[str, Event] = OrderedDict()
        self._requests = self._events = self._front_end = 0
        self._orderids = self._inserted = self._merged = 0
        self._changed = threading.Condition()

    def count_request(self) -> None:
        """Count a POST to the track endpoint, before anything is made of it."""
        with self._changed:
            self._requests += 1
            self._changed.notify_all()

    def receive_backend(self, event: Event, at: datetime) -> None:
        """Take a back-end purchase event that the contract found good.

        Raises:
            TimestampError: Its `timestamp` cannot be read; nothing was taken.
        """
        created_at = _created_at(event)
        with self._changed:
            record = self._record(event["orderid"], created_at, at)
            if not record.posts:
                self._orderids += 1
                record.posted_at = at
                record.inserted = not record.from_front_end
                self._inserted += record.inserted
                self._merged += record.from_front_end
            record.posts += 1
            record.created_at = created_at or record.created_at
            self._events += 1
            self._keep(record.orderid, event)
            self._changed.notify_all()

    def receive_frontend(self, event: Event, at: datetime) -> None:
        """Take a front-end purchase event; it never replaces what the API sent.

        Raises:
            TimestampError: Its `timestamp` cannot be read; nothing was taken.
        """
        created_at = _created_at(event)
        with self._changed:
            record = self._record(event["orderid"], created_at, at)
            if not record.from_front_end:
                record.from_front_end = True
                self._merged += record.merged
            self._front_end += 1
            if not record.posts:
                record.created_at = created_at or record.created_at
                self._keep(record.orderid, event)
            self._changed.notify_all()

    def purchases(self) -> list[Purchase]:
        """List all purchases in the order of their first receipt."""
        with self._changed:
            return [self._shown(record) for record in self._records.values()]

    def newest(
        self, limit: int, offset: int = 0, containing: str = ""
    ) -> tuple[int, list[Purchase]]:
        """List purchases, newest first receipt first, with the number that match.

        Args:
            limit: Most purchases to list.
            offset: How many of the matching ones to pass over.
            containing: Text within the orderid, in any case; empty matches all.
        """
        with self._changed:
            count, records = self._matching(containing.casefold())
            page = islice(records, offset, offset + limit)
            return count, [self._shown(record) for record in page]

    def purchase(self, orderid: str) -> Purchase | None:
        """Find one purchase; None if neither side has sent it."""
        with self._changed:
            record = self._records.get(orderid)
            return self._shown(record) if record else None

    def posts(self, orderid: str) -> int:
        """Count the back-end events taken for `orderid`; 0 if none."""
        with self._changed:
            record = self._records.get(orderid)
            return record.posts if record else 0

    def first_received_at(self, orderid: str) -> datetime | None:
        """Return when the first back-end event for `orderid` was taken, if any was."""
        with self._changed:
            record = self._records.get(orderid)
            return record.posted_at if record else None

    @property
    def totals(self) -> Totals:
        """All counts of one moment."""
        with self._changed:
            return Totals(
                requests=self._requests,
                events=self._events,
                orderids=self._orderids,
                repeats=self._events - self._orderids,
                front_end=self._front_end,
                inserted=self._inserted,
                verified=self._orderids - self._inserted,
                merged=self._merged,
            )

    def wait_until(
        self, is_reached: Callable[[Totals], bool], timeout_seconds: float
    ) -> bool:
        """Wait until the totals satisfy `is_reached`; False if the time is over."""
        with self._changed:
            return self._changed.wait_for(
                lambda: is_reached(self.totals), timeout_seconds
            )

    def _matching(self, part: str) -> tuple[int, Iterable[_Record]]:
        """Select the records whose orderid holds `part`, newest first."""
        newest = reversed(self._records.values())
        if not part:
            return len(self._records), newest
        found = [record for record in newest if part in record.orderid.casefold()]
        return len(found), found

    def _record(self, orderid: str, created_at: str | None, at: datetime) -> _Record:
        record = self._records.get(orderid)
        if record is None:
            record = _Record(orderid, created_at or shown_moment(at), at)
            self._records[orderid] = record
        return record

    def _keep(self, orderid: str, body: Event) -> None:
        """Keep the latest bodies only; runs under the lock."""
        self._bodies[orderid] = body
        self._bodies.move_to_end(orderid)
        if len(self._bodies) > self._keep_bodies:
            self._bodies.popitem(last=False)

    def _shown(self, record: _Record) -> Purchase:
        """View a record; runs under the lock."""
        return Purchase(
            orderid=record.orderid,
            created_at=record.created_at,
            received_at=record.received_at,
            api_inserted=record.inserted,
            api_verified=record.posts > 0 and not record.inserted,
            posts=record.posts,
            merged=record.merged,
            body=self._bodies.get(record.orderid),
        )


def _created_at(event: Event) -> str | None:
    return shown(event["timestamp"]) if "timestamp" in event else None
