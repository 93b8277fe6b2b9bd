"""Requests for past orders: the options, the plan, the question, the backfill."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import click

from syncd.backfill.plan import Plan, Planner, Purpose, Request
from syncd.backfill.store import BackfillStore
from syncd.capture.unreadable import Exclusion, UnreadableOrders
from syncd.cli.context import changing, print_json, read_moment
from syncd.cli.option import checked_reason, options_of
from syncd.cli.output import print_lines
from syncd.cli.plan import show
from syncd.config.settings import Settings
from syncd.core.health_inputs import InstanceInfo
from syncd.core.intervals import Interval
from syncd.core.tally import moment
from syncd.delivery.rendering import rules_of
from syncd.diagnostics.check.start import ask as ask_start
from syncd.ledger.batches import Ledger
from syncd.ledger.feed import Feed, FeedStore
from syncd.log import log
from syncd.postgres.statements import query
from syncd.source.connections import Connections, source_on

C = TypeVar("C", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class BackfillOptions:
    """The options of every command that requests past orders."""

    yes: bool
    dry_run: bool
    as_text: bool
    with_profile: bool = False
    resend: bool = False
    reason: str | None = None
    adopts: bool = False

    def request(self, span: Interval) -> Request:
        """Make the request for a range.

        Raises:
            click.UsageError: A resending without its reason, or the other way round.
        """
        if self.adopts:
            return Request(span, "adopt")
        reason = checked_reason(self.reason, resend=self.resend)
        purpose: Purpose = "resend" if self.resend else "send"
        return Request(span, purpose, self.with_profile, reason)


def asking_options(command: C) -> C:
    """Add to a command the options of `BackfillOptions` that adopting has as well."""
    json = click.option(
        "--json", "as_text", is_flag=True, help="The plan, for scripts."
    )
    dry_run = click.option("--dry-run", is_flag=True, help="Show the plan only.")
    yes = click.option("--yes", is_flag=True, help="Do not ask.")
    return yes(dry_run(json(command)))


def sending_options(command: C) -> C:
    """Add to a command all options of `BackfillOptions`."""
    reason = click.option("--reason", metavar="TEXT", help="Why, for the receipts.")
    resend = click.option("--resend", is_flag=True, help="Delivered orders too.")
    profile = "The customer's fields as well."
    with_profile = click.option("--with-profile", is_flag=True, help=profile)
    return asking_options(with_profile(resend(reason(command))))


def span_of(
    settings: Settings, lower: str, upper: str | None, option: str
) -> Callable[[datetime], Interval]:
    """Read a range as it was given; `option` is the name of its lower end.

    Returns:
        What cuts it, with a note, where orders are past ones; it raises
        click.BadParameter when nothing is left.

    Raises:
        click.BadParameter: A time cannot be read, or is in the future.
    """
    first = read_moment(lower, settings, option)
    last = None if upper is None else read_moment(upper, settings, "--to")

    def cut(ceiling: datetime) -> Interval:
        end = min(last or ceiling, ceiling)
        if last and last > ceiling:
            note = f"note: only up to the watermark, {moment(ceiling)}: what comes "
            click.echo(f"{note}after it is captured anyway", err=True)
        if first >= end:
            name = "--to" if last and last <= ceiling else "the watermark"
            message = f"{lower} is not before {name} ({moment(end)}), so the range is "
            raise click.BadParameter(f"{message}empty", param_hint=option)
        return Interval(first, end)

    return cut


def ask(
    settings: Settings,
    bounds: Callable[[datetime], Interval],
    given: Mapping[str, object],
    *,
    adopts: bool = False,
) -> tuple[Plan, int] | None:
    """Show the plan, ask, and open the backfill.

    `bounds` makes the range from the time up to which orders are past ones; `given` are
    the `BackfillOptions` by name.

    Returns:
        The plan, and the number of its backfill; None when nothing was opened.
    """
    options = options_of(BackfillOptions, {**given, "adopts": adopts})
    with changing(settings) as connections:
        asking = _Asking(settings, connections, bounds, options)
        feeds = FeedStore(connections, settings.feed)
        feeds.check_schema()
        feed = feeds.find()
        if feed is None:
            plan = asking.plan_unstarted(feeds)
        else:
            plan = asking.plan(feed)
            asking.show(plan)
        number = None
        if plan.orders and not options.dry_run:
            _confirm(options)
            if feed is None:
                feed = asking.start(feeds)
                plan = asking.plan(feed)
            number = asking.store(feed).open(plan)
        is_served = feed is not None and _is_served(connections, feed)
    if options.as_text:
        print_json(_facts(plan, settings.backfill.rate) | {"backfill": number})
    elif number is not None:
        _print_opened(number, is_served=is_served)
    return None if number is None else (plan, number)


def _is_served(connections: Connections, feed: Feed) -> bool:
    """Return whether a daemon of the feed runs."""
    presence = query("presence")
    daemons = connections.ledger.rows(InstanceInfo, presence, feed=feed.feed_id)
    return any(daemon.is_alive for daemon in daemons)


def _print_opened(number: int, *, is_served: bool) -> None:
    when = "a running daemon begins within seconds"
    if not is_served:
        when = "no daemon runs now, `syncd run` begins with it"
    print_lines(f"backfill {number}: {when};")
    print_lines(f"see it with: syncd backfill watch {number}")


class _Asking:
    """One question for past orders; the feed may not have been started yet."""

    def __init__(
        self,
        settings: Settings,
        connections: Connections,
        bounds: Callable[[datetime], Interval],
        options: BackfillOptions,
    ) -> None:
        self._settings = settings
        self._connections = connections
        self._bounds = bounds
        self._options = options
        exclusion = Exclusion()
        self._source = source_on(settings, connections, exclusion.left_out)
        lines = log.Log(settings.feed)
        self._reading = UnreadableOrders(self._source, None, lines, exclusion)

    def store(self, feed: Feed) -> BackfillStore:
        """Return the backfills of the feed."""
        return BackfillStore(Ledger(self._connections.ledger, feed.feed_id))

    def plan(self, feed: Feed) -> Plan:
        """Plan the range; write nothing."""
        return self._reading(lambda: self._plan(feed))

    def _plan(self, feed: Feed) -> Plan:
        ledger = Ledger(self._connections.ledger, feed.feed_id)
        planner = Planner(self._source, ledger, rules_of(self._settings))
        span = self._bounds(planner.ceiling())
        if not self._options.adopts:
            ledger.refuse_pruned(span.lower, span.upper)
        if not self._options.dry_run:
            self.store(feed).refuse_overlap(span)
        return planner.plan(self._options.request(span))

    def plan_unstarted(self, feeds: FeedStore) -> Plan:
        """Plan and show the range as if the feed were started now; write nothing."""
        if not self._options.dry_run:
            ask_start(self._settings)
        plan = self._reading(lambda: self._plan_unstarted(feeds))
        name = self._settings.feed
        note = f"feed {name!r} was never started: it starts with this, at now"
        click.echo(f"{note}; what is confirmed from then on is live", err=True)
        self.show(plan)
        return plan

    def _plan_unstarted(self, feeds: FeedStore) -> Plan:
        with self._connections.ledger.transaction(is_kept=False):
            return self._plan(self._start(feeds))

    def start(self, feeds: FeedStore) -> Feed:
        """Start the feed at "now"."""
        feed = self._reading(lambda: self._start(feeds))
        name, at = self._settings.feed, moment(feed.started_at)
        click.echo(f"feed {name!r} is started at {at}", err=True)
        return feed

    def show(self, plan: Plan) -> None:
        """Show a plan to a person, and what is not in it."""
        if left := len(self._source.views.left_out):
            view = self._settings.source.confirmed_view
            click.echo(
                f"{left} orders of {view} cannot be read: "
                "they are not in the plan, and are not sent (see syncd check)",
                err=True,
            )
        if not self._options.as_text:
            show(plan, self._settings.backfill.rate, rules_of(self._settings).zone)

    def _start(self, feeds: FeedStore) -> Feed:
        return feeds.start(self._source, self._settings.source.lookback)


def _confirm(options: BackfillOptions) -> None:
    if options.yes:
        return
    if options.as_text or not sys.stdin.isatty():
        raise click.UsageError(
            "Not a terminal: pass --yes, or --dry-run to see the plan only."
        )
    question = "Mark them as delivered?" if options.adopts else "Send them?"
    click.confirm(question, abort=True)


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
        "examples": [{"order_key": k, "reason": r} for k, r in plan.sample.examples],
        "seconds": plan.seconds(rate),
    }
