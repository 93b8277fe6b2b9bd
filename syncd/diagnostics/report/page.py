"""The page: figures as one HTML file that loads nothing and runs nothing."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from syncd import __version__
from syncd.diagnostics.report import plot
from syncd.diagnostics.report.period import Period, Unit
from syncd.diagnostics.report.plot import NOTHING, Plot, Series, duration, number
from syncd.diagnostics.report.report import Counts, Figures, Report


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
        "places": lambda value: f"{value:.2f}".rstrip("0").rstrip("."),
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

    def bars(title: str, counts: Counts, parts: Sequence[_Category]) -> Plot:
        series = [
            Series(part.name, part.kind, values)
            for part in parts
            if any(values := _added_up(counts, part.counts))
        ]
        totals = _added_up(counts, [name for part in parts for name in part.counts])
        return Plot(title, _most(totals, period), series, period, number)

    period, orders, attempts = figures.period, figures.orders, figures.attempts
    return [
        bars("Orders confirmed, and where they stand now", orders, _ORDERS),
        bars("Orders delivered", figures.delivered, _DELIVERED),
        _lags("From confirmed to delivered", figures),
        bars("Orders set aside", orders, _SET_ASIDE),
        bars("Requests accepted", attempts, _ACCEPTED),
        bars("Requests not accepted", attempts, _TROUBLED),
    ]


def _added_up(counts: Counts, names: Sequence[str]) -> list[int]:
    return [sum(row) for row in zip(*(counts[name] for name in names), strict=True)]


def _most(totals: Sequence[int], period: Period) -> str:
    total, most = sum(totals), max(totals)
    if not total:
        return "None in this period."
    name = period.name(totals.index(most))
    when = f"in {name}" if period.unit is Unit.MONTH else f"on {name}"
    return f"{number(total)} in all; most {when}: {number(most)}."


def _lags(title: str, figures: Figures) -> Plot:
    lag = figures.lag
    if lag is None:
        summary, series = "No live order was delivered.", []
    else:
        summary = (
            f"Lag of live orders: median {duration(lag.p50)}, "
            f"p95 {duration(lag.p95)}, p99 {duration(lag.p99)}."
        )
        lags = [each and asdict(each) for each in figures.lags]
        series = [
            Series(name, kind, [each[kind] if each else None for each in lags])
            for name, kind in (("p99", "p99"), ("p95", "p95"), ("median", "p50"))
        ]
    return Plot(title, summary, series, figures.period, duration, is_line=True)
