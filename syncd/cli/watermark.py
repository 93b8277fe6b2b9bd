"""`syncd watermark` and `mark-delivered`: where capture stands, and past orders."""

from datetime import timedelta

import click

from syncd.cli.context import configured, open_feed, print_json
from syncd.cli.option import as_json_option
from syncd.cli.output import print_lines
from syncd.cli.past_orders import ask, asking_options, sending_options, span_of
from syncd.config.settings import Settings
from syncd.core.tally import moment
from syncd.core.wording import span
from syncd.diagnostics.status.facts import holders
from syncd.ledger.stats import read_stats
from syncd.log import log


@click.group()
def watermark() -> None:
    """Show the watermark, or reset it to send past orders."""


@watermark.command("show")
@configured
@as_json_option
def watermark_show(settings: Settings, *, as_text: bool) -> None:
    """Show the time up to which every order is in the ledger, and what holds it back.

    Example: syncd watermark show
    """
    with open_feed(settings) as on:
        stats = read_stats(on.database, on.feed_id)
        held_by = holders(settings, on.connections, stats)
    paused = next((p for p in stats.pauses if p.what == "capture"), None)
    if as_text:
        facts = {
            "watermark": stats.watermark,
            "age_seconds": round(stats.watermark_age_seconds, 1),
            "held_by": held_by,
            "paused": paused and paused.since,
        }
        print_json(facts)
        return
    age, lookback = stats.watermark_age_seconds, settings.source.lookback
    click.echo(stats.watermark.isoformat())
    print_lines(f"{span(timedelta(seconds=age))} ago (lookback {span(lookback)})")
    if paused:
        print_lines(f"capture is {paused.line()}: `syncd resume --capture`")
    elif held_by is not None:
        for holder in held_by or ["no transaction: `syncd status` shows the daemon"]:
            print_lines(f"held back by {holder}")


@watermark.command("reset")
@configured
@click.option("--to", "lower", metavar="TIME", required=True, help="From this time on.")
@sending_options
def watermark_reset(settings: Settings, /, *, lower: str, **options: object) -> None:
    """Send the orders confirmed between a time and the watermark.

    The live watermark itself stays where it is. Orders that were delivered are not
    sent again (except with --resend), and live orders are sent first. TIME is a date, a
    time, or "90 days ago".

    Example: syncd watermark reset --to 2026-01-01
    """
    opened = ask(settings, span_of(settings, lower, None, "--to"), options)
    if opened is None:
        return
    plan, number = opened
    span = plan.request.span
    log.configure(level=settings.log.level, style=settings.log.format)
    log.Log(settings.feed).emit(
        "watermark.reset",
        backfill=number,
        lower=moment(span.lower),
        upper=moment(span.upper),
        orders=plan.orders,
    )


@click.command("mark-delivered")
@configured
@click.option("--from", "lower", metavar="TIME", required=True, help="After this time.")
@click.option(
    "--to", "upper", metavar="TIME", help="Up to this time [default: the watermark]."
)
@asking_options
def mark_delivered(
    settings: Settings, /, *, lower: str, upper: str | None, **options: object
) -> None:
    """Mark past orders as delivered by something else, without sending them.

    For a range that an earlier integration has sent. Only `--resend` sends them after
    that.

    Example: syncd mark-delivered --from 2024-01-01 --to 2026-01-01
    """
    bounds = span_of(settings, lower, upper, "--from")
    ask(settings, bounds, options, adopts=True)
