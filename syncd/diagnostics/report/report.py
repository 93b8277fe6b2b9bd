"""A feed's period in figures, read from the ledger, with how the feed stands now."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, time, timedelta, tzinfo
from typing import TypeVar

from syncd.core.verdict import Health
from syncd.diagnostics.report.period import Period
from syncd.diagnostics.status.document import reasons
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

DEFAULT_SPAN = timedelta(days=30)
STEPS = 8
"""Statements that a report reads."""


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


@dataclass(frozen=True, slots=True)
class Asked:
    """Which period is asked for, in the shop's time zone.

    Attributes:
        lower: Included; None: 30 days before, or the beginning.
        upper: Excluded; None: now.
    """

    lower: datetime | None
    upper: datetime | None
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class Report:
    """The content of a page: a feed's period, and its health now."""

    feed: str
    made_at: datetime
    figures: Figures
    health: Health

    def facts(self) -> Mapping[str, object]:
        """Return the same for scripts: times aware, parts in order."""
        figures, period = self.figures, self.figures.period
        return {
            "feed": self.feed,
            "made_at": self.made_at,
            "from": period.lower,
            "to": period.upper,
            "time_zone": str(period.zone),
            "unit": period.unit.value,
            "starts": period.starts,
            "verdict": self.health.verdict,
            "reasons": reasons(self.health),
            "confirmed": figures.confirmed,
            "orders": figures.orders,
            "delivered": figures.delivered,
            "possible_repeats": figures.repeats,
            "attempts": figures.attempts,
            "lag_seconds": figures.lag and asdict(figures.lag),
            "lags_seconds": [lag and asdict(lag) for lag in figures.lags],
            "set_aside": [asdict(reason) for reason in figures.reasons],
            "reconciliations": [asdict(account) for account in figures.reconciled],
            "backfills": [asdict(past) for past in figures.backfills],
        }


def read_report(
    database: Database,
    feed: tuple[str, int],
    asked: Asked,
    health: Health,
    advance: Callable[[], None] = lambda: None,
) -> Report:
    """Read a report of a feed, given by name and number, from the ledger's database.

    `advance` is called after each of the STEPS.

    Raises:
        SyncdError: The ledger cannot be read.
    """
    name, feed_id = feed
    beginning = database.row(_Beginning, query("report_beginning"), feed=feed_id)
    advance()
    period = _period(asked, beginning)
    figures = _Reader(database, feed_id, period, advance).read()
    return Report(name, beginning.now.astimezone(asked.zone), figures, health)


def _period(asked: Asked, ledger: "_Beginning") -> Period:
    upper = asked.upper or ledger.now
    lower = asked.lower
    if lower is None:
        midnight = datetime.combine(
            (upper - DEFAULT_SPAN).astimezone(asked.zone).date(), time(), asked.zone
        )
        lower = max(midnight, min(ledger.beginning, upper - timedelta(hours=1)))
    return Period.of(lower, upper, asked.zone)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads a period's figures, one statement after the other."""

    database: Database
    feed_id: int
    period: Period
    advance: Callable[[], None]

    def read(self) -> Figures:
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
            period=self.period,
            orders=self._counts(STANDINGS, orders),
            delivered=self._counts(LANES, deliveries),
            repeats=self._counts(["may be"], repeats)["may be"],
            attempts=self._counts(OUTCOMES, attempts),
            lags=[lags.get(part) for part in range(1, len(self.period.starts) + 1)],
            lag=lags.get(None),
            reasons=self._rows(Reason, query("report_reasons")),
            reconciled=self._rows(Finished, query("report_reconciliations")),
            backfills=self._rows(PastRange, query("report_backfills")),
        )

    def _rows(self, kind: type[T], statement: Statement) -> list[T]:
        starts = [*self.period.starts]
        bounds = {"lower": self.period.lower, "upper": self.period.upper}
        rows = self.database.rows(
            kind, statement, feed=self.feed_id, starts=starts, **bounds
        )
        self.advance()
        return rows

    def _counts(
        self, names: Iterable[str], counted: Iterable["_Counted"]
    ) -> dict[str, list[int]]:
        """Put counted parts in their places; a name that comes twice is added up."""
        counts = {name: [0] * len(self.period.starts) for name in names}
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


@dataclass(frozen=True, slots=True)
class _Beginning:
    """From when on the ledger may hold orders, and the time now."""

    now: datetime
    beginning: datetime
