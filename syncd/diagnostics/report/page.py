"""The page: figures as one HTML file that loads nothing and runs nothing."""

import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from syncd import __version__
from syncd.diagnostics.report import plot
from syncd.diagnostics.report.figures import Figures
from syncd.diagnostics.report.plot import NOTHING, duration, number
from syncd.diagnostics.report.plots import plots
from syncd.diagnostics.report.report import Report


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
