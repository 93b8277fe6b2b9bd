"""A run of a reconciliation: the orders that it accounts for, and what it finds."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from syncd.core.tally import ReconciliationTally
from syncd.source.position import Position


@dataclass(frozen=True, slots=True)
class Scope:
    """How far back a run reaches (None: all that the view lists), and how often."""

    name: str
    span: timedelta | None
    period: timedelta


HOURS, _, ALL, PROMOTION = SCOPES = (
    Scope("hours", timedelta(hours=16), timedelta(minutes=5)),
    Scope("days", timedelta(days=35), timedelta(hours=1)),
    Scope("all", None, timedelta(days=7)),
    Scope("promotion", timedelta(days=1), timedelta(minutes=10)),
)
ASKED = Scope("asked", None, timedelta(0))

COSTLY_SECONDS = 1.0
"""What looking for orders without a usable time may cost the accounts of the hours."""

SHORTEST = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ReconciliationRun:
    """An account in the making, of orders confirmed after `lower` and up to `upper`."""

    number: int
    scope: str
    lower: datetime
    upper: datetime
    reached: Position


@dataclass(frozen=True, slots=True)
class Page:
    """The account of a part of a run, up to `end`; names the first missing order."""

    end: Position
    account: ReconciliationTally
    missing_key: str | None


@dataclass(frozen=True, slots=True)
class ReconciliationResult:
    """A whole account with its sentence.

    Attributes:
        without_time: New orders that are confirmed at no usable time, wherever.
        unreadable: Orders that were left out, since the view fails over their rows.
    """

    account: ReconciliationTally
    sentence: str
    seconds: float
    without_time: int = 0
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run as the ledger keeps it."""

    reconciliation_id: int
    scope: str
    lower_at: datetime
    upper_at: datetime
    reached_at: datetime
    reached_key: str | None

    @property
    def run(self) -> ReconciliationRun:
        """The run."""
        after = Position.after(self.reached_at, self.reached_key)
        return ReconciliationRun(
            self.reconciliation_id, self.scope, self.lower_at, self.upper_at, after
        )


@dataclass(frozen=True, slots=True)
class Counted:
    """Orders that stand alike; those of them with another time in the ledger, apart."""

    standing: str
    orders: int
    first_key: str
    moved: Sequence[str]
    moved_to: Sequence[datetime]
    unwritten: Sequence[str]


@dataclass(frozen=True, slots=True)
class KeptTally(ReconciliationTally):
    """An account as the ledger keeps it, with what belongs to no order's standing."""

    unreadable: int = 0
    seconds: float = 0.0

    @property
    def tally(self) -> ReconciliationTally:
        """The account alone."""
        names = [each.name for each in fields(ReconciliationTally)]
        return ReconciliationTally(**{name: getattr(self, name) for name in names})
