"""What is known of a feed when its health is judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

MANY_REFUSED = 5
"""Orders rejected among the newest from which the view is at fault, not an order."""


@dataclass(frozen=True, slots=True)
class Pause:
    """What a person has paused (`sending`, `capture`), since when, and why."""

    what: str
    since: datetime
    why: str | None = None

    def line(self) -> str:
        """Return since when and why."""
        since = f"paused since {self.since:%Y-%m-%d %H:%M:%S%z}"
        return f"{since} ({self.why})" if self.why else since


@dataclass(frozen=True, slots=True)
class WaitingOrders:
    """Orders that wait for the same reason: how many, why, since when, one of them."""

    orders: int
    why: str
    since: datetime
    key: str | None


@dataclass(frozen=True, slots=True)
class InstanceInfo:
    """A daemon that serves the feed or did last.

    Attributes:
        stopped_at: It ended in order.
        trouble: What fails in it again and again, since `trouble_since`.
    """

    instance: int
    host: str
    pid: int
    started_at: datetime
    stopped_at: datetime | None
    is_alive: bool
    trouble: str | None = None
    trouble_since: datetime | None = None

    @property
    def machine(self) -> str:
        """The host's name, without its boot and process namespace."""
        return self.host.partition("/")[0]


@dataclass(frozen=True, slots=True)
class RecentRefusals:
    """Of the newest live orders that are settled: all, those rejected, and why most."""

    orders: int = 0
    rejected: int = 0
    reason: str | None = None

    @property
    def are_many(self) -> bool:
        """Whether so many are no accident: at least 5, and more than a fifth."""
        return self.rejected >= MANY_REFUSED and self.rejected * 5 > self.orders


@dataclass(frozen=True, slots=True)
class FailedStart:
    """Why a daemon did not start on a host; erased once one did.

    Attributes:
        kind: `start`: it was refused; `waiting`: it waits; `reload`: new settings were
            refused, and the old ones stay.
        codes: Of the findings of `syncd check` for the same.
    """

    kind: str
    host: str
    at: datetime
    codes: Sequence[str]
    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class HealthInputs:
    """What is judged. Times are aware and of the ledger's clock.

    Attributes:
        now: When it was read.
        members: Those alive, and the one started last; empty before the first start.
        heartbeat_at: The last heartbeat's mark; None before the first.
        moved_at: When the watermark moved last.
        heartbeat: How often a daemon marks.
        waiting: Live orders captured and not settled.
        lag: Age of the oldest of them.
        held_back: How much further behind the watermark is than it should be.
        endpoint: `available`, `backing_off` or `held`.
        endpoint_reason: Why, unless open.
        suspect: Orders whose refusal led to a hold, in words.
        is_unknown: An unknown answer holds the endpoint.
        is_spiked: Too many orders were rejected for any more.
        pauses: What a person has paused.
        unread: Orders that wait for the purchases view.
        refused: Orders that the API has refused, and that are tried again.
        missed: Orders that account after account had to capture.
        without_time: New orders that are confirmed at no usable time.
        source_fault: Why the two views cannot be read.
        keys_held: Why the views' keys are not those of the ledger.
        reused: Orders whose keys stood for others before.
        replaced: Tables that others have the name of now: what, and what to do.
        slot_fault: Why the replication slot is of no use.
        outbox_fault: Why the outbox is of no use.
        outbox_faults: Changes that the triggers could not note.
        failed_start: Why the last start failed; None when it did not.
        is_proven: A test has shown that the account takes this form of body.
        refusals: How many of the newest orders were rejected.
        alarms: What a daemon found to be wrong with the feed, in words.
        details_left_out: In the last day: field, reason, orders.
    """

    now: datetime
    members: Sequence[InstanceInfo] = ()
    heartbeat_at: datetime | None = None
    moved_at: datetime | None = None
    heartbeat: timedelta = timedelta(minutes=1)
    waiting: int = 0
    lag: timedelta = timedelta(0)
    held_back: timedelta = timedelta(0)
    endpoint: str = "available"
    endpoint_reason: str | None = None
    suspect: str | None = None
    is_unknown: bool = False
    is_spiked: bool = False
    pauses: Sequence[Pause] = ()
    rejected: int = 0
    held: int = 0
    unexplained: int = 0
    missed: int = 0
    without_time: int = 0
    unread: Sequence[WaitingOrders] = ()
    refused: Sequence[WaitingOrders] = ()
    source_fault: str | None = None
    keys_held: str | None = None
    reused: int = 0
    replaced: Sequence[tuple[str, str]] = ()
    slot_fault: str | None = None
    outbox_fault: str | None = None
    outbox_faults: int = 0
    is_proven: bool = True
    refusals: RecentRefusals = RecentRefusals()
    alarms: Sequence[str] = ()
    details_left_out: Sequence[tuple[str, str, int]] = ()
    failed_start: FailedStart | None = None
