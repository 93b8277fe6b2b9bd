"""A batch that is ours until its lease ends: how it is claimed, what came of it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from syncd.core.errors import VIEW_FAULTS, PausedError, SyncdError
from syncd.core.several_rows import merged
from syncd.ledger.admission import Admission, Admitted
from syncd.postgres.database import Step, row_and_pairs_of
from syncd.postgres.statements import Statement, compose, query
from syncd.source.orders import OrderQuery

Lane = Literal["live", "backfill"]
RejectedBy = Literal["rules", "api", "view"]


@dataclass(frozen=True, slots=True)
class Order:
    """An order of a claimed batch; `waiting_since` when it was not ready before."""

    key: str
    confirmed_at: datetime
    waiting_since: datetime | None


@dataclass(frozen=True, slots=True)
class _Batch:
    """The columns of a claimed batch."""

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
    read_failed_at: datetime | None = None
    read_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim(_Batch):
    """A batch that is ours until the lease ends, with its orders as confirmed.

    Attributes:
        token: Random; proves to the ledger that a settlement is this claim's.
        uncertain: Attempts, of it or before, that may have been taken.
        refusals: Between which others were accepted; the last of all at `refused_at`.
        probes: Nothing else is sent until the endpoint has answered it.
        with_profile: Events carry the customer's fields too, not the order's alone.
        is_resend: Its orders were delivered before, and requested again.
        rows: Of the orders in `purchases`, as JSON by key, where they came with the
            claim; a key without a row is absent.
        read_fault: Why they could not come with it.
        read_failed_at: When its orders could not be read first; None: they could.
        read_reason: Why they could not be read last.
    """

    orders: Sequence[Order]
    rows: Mapping[str, str] | None = None
    read_fault: SyncdError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claimed(_Batch):
    """What the statement returns; of no batch, where `orders` is None: the last three.

    Attributes:
        orders: How many the batch has; the arrays may have fewer.
    """

    orders: int | None
    keys: Sequence[str] | None
    times: Sequence[datetime] | None
    waits: Sequence[datetime | None] | None
    was_promoted: bool
    paused_at: datetime | None
    paused_reason: str | None

    def claim(self) -> Claim:
        batch = {each.name: getattr(self, each.name) for each in fields(_Batch)}
        orders = [*map(Order, self.keys or (), self.times or (), self.waits or ())]
        return Claim(**batch, orders=orders)


@dataclass(frozen=True, slots=True)
class NextDue:
    """When something may be claimed, and whether a backfill is active.

    Attributes:
        seconds: Until then, 0.0: now; None: never.
        past: Past orders wait among others.
        backfill: One is active, or its state is not logged yet.
        unread: Some orders could not be read, and are to be read again.
    """

    seconds: float | None
    past: bool
    backfill: bool
    unread: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was sent and answered; `reason` is empty when accepted.

    Attributes:
        shape: Of an unknown answer.
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


_Found = tuple[_Claimed, Sequence[tuple[str, str]] | None]


@dataclass(frozen=True, slots=True)
class Touched:
    """Touched orders that are admitted by the transaction that claims.

    Attributes:
        found: Takes them out of the outbox, and finds them.
        size: Orders that a batch may hold.
        report: Called with what was admitted, before anything else comes of the claim.
    """

    found: OrderQuery
    size: int
    report: Callable[[Admitted], None]


class Claiming(Admission):
    """Claims batches of one started feed."""

    def claim(
        self,
        instance: int,
        lane: Lane,
        lease: timedelta,
        reading: Statement | None = None,
        *,
        rereads: bool = False,
        touched: Touched | None = None,
    ) -> Claim | None:
        """Take the oldest due batch of a lane; None when there is none.

        None also when the ledger's server was promoted unnoticed, as may
        be behind a pooler: what is pending may have been sent.

        Args:
            instance: Whose it becomes.
            lane: Which.
            lease: For how long.
            reading: Reads its orders' rows with it. Where that fails the batch is
                claimed without them: reading them by key finds the cause.
            rereads: One of those that could not be read.
            touched: Admitted first; where a view fails they stay for the capture.

        Raises:
            PausedError: Sending is paused.
        """
        params = {"lane": lane, "instance": instance, "lease": lease}
        (claimed, rows), fault = self._claimed(
            reading, touched, rereads=rereads, **params
        )
        if not self._is_ours(claimed):
            return None
        claim = claimed.claim()
        self.database.age_plans(len(claim.orders))
        if len(claim.orders) == claimed.orders:
            return replace(claim, rows=merged(rows or ()) or None, read_fault=fault)
        return replace(claim, orders=self._orders_of(claim), read_fault=fault)

    def _is_ours(self, claimed: _Claimed) -> bool:
        if claimed.was_promoted:
            self.database.close()  # opening it records the promotion first
            return False
        if claimed.paused_at is not None:
            raise PausedError("sending", claimed.paused_at, claimed.paused_reason)
        return claimed.orders is not None

    def _orders_of(self, claim: Claim) -> Sequence[Order]:
        """Read them again: some came between the claim's snapshot and its lock."""
        return self.database.rows(Order, query("claimed_orders"), batch=claim.batch_id)

    def _claimed(
        self, reading: Statement | None, touched: Touched | None, **params: object
    ) -> tuple[_Found, SyncdError | None]:
        """Claim a batch with its rows, or without them: why they cannot be read."""
        fault, database = None, self.database
        params["feed"] = self.feed_id
        if reading is not None:
            statement = compose("claim", rows=reading)
            if touched is not None:
                with suppress(*VIEW_FAULTS):
                    return self._admitted_and_claimed(touched, statement, params), None
            try:
                return database.row_and_pairs(_Claimed, statement, **params), None
            except VIEW_FAULTS as error:
                fault = error
        claimed, _ = database.row_and_pairs(_Claimed, compose("claim"), **params)
        return (claimed, None), fault

    def _admitted_and_claimed(
        self, touched: Touched, statement: Statement, params: Mapping[str, object]
    ) -> _Found:
        step = Step(row_and_pairs_of(_Claimed), statement, params)
        admitted, found = self.admit_touched_with(touched.found, touched.size, step)
        touched.report(admitted)
        return found

    def next_due(self, *, rereads: bool = False) -> NextDue:
        """Return the seconds until a batch is due, and whether a backfill is active."""
        due = self.database.row(
            NextDue, query("next_due"), feed=self.feed_id, rereads=rereads
        )
        if due.seconds is None:
            return due
        # below 0 by the time between the statement's two readings of the clock
        return replace(due, seconds=max(0.0, due.seconds))
