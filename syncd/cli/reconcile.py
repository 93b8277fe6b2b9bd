"""`syncd reconcile`: every confirmed order of a range, in one sentence to sign."""

from dataclasses import asdict
from datetime import datetime

import click
from rich.console import Console
from rich.progress import Progress

from syncd.capture.reconciliation import Reconciliation
from syncd.capture.reconciliation_run import ReconciliationResult, ReconciliationRun
from syncd.capture.unreadable import Exclusion, UnreadableOrders
from syncd.cli.context import configured, open_feed, print_json, read_moment
from syncd.cli.option import as_json_option
from syncd.cli.output import print_lines
from syncd.config.settings import Settings
from syncd.core.errors import ExitCode
from syncd.daemon.jobs import report_missing
from syncd.log import log
from syncd.source.connections import source_on


@click.command()
@configured
@click.option("--from", "lower", metavar="TIME", help="After this time.")
@click.option("--to", "upper", metavar="TIME", help="Up to this time.")
@as_json_option
def reconcile(
    settings: Settings, *, lower: str | None, upper: str | None, as_text: bool
) -> None:
    """Account for every confirmed order; capture those that are missing.

    Without times: all that the view lists. What it listed with a time at the feed's
    first start is counted apart, and not sent. Exit code 1 when orders were missing, or
    could not be read.

    Example: syncd reconcile --from "7 days ago"
    """
    first = None if lower is None else read_moment(lower, settings, "--from")
    last = None if upper is None else read_moment(upper, settings, "--to")
    if first and last and first >= last:
        raise click.BadParameter(
            f"{lower} is not before --to {upper}", param_hint="--from"
        )
    log.configure(level=settings.log.level, style=settings.log.format)
    with open_feed(settings) as on:
        exclusion = Exclusion()
        source = source_on(settings, on.connections, exclusion.left_out)
        lines = log.Log(settings.feed)
        reading = UnreadableOrders(source, on.ledger, lines, exclusion)
        size = settings.squeezely.orders_per_batch
        reconciliation = Reconciliation(source, on.ledger, size=size, reading=reading)
        run = reconciliation.ask(first, last)
        finished = _make(lines, reconciliation, run)
    if as_text:
        print_json(_facts(run, finished))
    else:
        print_lines(finished.sentence)
    if finished.account.missing or finished.unreadable:
        raise click.exceptions.Exit(ExitCode.FAILED)


def _make(
    lines: log.Log, reconciliation: Reconciliation, run: ReconciliationRun
) -> ReconciliationResult:
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("accounting", total=_seconds(run, run.upper))
        for page in reconciliation.pages(run):
            progress.update(task, completed=_seconds(run, page.end.at))
            report_missing(lines, run, page)
    finished = reconciliation.finish(run)
    assert finished is not None  # noqa: S101  # no other takes over a requested run
    return finished


def _seconds(run: ReconciliationRun, reached: datetime) -> float:
    return (reached - run.lower).total_seconds()


def _facts(run: ReconciliationRun, finished: ReconciliationResult) -> dict[str, object]:
    account = finished.account
    return {
        "sentence": finished.sentence,
        "lower": run.lower,
        "upper": run.upper,
        "confirmed": account.confirmed,
        **asdict(account),
        "unexplained": account.unexplained,
        "without_time": finished.without_time,
        "unreadable": finished.unreadable,
    }
