"""What a report tells: read from the ledger, part by part, bounded by their number."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from syncd.diagnostics.report.period import Period
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement, query

Counts = Mapping[str, Sequence[int]]
"""By name, a number for each part of the period, in order."""

STANDINGS = ("delivered", "pending", "held", "rejected", "discarded", "withdrawn",
             "erased", "adopted")  # fmt: skip
LANES = ("live", "backfill")
OUTCOMES = ("accepted", "refused", "client_refused", "transient", "unread", "unclear",
            "uncertain")  # fmt: skip

_PENDING = {"sending", "emptied"}


@dataclass(frozen=True, slots=True)
class Lag:
    """Seconds from confirmation to delivery that this share of live orders took."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Reason:
    """Why orders were set aside; no personal data, as in the ledger."""

    state: str
    reason: str
    orders: int


@dataclass(frozen=True, slots=True)
class Finished:
    """An account; `unexplained` of its missing orders are not captured."""

    finished_at: datetime
    scope: str
    missing: int
    unexplained: int
    sentence: str


@dataclass(frozen=True, slots=True)
class PastRange:
    """A backfill that was asked for; `finished_at` is None unless it was finished."""

    requested_at: datetime
    lower_at: datetime
    upper_at: datetime
    orders: int
    finished_at: datetime | None
    purpose: str
    state: str


@dataclass(frozen=True, slots=True)
class Figures:
    """A period in figures.

    Attributes:
        orders: By where they stand now, in the part of their confirmation.
        delivered: By lane, in the part of their delivery.
        repeats: Of those delivered, how many may have been sent twice.
        attempts: By outcome, in the part in which they began.
        lags: Of live orders, in the part of their confirmation; None without any.
        lag: Of the whole period.
        reasons: The most frequent ones first, 20 at most.
        reconciled: Newest first, 20 at most.
        backfills: Newest first, 20 at most.
    """

    period: Period
    orders: Counts
    delivered: Counts
    repeats: Sequence[int]
    attempts: Counts
    lags: Sequence[Lag | None]
    lag: Lag | None
    reasons: Sequence[Reason]
    reconciled: Sequence[Finished]
    backfills: Sequence[PastRange]

    @property
    def confirmed(self) -> Sequence[int]:
        """All orders, in the part of their confirmation."""
        return [sum(part) for part in zip(*self.orders.values(), strict=True)]


class Reading:
    """Reads a period's figures, one statement after the other."""

    STEPS = 7

    def __init__(
        self,
        database: Database,
        feed_id: int,
        period: Period,
        advance: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._advance = advance
        self._period = period
        self._asked = {
            "feed": feed_id,
            "starts": [*period.starts],
            "lower": period.lower,
            "upper": period.upper,
        }

    def read(self) -> Figures:
        """Read the figures; `advance` is called after each of the steps.

        Raises:
            SyncdError: The database cannot be read.
        """
        orders = [
            (part, "pending" if standing in _PENDING else standing, number)
            for part, standing, number in self._rows(query("report_orders"))
        ]
        shares = self._rows(query("report_lags"))
        lags = {part: Lag(*lag) for part, lag in shares if lag}
        deliveries = self._rows(query("report_deliveries"))
        repeats = [(part, "may be", number) for part, _, _, number in deliveries]
        attempts = self._rows(query("report_attempts"))
        return Figures(
            period=self._period,
            orders=self._counts(STANDINGS, orders),
            delivered=self._counts(LANES, [row[:3] for row in deliveries]),
            repeats=self._counts(["may be"], repeats)["may be"],
            attempts=self._counts(OUTCOMES, attempts),
            lags=[lags.get(part) for part in range(1, len(self._period.starts) + 1)],
            lag=lags.get(None),
            reasons=[Reason(*row) for row in self._rows(query("report_reasons"))],
            reconciled=[
                Finished(*row) for row in self._rows(query("report_reconciliations"))
            ],
            backfills=[
                PastRange(*row) for row in self._rows(query("report_backfills"))
            ],
        )

    def _rows(self, statement: Statement) -> list[tuple[Any, ...]]:
        rows = self._database.all(statement, **self._asked)
        self._advance()
        return cast("list[tuple[Any, ...]]", rows)

    def _counts(
        self, names: Iterable[str], rows: Iterable[tuple[Any, ...]]
    ) -> dict[str, list[int]]:
        """Put counted parts in their places; a name that comes twice is added up."""
        counts = {name: [0] * len(self._period.starts) for name in names}
        for part, name, number in rows:
            counts[name][part - 1] += number
        return counts
