"""The page: figures as one HTML file that loads nothing and runs nothing."""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from syncd import __version__
from syncd.diagnostics.report import plot
from syncd.diagnostics.report.period import Unit
from syncd.diagnostics.report.plot import NOTHING, Plot, Series, duration, number
from syncd.diagnostics.report.report import Counts, Figures, Lag, Report


def page(report: Report) -> str:
    """Write a report as HTML; whatever the ledger holds is shown as text."""
    style = (files("syncd.diagnostics.report") / "page.css").read_text(encoding="utf-8")
    digest = b64encode(sha256(style.encode()).digest()).decode()
    figures = report.figures
    counts = [*figures.orders.values(), *figures.attempts.values()]
    return _template().render(
        report=report,
        figures=figures,
        period=figures.period,
        totals=_totals(figures),
        plots=plots(figures),
        is_empty=not any(map(sum, counts)),
        style=style,
        policy=f"default-src 'none'; style-src 'sha256-{digest}'",
        version=__version__,
        height=plot.HEIGHT,
        zone=figures.period.zone,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("syncd", "diagnostics/report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": number,
        "moment": _moment,
        "places": _places,
        "marked": _marked,
    }
    return environment.get_template("page.html")


def _moment(time: datetime, report: Report) -> str:
    local = time.astimezone(report.figures.period.zone)
    return f"{local.day} {local:%b %Y, %H:%M}"


def _marked(text: str) -> Markup:
    """Show what is between backticks as a command."""
    shown = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup(shown)  # noqa: S704  # the text itself was escaped


def _places(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _totals(figures: Figures) -> Mapping[str, str]:
    orders = {name: sum(values) for name, values in figures.orders.items()}
    lag = figures.lag
    return {
        "confirmed": number(sum(figures.confirmed)),
        "of them delivered": number(orders["delivered"]),
        "waiting": number(orders["pending"] + orders["held"]),
        "rejected": number(orders["rejected"]),
        "median lag": duration(lag.p50) if lag else NOTHING,
        "p99 lag": duration(lag.p99) if lag else NOTHING,
    }


@dataclass(frozen=True, slots=True)
class _Category:
    """A colour of stacked bars, and the counts that are added up in it."""

    name: str
    kind: str
    counts: tuple[str, ...]


_ORDERS = (
    _Category("delivered", "good", ("delivered",)),
    _Category("waiting", "wait", ("pending", "held")),
    _Category("set aside", "bad", ("rejected", "discarded", "withdrawn", "erased")),
    _Category("before the first start", "past", ("adopted",)),
)
_DELIVERED = (
    _Category("live", "good", ("live",)),
    _Category("backfill", "past", ("backfill",)),
)
_SET_ASIDE = (
    _Category("rejected", "bad", ("rejected",)),
    _Category("given up", "past", ("discarded", "erased")),
    _Category("withdrawn", "wait", ("withdrawn",)),
)
_ACCEPTED = (_Category("accepted", "good", ("accepted",)),)
_TROUBLED = (
    _Category("refused", "bad", ("refused", "client_refused")),
    _Category("tried again", "wait", ("transient", "unread")),
    _Category("unclear", "past", ("unclear", "uncertain")),
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

    def bars(self, title: str, counts: Counts, parts: Sequence[_Category]) -> Plot:
        series = [
            Series(part.name, part.kind, values)
            for part in parts
            if any(values := _added_up(counts, part))
        ]
        totals = _added_up(
            counts, _Category("", "", sum((p.counts for p in parts), ()))
        )
        return Plot(title, self._most(totals), series, self.figures.period, number)

    def lags(self, title: str) -> Plot:
        figures = self.figures
        shares: Mapping[str, Callable[[Lag], float]] = {
            "p99": lambda lag: lag.p99,
            "p95": lambda lag: lag.p95,
            "median": lambda lag: lag.p50,
        }
        kinds = ("p99", "p95", "p50")
        series = [
            Series(name, kind, [share(lag) if lag else None for lag in figures.lags])
            for kind, (name, share) in zip(kinds, shares.items(), strict=True)
        ]
        series = series if figures.lag else []
        summary = _lag_summary(figures.lag)
        return Plot(title, summary, series, figures.period, duration, is_line=True)

    def _most(self, totals: Sequence[int]) -> str:
        total, most = sum(totals), max(totals)
        if not total:
            return "None in this period."
        period = self.figures.period
        name = period.name(totals.index(most))
        when = f"in {name}" if period.unit is Unit.MONTH else f"on {name}"
        return f"{number(total)} in all; most {when}: {number(most)}."


def _added_up(counts: Counts, part: _Category) -> list[int]:
    rows = zip(*(counts[name] for name in part.counts), strict=True)
    return [sum(row) for row in rows]


def _lag_summary(lag: Lag | None) -> str:
    if lag is None:
        return "No live order was delivered."
    return (
        f"Lag of live orders: median {duration(lag.p50)}, "
        f"p95 {duration(lag.p95)}, p99 {duration(lag.p99)}."
    )
