"""What a status reads, as the statements return it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from syncd.core.health_inputs import (
    FailedStart,
    InstanceInfo,
    RecentRefusals,
    WaitingOrders,
)
from syncd.ledger.key_comparison import IdentityCheck
from syncd.ledger.order_quality import LeftOutCount
from syncd.ledger.stats import FeedStats


@dataclass(frozen=True, slots=True)
class LedgerLocation:
    """Where the feed is, and the signs of its daemons."""

    heartbeat_at: datetime | None
    moved_at: datetime
    timeline: int | None
    system_identifier: int
    database_oid: int
    ledger_identifier: int
    ledger_oid: int
    ledger_database: str


@dataclass(frozen=True, slots=True)
class PastRange:
    """A backfill: its range, and how far it was captured and settled.

    Attributes:
        orders: Captured ones.
        planned: Orders that the plan counted.
        settled: Captured ones that do not wait to be sent any more.
    """

    backfill: int
    lower: datetime
    upper: datetime
    reached: datetime
    orders: int
    requested_at: datetime
    finished_at: datetime | None
    state: str
    purpose: str
    planned: int
    settled: int


@dataclass(frozen=True, slots=True)
class Stream:
    """The replication slot; `lost` is why it is unusable."""

    lost: str | None
    wal_status: str | None
    retained_bytes: int | None
    read_by_pid: int | None
    reached_at: datetime | None


@dataclass(frozen=True, slots=True)
class OutboxState:
    """The outbox; `fault` is why it is unusable, the others are None then."""

    fault: str | None
    rows: int | None = None
    faults: int | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """Orders delivered in the last minute, since the totals, and when the last was."""

    per_minute: int
    since: int
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class UncertainCounts:
    """Attempts of unknown outcome, and their orders."""

    attempts: int
    orders: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all batches, and when they were made."""

    delivered: int
    adopted: int
    read_at: datetime


@dataclass(frozen=True, slots=True)
class Quick:
    """What is read every time."""

    stats: FeedStats
    place: LedgerLocation
    members: Sequence[InstanceInfo]
    delivered: Delivered
    uncertain: UncertainCounts
    holders: Sequence[str] | None
    unread: Sequence[WaitingOrders] = ()
    refused: Sequence[WaitingOrders] = ()
    failed_start: FailedStart | None = None
    alarms: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Slow:
    """What is read the first time, and seldom after it."""

    totals: Totals
    accounts: Mapping[str, str]
    backfills: Sequence[PastRange]
    source_fault: str | None
    payload_verified: bool
    refusals: RecentRefusals
    left_out: Sequence[LeftOutCount]
    outbox: OutboxState | None
    stream: Stream | None
    identity: IdentityCheck = field(default_factory=IdentityCheck)
    reused: int = 0
