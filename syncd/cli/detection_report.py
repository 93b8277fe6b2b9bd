"""Which shop system a database is, for people and for scripts."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from syncd.cli.prose import print_line
from syncd.core.sql_text import quoted
from syncd.core.wording import count
from syncd.setup.views import Recognised, shops

_SHOWN = 5
"""Missing columns that are named."""


def print_detection(console: Console, found: Sequence[Recognised], tables: int) -> None:
    """Print what was found, and the next step."""
    for each in found:
        console.print(Text(_title(each), style="bold"), soft_wrap=True)
        for line in _lines(each):
            print_line(console, line)
    fitting = next((each for each in found if each.fits), None)
    if fitting is not None:
        name = views_of(fitting)
        print_line(
            console, f"next: `syncd views try {name}`, then `syncd views apply {name}`"
        )
        return
    for line in _nothing(found, tables):
        print_line(console, line, hang=2)


def views_of(found: Recognised) -> str:
    """Return how the views are named on the command line, for this schema."""
    if found.schema == "public":
        return found.shop.name
    return f"{found.shop.name} --schema {quoted(found.schema)}"


def detected(found: Recognised) -> dict[str, object]:
    """Lay out what was found for scripts."""
    trial = found.trial
    return {
        "name": found.shop.name,
        "title": found.shop.title,
        "schema": found.schema,
        "version": found.version or None,
        "migration": found.migration or None,
        "tested": list(found.shop.tested),
        "fits": found.fits,
        "lacking": list(found.lacking),
        "readable": found.is_readable,
        "settings": dict(found.settings),
        "index": list(found.index),
        "listen": list(found.listen),
        "tried": None if trial is None else len(trial.keys),
        "sent": None if trial is None else trial.survey.sent,
        "untried": found.untried or None,
    }


def _title(found: Recognised) -> str:
    version = f" {found.version}" if found.version else ""
    tested = ", ".join(found.shop.tested)
    return (
        f"{found.shop.title}{version}, in schema {found.schema} "
        f"(syncd's views were tested on {tested})"
    )


def _lacking(found: Recognised) -> str:
    others = len(found.lacking) - _SHOWN
    more = f" and {others} more" if others > 0 else ""
    return ", ".join(found.lacking[:_SHOWN]) + more


def _lines(found: Recognised) -> Iterator[str]:
    if found.migration:
        yield f"  its last migration of the orders is {found.migration}"
    if not found.fits:
        yield f"  the views do not fit: there is no {_lacking(found)}"
        yield f"  change a copy: `syncd views show {found.shop.name} > my-shop.sql`"
        return
    yield f"  the views fit; an order is confirmed when {found.shop.confirmed}"
    yield from _tried(found)
    for name, value in found.settings.items():
        yield f"  set source.{name} = {_toml(value)}{_why(found, name)}"
    for statement in found.index:
        yield f"  add the index: {statement}"
    if found.listen:
        tables = " ".join(f"--listen '{each}'" for each in found.listen)
        yield f'  for capture = "listen": syncd install {tables}'


def _tried(found: Recognised) -> Iterator[str]:
    if not found.is_readable:
        yield "  this role may not read the tables: name with --dsn who may"
    elif found.untried:
        yield f"  they could not be tried: {found.untried}"
    elif found.trial is not None and not found.trial.keys:
        yield "  there is no confirmed order yet"
    elif found.trial is not None:
        sent, orders = found.trial.survey.sent, len(found.trial.keys)
        yield f"  of the newest {count(orders)}, {sent:,} would be sent"


def _toml(value: object) -> str:
    return "true" if value is True else f'"{value}"'


def _why(found: Recognised, name: str) -> str:
    if name == "time_zone":
        return ", unless the shop's own process runs in another zone"
    several = ", ".join(found.values(name.removeprefix("require_")))
    return f" (there are {several})"


def _nothing(found: Sequence[Recognised], tables: int) -> Iterator[str]:
    known = ", ".join(shop.title for shop in shops().values())
    if not tables:
        yield "this database has no tables: is it the shop's?"
        return
    if not found:
        yield f"none of the shop systems that syncd has views for: {known}"
    yield "next: `syncd views draft` proposes the two views for a shop of its own"
