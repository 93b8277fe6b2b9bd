"""`syncd rebind-keys`: match known orders with their new keys, rebind the ledger."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click
from rich.console import Console
from rich.progress import Progress, TaskID, TextColumn

from syncd.capture.identity import identity_guard
from syncd.capture.listen.outbox import Outbox
from syncd.cli.context import configured, open_feed
from syncd.cli.option import as_json_option
from syncd.config.settings import Settings
from syncd.ledger.rebinding import KeyRebinding, OnProgress, Rebinding, Unmatched
from syncd.source.connections import Connections


@click.command("rebind-keys")
@configured
@click.option("--dry-run", is_flag=True, help="Only count; change nothing.")
@click.option(
    "--unmatched",
    type=click.Choice(["send", "keep"]),
    help="Send orders that cannot be matched (they may repeat), or keep them unsent.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json_option
def rebind_keys(
    settings: Settings,
    *,
    dry_run: bool,
    unmatched: Unmatched | None,
    yes: bool,
    as_text: bool,
) -> None:
    """Bind known orders to the keys that changed views give them.

    For views with another order_key, as after an upgrade of the shop.
    Orders are matched by their public number, else by their time of confirmation;
    none is sent again. Nothing is captured or sent until then.

    \b
    Example: syncd rebind-keys --dry-run
             syncd rebind-keys
    """  # noqa: D301  # click's mark for "do not rewrap"
    with open_feed(settings, changes=True) as on:
        guard = identity_guard(settings, on.connections, on.feed)
        size = settings.squeezely.orders_per_batch
        rebinding = KeyRebinding(on.source, on.ledger, guard, size=size)
        if not (dry_run or yes or as_text):
            with _progress() as on_progress:
                planned = rebinding.plan(on_progress)
            _show(planned)
            click.confirm("Rebind the ledger to these keys?", abort=True, err=True)
        with _progress() as on_progress:
            if dry_run:
                done = rebinding.plan(on_progress)
            else:
                done = rebinding.rebind(unmatched, on_progress)
                _empty_outbox(settings, on.connections)
    if as_text:
        click.echo(json.dumps(asdict(done)))
        return
    if dry_run or yes:
        _show(done)
    click.echo("nothing was changed" if dry_run else "the ledger has the new keys")
    _print_next(settings)


def _print_next(settings: Settings) -> None:
    """Print what the capture needs after its keys were changed."""
    if settings.source.capture != "poll":
        option = f"--{settings.source.capture} TABLE:KEYCOLUMN"
        click.echo(f"next: syncd install {option}, with the column of the new key")


def _empty_outbox(settings: Settings, connections: Connections) -> None:
    """Drop the rows under old keys: what they are about is found by the poll."""
    if settings.source.capture == "listen":
        writer = connections.primary or connections.source
        Outbox(connections.source, writer, settings.feed).empty()


@contextmanager
def _progress() -> Iterator[OnProgress]:
    """Show, on a terminal, how many orders were read and matched."""
    columns = TextColumn("{task.completed:,} orders {task.description}")
    console = Console(stderr=True)
    bars = Progress(columns, console=console, disable=not console.is_terminal)
    tasks: dict[str, TaskID] = {}

    def advance(stage: str, orders: int) -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, total=None)
        bars.advance(tasks[stage], orders)

    with bars:
        yield advance


def _show(done: Rebinding) -> None:
    example = f", for instance {done.example}" if done.example else ""
    click.echo(f"{done.renamed:,} known orders have another key{example}")
    click.echo(f"{done.same:,} have the same key")
    if done.absent:
        click.echo(f"{done.absent:,} known orders are not listed any more")
    if done.before:
        click.echo(f"{done.before:,} were confirmed before the feed's start: not sent")
    if done.unmatched:
        click.echo(
            f"{done.unmatched:,} cannot be matched, and may have been sent: "
            f"{', '.join(done.keys)}"
        )
    click.echo(f"{done.new:,} are new, and are captured")
