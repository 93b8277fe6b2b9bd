"""What the ledger has of one order: where it stands, and its attempts."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """One POST that an order took part in, with its receipt.

    Attributes:
        is_settled: It is known which orders were sent; False after a crash.
        resent: Why the order was sent again on request; None for an ordinary attempt.
    """

    batch: int
    attempt: int
    started_at: datetime
    settled_at: datetime | None
    outcome: str | None
    status: int | None
    reason: str | None
    sent: int | None
    body_sha256: str | None
    is_settled: bool
    resent: str | None

    def line(self) -> str:
        """Return it in one line."""
        text = f"batch {self.batch}, attempt {self.attempt} at {self.started_at}: "
        text += f"{self.outcome or 'under way'}, {self.sent or 0} events"
        status = f"HTTP {self.status}" if self.status else ""
        reason = (self.reason or "").removeprefix(status).strip()
        receipt = f"body {self.body_sha256[:12]}" if self.body_sha256 else ""
        unknown = "" if self.is_settled else "which orders it held is not known"
        again = f"sent again on purpose: {self.resent}" if self.resent else ""
        parts = (status, reason, receipt, again, unknown)
        more = ", ".join(part for part in parts if part)
        return f"{text} ({more})" if more else text


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What the ledger has of an order, its batch and the endpoint."""

    orderid: str | None
    confirmed_at: datetime
    capture: str | None
    state: str | None
    reason: str | None
    waiting_since: datetime | None
    batch: int
    lane: str
    batch_state: str
    created_at: datetime
    uncertain: int
    backfill: int | None
    due_at: datetime | None
    settled_at: datetime | None
    endpoint: str
    endpoint_reason: str | None
    retry_at: datetime | None
    before: int
    is_pruned: bool
    read_failed_at: datetime | None = None
    read_reason: str | None = None
