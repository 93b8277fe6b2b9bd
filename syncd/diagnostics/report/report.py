"""A feed's period in figures, with how the feed stands now."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, time, timedelta, tzinfo

from syncd.core.verdict import Health
from syncd.diagnostics.report.figures import Figures, Reading
from syncd.diagnostics.report.period import Period
from syncd.postgres.database import Database
from syncd.postgres.statements import query

DEFAULT_SPAN = timedelta(days=30)
STEPS = Reading.STEPS + 1


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
            "reasons": [
                {
                    "severity": reason.severity.name.lower(),
                    "reason": reason.text,
                    "next": reason.next_step,
                }
                for reason in self.health.reasons
            ],
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
    """Read a report from the ledger.

    Args:
        database: The ledger's.
        feed: Its name and number.
        asked: The period.
        health: How the feed stands now.
        advance: Called after each of the STEPS.

    Raises:
        SyncdError: The ledger cannot be read.
    """
    name, feed_id = feed
    beginning = database.row(_Beginning, query("report_beginning"), feed=feed_id)
    advance()
    period = _period(asked, beginning)
    figures = Reading(database, feed_id, period, advance).read()
    return Report(name, beginning.now.astimezone(asked.zone), figures, health)


@dataclass(frozen=True, slots=True)
class _Beginning:
    """From when on the ledger may hold orders, and the time now."""

    now: datetime
    beginning: datetime


def _period(asked: Asked, ledger: _Beginning) -> Period:
    upper = asked.upper or ledger.now
    lower = asked.lower
    if lower is None:
        midnight = datetime.combine(
            (upper - DEFAULT_SPAN).astimezone(asked.zone).date(), time(), asked.zone
        )
        lower = max(midnight, min(ledger.beginning, upper - timedelta(hours=1)))
    return Period.of(lower, upper, asked.zone)
