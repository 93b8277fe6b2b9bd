"""Asking for past orders: the plan, the question, and what is opened then."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import click

from syncd.backfill.plan import Plan, Planner, Purpose, Request
from syncd.backfill.register import Register
from syncd.cli.plan import show
from syncd.cli.prose import tell
from syncd.cli.shell import changing, json_time
from syncd.config import Settings
from syncd.connections import source_on
from syncd.core.coverage import Span
from syncd.core.health import Member
from syncd.database import named
from syncd.delivery.rendering import rules_of
from syncd.feed import Feeds
from syncd.ledger import Ledger

C = TypeVar("C", bound=Callable[..., object])


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
            ledger.refuse_thinned(span.lower, span.upper)
        register = Register(ledger)
        if not wishes.dry_run:
            register.refuse_overlap(span)
        request = Request(span, "adopt") if adopts else wishes.request(span)
        plan = planner.plan(request)
        rate = settings.backfill.rate
        if not wishes.as_text:
            show(plan, rate, rules_of(settings).zone)
        opened = None
        if plan.orders and not wishes.dry_run:
            _confirm(plan, wishes)
            opened = Opened(plan, register.open(plan))
        is_served = any(
            Member(*row).is_alive  # type: ignore[arg-type]  # the statement's columns
            for row in ledger.database.all(named("presence"), feed=feed.feed_id)
        )
    number = opened.backfill if opened else None
    if wishes.as_text:
        facts = _facts(plan, rate) | {"backfill": number}
        click.echo(json.dumps(facts, indent=2, default=json_time))
    elif opened:
        when = "a running daemon begins within seconds"
        if not is_served:
            when = "no daemon runs now, `syncd run` begins with it"
        tell(
            f"backfill {number}: {when};", f"see it with: syncd backfill watch {number}"
        )
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
        "tried": plan.sample.orders,
        "faults": len(plan.sample.faults),
        "examples": [
            {"order_key": key, "reason": reason} for key, reason in plan.sample.examples
        ],
        "seconds": plan.seconds(rate),
    }
