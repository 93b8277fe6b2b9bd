"""Which plots a report has: orders, deliveries, how long they took, what went wrong."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from syncd.diagnostics.report.figures import Counts, Figures, Lag
from syncd.diagnostics.report.period import Unit
from syncd.diagnostics.report.plot import Plot, Series, duration, number


@dataclass(frozen=True, slots=True)
class _Part:
    """A colour of stacked bars, and the counts that are added up in it."""

    name: str
    kind: str
    counts: tuple[str, ...]


_ORDERS = (
    _Part("delivered", "good", ("delivered",)),
    _Part("waiting", "wait", ("pending", "held")),
    _Part("set aside", "bad", ("rejected", "discarded", "withdrawn", "erased")),
    _Part("before the first start", "past", ("adopted",)),
)
_DELIVERED = (
    _Part("live", "good", ("live",)),
    _Part("backfill", "past", ("backfill",)),
)
_SET_ASIDE = (
    _Part("rejected", "bad", ("rejected",)),
    _Part("given up", "past", ("discarded", "erased")),
    _Part("withdrawn", "wait", ("withdrawn",)),
)
_ACCEPTED = (_Part("accepted", "good", ("accepted",)),)
_TROUBLED = (
    _Part("refused", "bad", ("refused", "client_refused")),
    _Part("tried again", "wait", ("transient", "unread")),
    _Part("unclear", "past", ("unclear", "uncertain")),
)


def plots(figures: Figures) -> Sequence[Plot]:
    """Make the plots of a page, all over the same period."""
    made = _Maker(figures)
    orders, attempts = figures.orders, figures.attempts
    return [
        made.bars("Orders confirmed, and where they stand now", orders, _ORDERS),
        made.bars("Orders delivered", figures.delivered, _DELIVERED),
        made.lags("From confirmed to delivered"),
        made.bars("Orders set aside", orders, _SET_ASIDE),
        made.bars("Requests accepted", attempts, _ACCEPTED),
        made.bars("Requests not accepted", attempts, _TROUBLED),
    ]


@dataclass(frozen=True, slots=True)
class _Maker:
    figures: Figures

    def bars(self, title: str, counts: Counts, parts: Sequence[_Part]) -> Plot:
        series = [
            Series(part.name, part.kind, values)
            for part in parts
            if any(values := _added_up(counts, part))
        ]
        totals = _added_up(counts, _Part("", "", sum((p.counts for p in parts), ())))
        return Plot(title, self._most(totals), series, self.figures.period, number)

    def lags(self, title: str) -> Plot:
        figures = self.figures
        shares: Mapping[str, Callable[[Lag], float]] = {
            "99 of 100": lambda lag: lag.p99,
            "95 of 100": lambda lag: lag.p95,
            "half": lambda lag: lag.p50,
        }
        kinds = ("p99", "p95", "p50")
        series = [
            Series(name, kind, [share(lag) if lag else None for lag in figures.lags])
            for kind, (name, share) in zip(kinds, shares.items(), strict=True)
        ]
        series = series if figures.lag else []
        told = _told(figures.lag)
        return Plot(title, told, series, figures.period, duration, is_line=True)

    def _most(self, totals: Sequence[int]) -> str:
        total, most = sum(totals), max(totals)
        if not total:
            return "None in this period."
        period = self.figures.period
        name = period.name(totals.index(most))
        when = f"in {name}" if period.unit is Unit.MONTH else f"on {name}"
        return f"{number(total)} in all; most {when}: {number(most)}."


def _added_up(counts: Counts, part: _Part) -> list[int]:
    rows = zip(*(counts[name] for name in part.counts), strict=True)
    return [sum(row) for row in rows]


def _told(lag: Lag | None) -> str:
    if lag is None:
        return "No live order was delivered."
    return (
        f"Half of the live orders took at most {duration(lag.p50)}, "
        f"95 of 100 {duration(lag.p95)}, 99 of 100 {duration(lag.p99)}."
    )
