"""The figures of a report: read from the ledger, in a bounded number of buckets."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from syncd.diagnostics.report.period import Period
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement, query

T = TypeVar("T")

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
            replace(each, name="pending") if each.name in _PENDING else each
            for each in self._rows(_Counted, query("report_orders"))
        ]
        shares = self._rows(_Share, query("report_lags"))
        lags = {share.part: Lag(*share.seconds) for share in shares if share.seconds}
        deliveries = self._rows(_Delivered, query("report_deliveries"))
        repeats = [_Counted(each.part, "may be", each.repeats) for each in deliveries]
        attempts = self._rows(_Counted, query("report_attempts"))
        return Figures(
            period=self._period,
            orders=self._counts(STANDINGS, orders),
            delivered=self._counts(LANES, deliveries),
            repeats=self._counts(["may be"], repeats)["may be"],
            attempts=self._counts(OUTCOMES, attempts),
            lags=[lags.get(part) for part in range(1, len(self._period.starts) + 1)],
            lag=lags.get(None),
            reasons=self._rows(Reason, query("report_reasons")),
            reconciled=self._rows(Finished, query("report_reconciliations")),
            backfills=self._rows(PastRange, query("report_backfills")),
        )

    def _rows(self, kind: type[T], statement: Statement) -> list[T]:
        rows = self._database.rows(kind, statement, **self._asked)
        self._advance()
        return rows

    def _counts(
        self, names: Iterable[str], counted: Iterable["_Counted"]
    ) -> dict[str, list[int]]:
        """Put counted parts in their places; a name that comes twice is added up."""
        counts = {name: [0] * len(self._period.starts) for name in names}
        for each in counted:
            counts[each.name][each.part - 1] += each.orders
        return counts


@dataclass(frozen=True, slots=True)
class _Counted:
    """Orders of a part of the period."""

    part: int
    name: str
    orders: int


@dataclass(frozen=True, slots=True)
class _Delivered(_Counted):
    repeats: int


@dataclass(frozen=True, slots=True)
class _Share:
    """Of a part of the period, or None of all, what shares of the orders took."""

    part: int | None
    seconds: Sequence[float] | None
