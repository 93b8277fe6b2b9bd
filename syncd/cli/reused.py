"""`syncd reused`: known keys that now stand for other orders; list, send or keep."""

import click

from syncd.cli.context import OpenFeed, configured, open_feed
from syncd.cli.option import as_json_option
from syncd.cli.order_commands import (
    all_option,
    need_a_choice,
    orders_argument,
    yes_option,
)
from syncd.cli.output import print_lines, show
from syncd.config.settings import Settings
from syncd.core.command_errors import OrderUnknownError
from syncd.ledger.reused_keys import ReusedKey, ReusedKeys

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
    with open_feed(settings) as on:
        found = _keys(on).noted()
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
    need_a_choice(orders, everything)
    with open_feed(settings, changes=True) as on:
        found = _noted(_keys(on), None if everything else orders)
        if _is_agreed("Send", found, dry_run=dry_run, yes=yes):
            keys, size = [r.key for r in found], settings.squeezely.orders_per_batch
            listed = on.source.of_keys(keys)
            count = on.ledger.replace_reused(listed, keys, size=size)
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
    need_a_choice(orders, everything)
    with open_feed(settings, changes=True) as on:
        found = _noted(_keys(on), None if everything else orders)
        if _is_agreed("Keep", found, dry_run=dry_run, yes=yes):
            count = _keys(on).keep([r.key for r in found])
            click.echo(f"{count} orders are known with their new time and number")


def _keys(on: OpenFeed) -> ReusedKeys:
    return ReusedKeys(on.source, on.database, on.feed_id)


def _noted(keys: ReusedKeys, orders: tuple[str, ...] | None) -> list[ReusedKey]:
    found = keys.noted(orders)
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
