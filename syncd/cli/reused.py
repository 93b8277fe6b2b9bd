"""Keys that stand for other orders than they did: list, send or keep the orders."""

import click

from syncd.cli.context import changing, configured
from syncd.cli.listing import show
from syncd.cli.option import as_json_option
from syncd.cli.prose import print_lines
from syncd.config.settings import Settings
from syncd.core.command_errors import OrderUnknownError
from syncd.ledger.batches import Ledger
from syncd.ledger.feed import FeedStore
from syncd.ledger.reused_keys import ReusedKey, ReusedKeys
from syncd.source.connections import Connections, source_on

orders_argument = click.argument("orders", nargs=-1)
all_option = click.option("--all", "everything", is_flag=True, help="All of them.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Only list them; change nothing."
)


@click.group()
def reused() -> None:
    """List known keys that now belong to other orders, and decide on them.

    This happens when a table was emptied and its numbers start again. syncd does not
    send such an order automatically, because its key is known.
    """


@reused.command("list")
@configured
@as_json_option
def reused_list(settings: Settings, *, as_text: bool) -> None:
    """List them, with the known order and the one that the view lists now.

    Example: syncd reused list
    """
    with changing(settings) as connections:
        found = _keys(settings, connections).noted()
    names = ("order_key", "known_at", "known_as", "listed_at", "listed_as")
    rows = [(r.key, r.known_at, r.known_as, r.listed_at, r.listed_as) for r in found]
    show(rows, names, as_text=as_text)


@reused.command("send")
@configured
@orders_argument
@all_option
@dry_run_option
@yes_option
def reused_send(
    settings: Settings,
    *,
    orders: tuple[str, ...],
    everything: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Send the orders that the view lists now; the old orders' records stay.

    Example: syncd reused send --all --dry-run
    """
    with changing(settings) as connections:
        found = _chosen(settings, connections, orders, everything=everything)
        if _is_agreed("Send", found, dry_run=dry_run, yes=yes):
            feed = FeedStore(connections, settings.feed).get()
            count = Ledger(connections.ledger, feed.feed_id).replace_reused(
                source_on(settings, connections).of_keys([r.key for r in found]),
                [r.key for r in found],
                size=settings.squeezely.orders_per_batch,
            )
            click.echo(f"{count} orders are pending")


@reused.command("keep")
@configured
@orders_argument
@all_option
@dry_run_option
@yes_option
def reused_keep(
    settings: Settings,
    *,
    orders: tuple[str, ...],
    everything: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Keep them as the same orders, with a changed time or number.

    Example: syncd reused keep 1042
    """
    with changing(settings) as connections:
        found = _chosen(settings, connections, orders, everything=everything)
        if _is_agreed("Keep", found, dry_run=dry_run, yes=yes):
            count = _keys(settings, connections).keep([r.key for r in found])
            click.echo(f"{count} orders are known with their new time and number")


def _keys(settings: Settings, connections: Connections) -> ReusedKeys:
    feed = FeedStore(connections, settings.feed).get()
    source = source_on(settings, connections)
    return ReusedKeys(source, connections.ledger, feed.feed_id)


def _chosen(
    settings: Settings,
    connections: Connections,
    orders: tuple[str, ...],
    *,
    everything: bool,
) -> list[ReusedKey]:
    if not (orders or everything):
        raise click.UsageError("Name orders, or --all.")
    keys = _keys(settings, connections)
    found = keys.noted(None if everything else orders)
    if not found:
        raise OrderUnknownError(
            "no such key is known to have been reused",
            "`syncd reused list` lists those that are; `syncd explain` shows any.",
        )
    return found


def _is_agreed(verb: str, found: list[ReusedKey], *, dry_run: bool, yes: bool) -> bool:
    print_lines(*(reused_key.line() for reused_key in found))
    if dry_run:
        click.echo("nothing was changed")
        return False
    if not yes:
        click.confirm(f"{verb} these {len(found)} orders?", abort=True, err=True)
    return True
