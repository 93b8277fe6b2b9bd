"""A batch that is ours until its lease ends, and what came of sending it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from syncd.core.errors import SyncdError

Lane = Literal["live", "backfill"]
RejectedBy = Literal["rules", "api", "view"]


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
        probes: Nothing else is sent until the endpoint has answered it.
        with_profile: Events carry the customer's fields too, not the order's alone.
        is_resend: Its orders were delivered before, and requested again.
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
class ClaimedBatch:
    """What `claim` returns; of no batch: only the last three are of meaning."""

    batch_id: int | None
    attempt: int
    token: UUID
    uncertain: int
    refusals: int
    refused_at: datetime | None
    claimed_at: datetime
    probes: bool
    with_profile: bool
    is_resend: bool
    read_failed_at: datetime | None
    read_reason: str | None
    orders: int
    keys: Sequence[str] | None
    times: Sequence[datetime] | None
    waits: Sequence[datetime | None] | None
    was_promoted: bool
    paused_at: datetime | None
    paused_reason: str | None

    def claim(self, batch_id: int) -> Claim:
        """Return the claim of the batch, without its orders' rows."""
        return Claim(
            batch_id=batch_id,
            attempt=self.attempt,
            token=self.token,
            uncertain=self.uncertain,
            refusals=self.refusals,
            refused_at=self.refused_at,
            claimed_at=self.claimed_at,
            probes=self.probes,
            with_profile=self.with_profile,
            is_resend=self.is_resend,
            orders=[*map(Order, self.keys or (), self.times or (), self.waits or ())],
            read_failed_at=self.read_failed_at,
            read_reason=self.read_reason,
        )


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
