"""The durable record: one row per order, and every transition of a batch.

Each transition is one statement, fenced by the claim's random token: what was settled
or taken over meanwhile, or lost and claimed again, is not touched (ADR-0023). An order
is admitted under the watermark's row lock, in the transaction that moves the watermark
(ADR-0002).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, cast
from uuid import UUID

from syncd.core.command_errors import RangePrunedError
from syncd.core.errors import VIEW_FAULTS, PausedError, SyncdError, ViewsChangedError
from syncd.core.settlement import RECENT_ORDERS
from syncd.ledger.identity import IdentityGuard
from syncd.postgres.database import Database
from syncd.postgres.deadline import Row
from syncd.postgres.statements import Statement, compose, query
from syncd.source.views import OrderQuery

Lane = Literal["live", "backfill"]
RejectedBy = Literal["rules", "api", "view"]
Capture = Literal["poll", "listen", "wal", "reconcile", "backfill"]

_Facts = tuple[int, int, UUID, int, int, datetime | None, datetime, bool, bool, bool]
_Columns = tuple[Sequence[str], Sequence[datetime], Sequence[datetime | None]]

NAMED_ORDERS = 100
"""How many of the orders that an admission found are named."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order of a claimed batch; `waiting_since` when it was not ready before."""

    key: str
    confirmed_at: datetime
    waiting_since: datetime | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A batch that is ours until the lease ends, with its orders as confirmed.

    Attributes:
        token: Random; proves to the ledger that a settlement is this claim's.
        uncertain: Attempts, of it or before, that may have been taken.
        refusals: Between which others were accepted; the last of all at `refused_at`.
        probes: Nothing else is sent until it is known what the endpoint says to it.
        with_profile: Events carry the customer's fields too, not the order's alone.
        is_resend: Its orders were delivered before; somebody asked for them again.
        rows: Of the orders in `purchases`, as JSON by key, where they came with the
            claim; a key without a row is absent.
        read_fault: Why they could not come with it.
        read_failed_at: When its orders could not be read first; None: they could.
        read_reason: Why they could not be read last.
    """

    batch_id: int
    attempt: int
    token: UUID
    uncertain: int
    refusals: int
    refused_at: datetime | None
    claimed_at: datetime
    probes: bool
    with_profile: bool
    is_resend: bool
    orders: Sequence[Order]
    rows: Mapping[str, str] | None = None
    read_fault: SyncdError | None = None
    read_failed_at: datetime | None = None
    read_reason: str | None = None


@dataclass(frozen=True, slots=True)
class NextDue:
    """When something may be claimed, and whether a backfill is to be looked after.

    Attributes:
        seconds: Until then, 0.0: now; None: never.
        past: Past orders wait among others.
        backfill: One is under way, or its state is not told in the log yet.
        unread: Some orders could not be read, and are to be read again.
    """

    seconds: float | None
    past: bool
    backfill: bool
    unread: bool


@dataclass(frozen=True, slots=True)
class Admitted:
    """What an admission wrote: how many orders, and the first of them by key.

    Attributes:
        taken: Keys that it took out of the outbox, in no order.
        without_time: Orders that would be new, but are confirmed at no usable time.
    """

    orders: int
    keys: Sequence[str]
    taken: Sequence[str] = ()
    without_time: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was sent and answered; `reason` is empty when accepted.

    Attributes:
        shape: Of an answer that nobody has explained.
    """

    outcome: str
    status: int | None = None
    reason: str | None = None
    sent: int = 0
    sha256: bytes | None = None
    orderids: Sequence[str] = ()
    shape: str | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of an accepted attempt.

    Attributes:
        orders: How many it delivered; None: none, since the batch is settled already,
            holds an order that was not sent, or is not the claim's.
        is_known: The ledger has the claim; False: it was lost.
    """

    orders: int | None
    is_known: bool


@dataclass(frozen=True, slots=True)
class ExcludedOrder:
    """An order set aside: `rejected` (by whom) or `withdrawn`, and why."""

    key: str
    state: Literal["rejected", "withdrawn"]
    reason: str
    orderid: str | None
    rejected_by: RejectedBy | None = "rules"


class Ledger:
    """Every state of every order of one started feed."""

    def __init__(self, database: Database, feed_id: int) -> None:
        self.database = database
        self.feed_id = feed_id

    # Capture

    @contextmanager
    def admission(self, *, durable: bool = True) -> Iterator[datetime]:
        """Hold the watermark's row; yield the watermark. One at a time per feed.

        Args:
            durable: The end waits for the disk. Without, a crash of the server may take
                the last moment back: all of the admission, which is then made again.

        Raises:
            PausedError: Nothing is admitted for now, by nobody.
        """
        with self.database.transaction():
            watermark, paused_at, why, _ = self.database.one(
                query("lock_watermark"), feed=self.feed_id, durable=durable
            )
            _refuse_paused("capture", paused_at, why)
            yield cast("datetime", watermark)

    def admit(
        self,
        found: OrderQuery,
        capture: Capture,
        *,
        size: int,
        backfill: int | None = None,
        adopts: bool = False,
        is_behind: bool = False,
    ) -> Admitted:
        """Write the orders that the ledger lacks; within `admission`.

        An order that was withdrawn and is confirmed again becomes pending again. What
        was listed at the feed's start is written for a backfill only.

        Args:
            found: Confirmed orders.
            capture: Who found them; `backfill` makes them wait behind live ones.
            size: Orders that a batch may hold.
            backfill: Number of the backfill that they belong to.
            adopts: They count as handled by somebody else, and are not sent.
            is_behind: They wait behind live orders, as those of a backfill do.
        """
        statement, params = self._admission(
            found, capture, size=size, backfill=backfill, adopts=adopts
        )
        if is_behind:
            params = {**params, "lane": "backfill"}
        row = self.database.one(statement, **params)
        if not row[-1] and self._are_accepted(found):
            row = self.database.one(statement, **params)
        return self._admitted(row)

    def admit_touched(self, found: OrderQuery, size: int) -> Admitted:
        """Take orders out of the outbox and admit those that are confirmed.

        One transaction like `admission`, sent at once; it does not wait for the disk.

        Args:
            found: What takes them, and finds them.
            size: Orders that a batch may hold.

        Raises:
            PausedError: Nothing is admitted for now, by nobody, and no row was taken.
            ViewsChangedError: The views are not those that were accepted; the same.
        """
        statement, params = self._admission(found, "listen", size=size)
        (row,) = self.locked(statement, durable=False, **params)
        if not row[-1] and self._are_accepted(found):
            (row,) = self.locked(statement, durable=False, **params)
        return self._admitted(row)

    def locked(
        self, statement: Statement, *, durable: bool = True, **params: object
    ) -> list[Row]:
        """Run a statement like an admission: sent together with what locks.

        Raises:
            PausedError: Nothing is admitted for now; the statement ran all the same.
        """
        lock = {"feed": self.feed_id, "durable": durable}
        locked, rows = self.database.together(
            (query("lock_watermark"), lock), (statement, params)
        )
        _, paused_at, why, _ = locked[0]
        _refuse_paused("capture", paused_at, why)
        return rows

    def replace_reused(self, found: OrderQuery, keys: Sequence[str], size: int) -> int:
        """Admit orders whose keys others had, which keep them in a retired form.

        Args:
            found: Them, as the view lists them.
            keys: Their keys.
            size: Orders that a batch may hold.

        Raises:
            PausedError: Nothing is admitted for now, by nobody.
        """
        retired = f" until {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        with self.admission():
            self.database.run(
                query("retire_reused"),
                feed=self.feed_id,
                keys=list(keys),
                retired=retired,
            )
            return self.admit(found, "reconcile", size=size).orders

    def _are_accepted(self, found: OrderQuery) -> bool:
        """Compare the keys of views that were changed with the ledger's."""
        if found.source is None:
            return False
        return IdentityGuard(found.source, self.database, self.feed_id).compare_views()

    def _admitted(self, row: Row) -> Admitted:
        *facts, are_accepted = row
        if not are_accepted:
            raise ViewsChangedError
        admitted = Admitted(
            *cast("tuple[int, list[str], list[str], int]", tuple(facts))
        )
        self.database.age_plans(admitted.orders)
        return admitted

    def _admission(
        self,
        found: OrderQuery,
        capture: Capture,
        *,
        size: int,
        backfill: int | None = None,
        adopts: bool = False,
    ) -> tuple[Statement, Mapping[str, object]]:
        return compose("admit", **found.braces), {
            "feed": self.feed_id,
            "size": size,
            "lane": "backfill" if capture == "backfill" else "live",
            "state": "adopted" if adopts else "pending",
            "backfill": backfill,
            "capture": capture,
            "named": NAMED_ORDERS,
            **found.params,
        }

    def move_watermark(self, upper: datetime) -> bool:
        """Move the watermark forward; False when it is there already."""
        moved = self.database.run(
            query("move_watermark"), feed=self.feed_id, upper=upper
        )
        return moved > 0

    def watermark(self) -> datetime:
        """Read the watermark."""
        row = self.database.one(query("watermark"), feed=self.feed_id)
        return cast("datetime", row[0])

    def keep_initial(self, found: OrderQuery, chunk: int) -> None:
        """Keep orders as old ones, within the transaction that starts the feed."""
        self.database.run(
            compose("keep_initial_orders", found=found.query),
            feed=self.feed_id,
            chunk=chunk,
            **found.params,
        )

    def refuse_pruned(self, lower: datetime, upper: datetime) -> None:
        """Refuse a range (lower excluded) where receipts are no longer kept.

        Raises:
            RangePrunedError: It reaches into that of orders without a receipt.
        """
        for row in self.database.all(query("pruned"), feed=self.feed_id):
            oldest, newest = cast("tuple[datetime, datetime]", row)
            if lower < newest and upper >= oldest:
                raise RangePrunedError(oldest, newest)

    # Delivery

    def claim(
        self,
        instance: int,
        lane: Lane,
        lease: timedelta,
        reading: Statement | None = None,
        *,
        rereads: bool = False,
    ) -> Claim | None:
        """Take the oldest due batch of a lane; None when there is none.

        None also when the ledger's server was promoted and nobody has noted it, as may
        be behind a pooler: what is pending may have been sent.

        Args:
            instance: Whose it becomes.
            lane: Which.
            lease: For how long.
            reading: Reads the rows of its orders with it. Where that fails the batch is
                claimed without them: reading them by key tells what is wrong.
            rereads: One of those that could not be read.

        Raises:
            PausedError: Nothing is sent for now, by nobody.
        """
        params = {"feed": self.feed_id, "lane": lane, "instance": instance}
        found, fault = self._claimed(reading, lease=lease, rereads=rereads, **params)
        *facts, failed_at, reason, count, keys, times, waits = found[0][:-5]
        promoted, paused_at, why = found[0][-5:-2]
        if promoted:
            self.database.close()  # whoever opens it notes the promotion first
            return None
        _refuse_paused("sending", paused_at, why)
        if facts[0] is None:
            return None
        columns = cast("_Columns", (keys or (), times or (), waits or ()))
        orders = list(map(Order, *columns))
        self.database.age_plans(len(orders))
        rows = {cast("str", row[-2]): cast("str", row[-1]) for row in found[1:]}
        claim = Claim(
            *cast("_Facts", facts),
            orders=orders,
            rows=rows or None,
            read_fault=fault,
            read_failed_at=cast("datetime | None", failed_at),
            read_reason=cast("str | None", reason),
        )
        if len(orders) != count:
            orders = self._claimed_orders(claim.batch_id)
            return replace(claim, orders=orders, rows=None)
        return claim

    def _claimed(
        self, reading: Statement | None, **params: object
    ) -> tuple[list[Row], SyncdError | None]:
        fault = None
        if reading is not None:
            try:
                return self.database.all(compose("claim", rows=reading), **params), None
            except VIEW_FAULTS as error:
                fault = error
        return self.database.all(compose("claim"), **params), fault

    def _claimed_orders(self, batch: int) -> list[Order]:
        rows = self.database.all(query("claimed_orders"), batch=batch)
        return [
            Order(*cast("tuple[str, datetime, datetime | None]", row)) for row in rows
        ]

    def next_due(self, *, rereads: bool = False) -> NextDue:
        """Return the seconds until a batch is due, and whether a backfill is active."""
        row = self.database.one(query("next_due"), feed=self.feed_id, rereads=rereads)
        seconds, past, backfill, unread = cast(
            "tuple[float | None, bool, bool, bool]", row
        )
        # below 0 by the moment between the statement's two looks at the clock
        seconds = None if seconds is None else max(0.0, seconds)
        return NextDue(seconds, past, backfill, unread)

    def renew(self, claim: Claim, lease: timedelta) -> bool:
        """Begin the lease anew; False when the claim is no longer ours."""
        renewed = self.database.run(
            query("renew"), batch=claim.batch_id, token=claim.token, lease=lease
        )
        return renewed > 0

    def exclude_orders(self, claim: Claim, exemptions: Sequence[ExcludedOrder]) -> bool:
        """Set orders of a claimed batch aside; False when it is no longer ours."""
        fenced = self.database.run(
            query("exclude_orders"),
            feed=self.feed_id,
            batch=claim.batch_id,
            token=claim.token,
            keys=[e.key for e in exemptions],
            states=[e.state for e in exemptions],
            reasons=[e.reason for e in exemptions],
            orderids=[e.orderid for e in exemptions],
            by=[e.rejected_by if e.state == "rejected" else None for e in exemptions],
        )
        return fenced > 0

    def postpone(self, claim: Claim, keys: Sequence[str], wait: timedelta) -> bool:
        """Move orders that are not ready into a batch of their own, due later.

        Returns:
            False when the batch is no longer ours: nothing was moved.
        """
        return self._move(claim, keys, wait=wait, waits=True)

    def move_unread(
        self, claim: Claim, keys: Sequence[str], reason: str, wait: timedelta
    ) -> bool:
        """Move orders that could not be read into a batch that waits for the view.

        Returns:
            False when the batch is no longer ours: nothing was moved.
        """
        moved = self.database.run(
            query("move_unread"),
            **_fence(claim),
            keys=list(keys),
            reason=reason,
            wait=wait,
        )
        return moved > 0

    def try_unread(self, reason: str) -> None:
        """Allow orders to be read again that could not be for a reason that is over."""
        self.database.run(query("try_unread"), feed=self.feed_id, reason=reason)

    def split(
        self,
        claim: Claim,
        pieces: Iterable[Sequence[str]],
        receipt: Receipt,
        *,
        refusals: int | None = None,
        uncertain: bool = False,
    ) -> bool:
        """Replace a claimed batch by smaller ones; False when it is no longer ours.

        Args:
            claim: The batch; ends `emptied`.
            pieces: Keys of the new batches, in order; together all of the batch's.
            receipt: Of the attempt that led to this.
            refusals: Evidence against each when the API refused them together.
            uncertain: Whether some may have been taken all the same.
        """
        with self.database.transaction():
            for keys in pieces:
                self._move(claim, keys, refusals=refusals, uncertain=uncertain)
            return self.close_empty(claim, receipt)

    def _move(
        self,
        claim: Claim,
        keys: Sequence[str],
        *,
        wait: timedelta | None = None,
        waits: bool = False,
        refusals: int | None = None,
        uncertain: bool = False,
    ) -> bool:
        fenced = self.database.run(
            query("move_orders"),
            batch=claim.batch_id,
            token=claim.token,
            keys=list(keys),
            wait=wait,
            waits=waits,
            refused=refusals is not None,
            refusals=refusals or 0,
            uncertain=int(uncertain),
        )
        return fenced > 0

    def close_empty(self, claim: Claim, receipt: Receipt) -> bool:
        """End a claimed batch whose orders were all set aside or moved.

        Returns:
            False when it is no longer ours, or has orders.
        """
        ended = self.database.run(
            query("close_empty"),
            outcome=receipt.outcome,
            reason=receipt.reason,
            **_fence(claim),
            **_receipt(receipt),
        )
        return ended > 0

    def deliver(self, claim: Claim, keys: Sequence[str], receipt: Receipt) -> Delivered:
        """Settle an accepted attempt.

        A late success counts even when the claim was taken over meanwhile, but never
        for an order that it did not send, nor when the ledger has lost the claim.

        Args:
            claim: The batch.
            keys: The orders that were sent.
            receipt: What the API said.
        """
        orders, is_known, _ = self.database.one(
            query("deliver"),
            feed=self.feed_id,
            keys=list(keys),
            recent=RECENT_ORDERS,
            **_fence(claim),
            **_receipt(receipt),
        )
        return Delivered(cast("int | None", orders), cast("bool", is_known))

    def doubt(self, claim: Claim, keys: Sequence[str], *, holds: bool) -> int:
        """Count the orders of a claim that the ledger has lost as uncertain.

        Args:
            claim: Lost by a crash or a promotion of the ledger's server.
            keys: The orders that may have been sent.
            holds: They wait for a person.

        Returns:
            How many; 0 for a claim that is known: who took it over has counted it.
        """
        (orders,) = self.database.one(
            query("doubt_orders"),
            feed=self.feed_id,
            keys=list(keys),
            holds=holds,
            **_fence(claim),
        )
        return cast("int", orders)

    def requeue(
        self,
        claim: Claim,
        receipt: Receipt,
        *,
        wait: timedelta | None = None,
        refusals: int | None = None,
        uncertain: bool = False,
        held: bool = False,
    ) -> bool:
        """Make a claimed batch pending again; False when it is no longer ours.

        Args:
            claim: The batch.
            receipt: Of the attempt that led to this; `unread` with its reason: the
                orders wait for the view.
            wait: How long the batch is not due; None: not at all.
            refusals: Evidence against it when the API refused it.
            uncertain: Whether some of it may have been taken all the same.
            held: Keep it for a person instead.
        """
        freed = self.database.run(
            query("requeue"),
            wait=wait,
            refused=refusals is not None,
            refusals=refusals,
            held=held,
            uncertain=int(uncertain),
            outcome=receipt.outcome,
            reason=receipt.reason,
            shape=receipt.shape,
            **_fence(claim),
            **_receipt(receipt),
        )
        return freed > 0


def _fence(claim: Claim) -> dict[str, object]:
    return {"batch": claim.batch_id, "attempt": claim.attempt, "token": claim.token}


def _receipt(receipt: Receipt) -> dict[str, object]:
    return {
        "status": receipt.status,
        "sent": receipt.sent,
        "sha256": receipt.sha256,
        "orderids": list(receipt.orderids),
    }


def _refuse_paused(what: str, since: object, why: object) -> None:
    if since is not None:
        raise PausedError(what, cast("datetime", since), cast("str | None", why))
