"""What `syncd views try` and `detect` found, for people and for scripts."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from syncd.cli.check import print_finding
from syncd.cli.output import print_line, shown_json
from syncd.cli.plan import minute
from syncd.config.settings import Settings
from syncd.core.sql_text import quoted
from syncd.core.survey import Survey, Tally
from syncd.core.wording import count, span
from syncd.delivery.rendering import rules_of
from syncd.diagnostics.check.role import listed
from syncd.setup.views.detection import Recognised
from syncd.setup.views.shop import shops
from syncd.setup.views.trial import Difference, TrialResult

EVENTS = 3
"""Events that are shown as they would be sent."""

_REASONS = 10
MOST_NAMED = 5


def print_trial(
    console: Console, settings: Settings, result: TrialResult, where: str
) -> None:
    """Print the outcome for the orders, and what the views are like."""
    for line in _summary(settings, result):
        print_line(console, line, hang=2)
    _print_section(console, "Outcome of the orders", _outcomes(settings, result.survey))
    _print_section(console, "Columns and look-ups")
    for finding in result.findings:
        print_finding(console, finding)
    odd = [*_oddities(settings, result)] or ["  nothing"]
    _print_section(console, "Worth checking", odd)
    _print_section(console, "Events as they would be sent")
    for event in list(result.survey.events.values())[:EVENTS]:
        console.print(shown_json(event), markup=False, soft_wrap=True)
    _print_section(console, "Compared with the current views", _change(result.change))
    print_line(console, f"Nothing was changed. Next: {_next(result, where)}", hang=2)


def document(result: TrialResult) -> dict[str, object]:
    """Lay a trial out for scripts; without the events, which are personal data."""
    survey = result.survey
    return {
        "views": result.title,
        "read": len(result.keys),
        "sent": survey.sent,
        "waiting": _tallies(survey.waiting),
        "refused": _tallies(survey.refused),
        "left_out": _tallies(survey.left_out),
        "padded": _tallies(survey.padded),
        "rounded": _tallies(survey.rounded),
        "without_time": result.without_time,
        "several_rows": result.repeated[0],
        "slow": result.slow or None,
        "findings": [asdict(finding) for finding in result.findings],
        "difference": asdict(result.change) if result.change else None,
    }


def _tallies(tallies: Mapping[str, Tally]) -> list[dict[str, object]]:
    return [
        {"what": what, "orders": tally.orders, "order_key": tally.key}
        for what, tally in tallies.items()
    ]


def _print_section(console: Console, heading: str, lines: Iterable[str] = ()) -> None:
    console.print(Text(heading, style="bold"))
    for line in lines:
        print_line(console, line)


def _summary(settings: Settings, result: TrialResult) -> Iterator[str]:
    times = list(result.listed.values())
    if not times:
        yield f"{result.title}: the views list no order"
        return
    zone = rules_of(settings).zone
    ago = result.now - times[0]
    when = f"{span(ago)} ago" if ago.total_seconds() >= 0 else f"{span(-ago)} ahead"
    yield (
        f"{result.title}: the newest {count(len(result.keys))}, confirmed from "
        f"{minute(times[-1], zone)} to {minute(times[0], zone)} "
        f"({settings.source.time_zone or 'UTC'}; the newest {when})"
    )
    if result.slow:
        yield f"not everything was checked: {result.slow}"


def _outcomes(settings: Settings, survey: Survey) -> Iterator[str]:
    yield f"  {count(survey.sent)} would be sent"
    for reason, tally in [*survey.refused.items()][:_REASONS]:
        yield f"  {count(tally.orders)} refused: {reason}, for example {tally.key}"
    if len(survey.refused) > _REASONS:
        yield f"  and {len(survey.refused) - _REASONS} more reasons to refuse some"
    timeout = span(settings.source.completeness_timeout)
    until = f"{timeout} (source.completeness_timeout), then refused"
    for reason, tally in survey.waiting.items():
        why = f"{reason}, for example {tally.key}"
        yield f"  {count(tally.orders)} waited for {until}: {why}"
    for detail, tally in [*survey.left_out.items()][:_REASONS]:
        yield f"  {count(tally.orders)} sent without {detail}, for example {tally.key}"


def _oddities(settings: Settings, result: TrialResult) -> Iterator[str]:
    survey = result.survey
    for name, tally in survey.padded.items():
        yield f"  {name} has blanks around {_where(tally)}: they are removed"
    for name, tally in survey.rounded.items():
        where = _where(tally)
        yield f"  {name} has more digits than its currency {where}: it is rounded"
    if ratio := survey.unit():
        lines = f"{ratio:.3g} times its lines (price times quantity)"
        yield f"  totalvalue is {lines}: are both in the same unit, or is one in cents?"
    if negative := survey.left_out.get("totalvalue: it is negative"):
        where = _where(negative)
        yield f"  totalvalue is negative {where}: are refunds listed as orders?"
    yield from _odd_times(result)
    if result.repeated[0]:
        orders, key = result.repeated
        what = f"{count(orders)} have several rows in purchases, for example {key}"
        yield f"  {what}: what differs between them is not sent"
    yield from _unasked(settings, survey)
    if any("no products" in reason for reason in survey.waiting):
        page = '"Lines that come after the confirmation" in sql/shops/README.md'
        yield f"  late lines: if the shop adds lines later, see {page}"


def _where(tally: Tally) -> str:
    return f"in {count(tally.orders)}, for example {tally.key}"


def _odd_times(result: TrialResult) -> Iterator[str]:
    if result.without_time:
        orders = count(result.without_time)
        yield f"  {orders} have no usable time: not sent until they do"
    ahead = [key for key, at in result.listed.items() if at > result.now]
    if ahead:
        by = span(result.listed[ahead[0]] - result.now)
        what = f"{count(len(ahead))} up to {by} in the future, for example {ahead[0]}"
        yield f"  confirmed_at: {what}: is source.time_zone right?"


def _unasked(settings: Settings, survey: Survey) -> Iterator[str]:
    """List what a shop with several currencies or languages should require."""
    source = settings.source
    for name, is_required in (
        ("currency", source.require_currency),
        ("language", source.require_language),
    ):
        found = {str(event.get(name, "none")) for event in survey.events.values()}
        if len(found) > 1 and not is_required:
            several = ", ".join(sorted(found))
            step = f"set source.require_{name} = true"
            if "none" in found:
                step = f"with source.require_{name} those without are refused"
            yield f"  {name} is {several}: {step}"


def _change(change: Difference | None) -> Iterator[str]:
    if change is None:
        yield "  this role can read no current views"
        return
    if change.is_none:
        yield f"  no difference in {count(change.compared)}"
        return
    for what, tally in (
        ("more listed", change.added),
        ("no longer listed", change.gone),
        ("confirmed at another time", change.moved),
        ("with another event", change.changed),
    ):
        if tally.orders:
            yield f"  {count(tally.orders)} {what}, for example {tally.key}"
    most = sorted(change.fields.items(), key=lambda entry: (-entry[1], entry[0]))
    for name, orders in most[:_REASONS]:
        yield f"    {name} in {count(orders)}"


def _next(result: TrialResult, where: str) -> str:
    apply = f"`syncd views apply {where} --as DSN`"
    if result.is_good and result.marks:
        marked = f"the comments with DOUBT or GAP ({result.marks})"
        return f"check {marked} in {where}; once the views are right, {apply}"
    if result.is_good:
        return apply
    if any(finding.severity == "error" for finding in result.findings):
        return "fix the errors above, and try again"
    return "correct the views, and try them again"


def print_detection(console: Console, found: Sequence[Recognised], tables: int) -> None:
    """Print what was found, and the next step."""
    for each in found:
        shop, version = each.shop, f" {each.version}" if each.version else ""
        tested = f"(syncd's views were tested on {', '.join(shop.tested)})"
        title = f"{shop.title}{version}, in schema {each.schema} {tested}"
        console.print(Text(title, style="bold"), soft_wrap=True)
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


def _lines(found: Recognised) -> Iterator[str]:
    if found.migration:
        yield f"  its last migration of the orders is {found.migration}"
    if not found.fits:
        yield f"  the views do not fit: there is no {listed(found.lacking, MOST_NAMED)}"
        yield f"  change a copy: `syncd views show {found.shop.name} > my-shop.sql`"
        return
    yield f"  the views fit; an order is confirmed when {found.shop.confirmed}"
    yield from _tried(found)
    for name, value in found.settings.items():
        yield f"  set source.{name} = {json.dumps(value)}{_why(found, name)}"
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


def _why(found: Recognised, name: str) -> str:
    if name == "time_zone":
        return ", unless the shop's own process runs in another zone"
    return f" (there are {', '.join(found.values(name.removeprefix('require_')))})"


def _nothing(found: Sequence[Recognised], tables: int) -> Iterator[str]:
    known = ", ".join(shop.title for shop in shops().values())
    if not tables:
        yield "this database has no tables: is it the shop's?"
        return
    if not found:
        yield f"none of the shop systems that syncd has views for: {known}"
    yield "next: `syncd views draft` proposes the two views for a shop of its own"
