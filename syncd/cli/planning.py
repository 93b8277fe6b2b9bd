"""Asking for past orders: the plan, the question, and what is opened then."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import click
from rich.console import Console
from rich.text import Text

from syncd.backfill.plan import Plan, Planner, Purpose, Request
from syncd.backfill.register import Register
from syncd.cli.shell import changing, json_time
from syncd.config import Settings
from syncd.connections import source_on
from syncd.core.coverage import Span
from syncd.core.days import bars
from syncd.delivery.rendering import rules_of
from syncd.feed import Feeds
from syncd.ledger import Ledger

C = TypeVar("C", bound=Callable[..., object])

WIDEST_BAR = 40

_KEPT = {
    "delivered": "delivered already",
    "adopted": "adopted: delivered by something else",
    "pending": "known, waiting to be sent",
    "sending": "being sent",
    "held": "held, a person decides",
    "rejected": "rejected before: `syncd rejected list`",
    "discarded": "discarded",
    "forgotten": "forgotten, never sent",
    "started": "found and not sent at the first start",
}
_FLOWS = "Flows in Squeezely may start from past orders: ask Spotler, begin with a few."
_WITH_PROFILE = (
    "Names, addresses and other fields of the customer are sent too: they replace "
    "newer ones on the profile."
)
_WITHOUT_PROFILE = (
    "Only the orders' own fields are sent (--with-profile sends all), so that nothing "
    "newer on a profile is replaced."
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options that every verb has which asks for past orders."""

    yes: bool
    dry_run: bool
    as_text: bool
    with_profile: bool = False
    resend: bool = False
    reason: str | None = None

    def request(self, span: Span) -> Request:
        """Make the request for a range.

        Raises:
            click.UsageError: A resending without its reason, or the other way round.
        """
        reason = (self.reason or "").strip()
        if self.resend and not reason:
            raise click.UsageError(
                'Say why orders are sent again: --resend --reason "wrong SKUs".'
            )
        if reason and not self.resend:
            raise click.UsageError("--reason belongs to --resend.")
        purpose: Purpose = "resend" if self.resend else "send"
        return Request(span, purpose, self.with_profile, reason or None)


def asking_options(command: C) -> C:
    """Give a command the options of `Wishes` that adopting has as well."""
    for option in (
        click.option("--json", "as_text", is_flag=True, help="The plan, for scripts."),
        click.option("--dry-run", is_flag=True, help="Show the plan only."),
        click.option("--yes", is_flag=True, help="Do not ask."),
    ):
        command = option(command)
    return command


def sending_options(command: C) -> C:
    """Give a command all options of `Wishes`."""
    for option in (
        click.option("--reason", metavar="TEXT", help="Why, for the receipts."),
        click.option("--resend", is_flag=True, help="Delivered orders too."),
        click.option(
            "--with-profile", is_flag=True, help="The customer's fields as well."
        ),
    ):
        command = option(command)
    return asking_options(command)


@dataclass(frozen=True, slots=True)
class Opened:
    """What was asked for: the plan, and the number of its backfill."""

    plan: Plan
    backfill: int


def ask(
    settings: Settings,
    bounds: Callable[[datetime], Span],
    wishes: Wishes,
    *,
    adopts: bool = False,
) -> Opened | None:
    """Show the plan, ask, and open the backfill; None when nothing was opened.

    Args:
        settings: The configuration.
        bounds: Makes the range from the time up to which orders are past ones.
        wishes: The options given.
        adopts: Mark the orders as delivered instead of sending them.
    """
    with changing(settings) as connections:
        feed = Feeds(connections, settings.feed).get()
        ledger = Ledger(connections.ledger, feed.feed_id)
        planner = Planner(source_on(settings, connections), ledger, rules_of(settings))
        span = bounds(planner.ceiling())
        if not adopts:
            ledger.refuse_thinned(span.lower)
        request = Request(span, "adopt") if adopts else wishes.request(span)
        plan = planner.plan(request)
        rate = settings.backfill.rate
        if not wishes.as_text:
            _show(plan, rate)
        opened = None
        if plan.orders and not wishes.dry_run:
            _confirm(plan, wishes)
            opened = Opened(plan, Register(ledger).open(plan))
    number = opened.backfill if opened else None
    if wishes.as_text:
        facts = _facts(plan, rate) | {"backfill": number}
        click.echo(json.dumps(facts, indent=2, default=json_time))
    elif opened:
        click.echo(f"backfill {number}: a running daemon begins within seconds;")
        click.echo(f"see it with: syncd backfill watch {number}")
    return opened


def _confirm(plan: Plan, wishes: Wishes) -> None:
    if wishes.yes:
        return
    if wishes.as_text or not sys.stdin.isatty():
        raise click.UsageError(
            "Nobody is here to be asked: add --yes, or --dry-run to see the plan only."
        )
    adopts = plan.request.purpose == "adopt"
    click.confirm("Mark them as delivered?" if adopts else "Send them?", abort=True)


def _facts(plan: Plan, rate: float | None) -> dict[str, object]:
    return {
        "from": plan.request.span.lower,
        "to": plan.request.span.upper,
        "purpose": plan.request.purpose,
        "with_profile": plan.request.with_profile,
        "confirmed": plan.confirmed,
        "orders": plan.orders,
        "resent": plan.resent,
        "standings": dict(plan.standings),
        "days": {day.isoformat(): n for day, n in sorted(plan.days.items())},
        "covered": [{"from": s.lower, "to": s.upper} for s in plan.covered],
        "tried": plan.sample.orders,
        "faults": len(plan.sample.faults),
        "examples": [
            {"order_key": key, "reason": reason} for key, reason in plan.sample.examples
        ],
        "seconds": plan.seconds(rate),
    }


# For people


def _show(plan: Plan, rate: float | None) -> None:
    console = Console(highlight=False)
    span = plan.request.span
    console.print(
        f"Orders confirmed after {minute(span.lower)} up to {minute(span.upper)}"
    )
    if histogram := list(_histogram(plan, console)):
        console.print()
        for bar in histogram:
            console.print(bar, no_wrap=True)
        console.print()
    for line in _lines(plan, rate):
        console.print(line)


def _histogram(plan: Plan, console: Console) -> Iterator[Text]:
    grouped = bars(plan.days)
    most = max((orders for _, orders in grouped), default=0)
    digits = len(f"{most:,}")
    for label, orders in grouped:
        room = min(WIDEST_BAR, console.width - len(label) - digits - 3)
        length = round(orders / most * max(1, room)) or int(orders > 0)
        block = "#" if console.options.ascii_only else "█"
        line = Text(f"{label} ")
        line.append(block * length, style="cyan")
        yield line.append(f" {orders:,}")


def _lines(plan: Plan, rate: float | None) -> Iterator[str]:
    adopts = plan.request.purpose == "adopt"
    yield f"{plan.confirmed:,} confirmed orders"
    taken = {"delivered", "adopted"} if plan.request.purpose == "resend" else set()
    for standing, words in _KEPT.items():
        orders = plan.count(standing)
        if orders and standing not in taken:
            yield f"  {orders:,} {words}"
    if plan.resent:
        yield f"  {plan.resent:,} delivered already, to be sent AGAIN"
    for span in plan.covered:
        yield f"  {minute(span.lower)} to {minute(span.upper)} was covered before"
    if adopts:
        yield f"{plan.orders:,} to adopt: they count as delivered and are never sent"
        yield "  unless `syncd backfill --resend` asks for them."
        return
    yield f"{plan.orders:,} to send, {_time(plan, rate)}"
    if plan.orders:
        yield from _tried(plan)
        yield _FLOWS
        yield _WITH_PROFILE if plan.request.with_profile else _WITHOUT_PROFILE


def _tried(plan: Plan) -> Iterator[str]:
    sample = plan.sample
    if not sample.faults:
        yield f"  {sample.orders:,} of the range were tried: each can be sent"
        return
    faults = f"{len(sample.faults):,} of {sample.orders:,}"
    yield f"  {faults} that were tried cannot be sent:"
    for key, reason in sample.examples:
        yield f"    order {key}: {reason}"


def _time(plan: Plan, rate: float | None) -> str:
    if rate is None:
        return "as fast as the API takes them (backfill.rate)"
    return f"about {duration(plan.seconds(rate))} at {rate:g}/s (backfill.rate)"


def minute(time: datetime) -> str:
    """Write a time for people, in the zone of this machine, to the minute."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M")


def duration(seconds: float) -> str:
    """Write a duration for people, in one unit."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
