"""Past orders: the watermark, and the orders below it."""

import click
from rich.console import Console
from rich.progress import Progress

from syncd import log
from syncd.backfill import Backfill, Plan
from syncd.cli.moment import read_moment
from syncd.cli.shell import configured, connected
from syncd.config import Settings
from syncd.connections import source_on
from syncd.feed import Feeds
from syncd.ledger import Ledger


@click.group()
def watermark() -> None:
    """Show the watermark, or reset it to send past orders."""


@watermark.command("show")
@configured
def watermark_show(settings: Settings) -> None:
    """Show the time up to which every order is in the ledger.

    Example: syncd watermark show
    """
    with connected(settings) as connections:
        feed = Feeds(connections, settings.feed).get()
        click.echo(Ledger(connections.ledger, feed.feed_id).watermark().isoformat())


@watermark.command("reset")
@configured
@click.option("--to", "moment", required=True, help='Time, or "90 days ago".')
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show the plan only.")
def watermark_reset(
    settings: Settings, *, moment: str, yes: bool, dry_run: bool
) -> None:
    """Send the orders confirmed between a time and the watermark.

    The live watermark itself stays where it is. Orders that the ledger has are not
    sent again. The orders wait in the backfill lane, behind live ones.

    Example: syncd watermark reset --to 2026-01-01
    """
    lower = read_moment(moment, settings, "--to")
    with connected(settings) as connections:
        feed = Feeds(connections, settings.feed).get()
        ledger = Ledger(connections.ledger, feed.feed_id)
        ledger.refuse_thinned(lower)
        size = settings.squeezely.orders_per_batch
        backfill = Backfill(source_on(settings, connections), ledger, size=size)
        plan = backfill.plan(lower)
        _show_plan(plan, settings.backfill.rate)
        if dry_run or not plan.orders:
            return
        if not yes:
            click.confirm("Send them?", abort=True)
        _capture(backfill, plan)
    log.configure(level=settings.log.level, style=settings.log.format)
    log.Log(settings.feed).emit(
        "watermark.reset",
        lower=plan.lower.isoformat(),
        upper=plan.upper.isoformat(),
        orders=plan.orders,
    )


def _capture(backfill: Backfill, plan: Plan) -> None:
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("into the ledger", total=plan.orders)
        for orders in backfill.capture(plan):
            progress.advance(task, orders)


def _show_plan(plan: Plan, rate: float | None) -> None:
    click.echo(f"from {plan.lower} to the watermark {plan.upper} (which stays there)")
    click.echo(
        f"{plan.confirmed} confirmed orders, {plan.known} of them in the ledger already"
    )
    if plan.adopted:
        click.echo(f"{plan.adopted} more that the first start found and did not send")
    minutes = plan.seconds(rate) / 60
    click.echo(f"{plan.orders} to send, about {minutes:.0f} minutes at the given rate")
    if plan.orders:
        click.echo("Flows in Squeezely may start from them: ask Spotler beforehand.")
        click.echo("Names and addresses in them replace newer ones on the profile.")
