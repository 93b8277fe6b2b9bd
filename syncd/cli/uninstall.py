"""`syncd uninstall`: drop the ledger, with triggers, slot and publication."""

import os
from collections.abc import Sequence
from contextlib import closing

import click

from syncd.cli.context import configured
from syncd.cli.install import LEDGER, SOURCE, connect_owners, print_apart, print_scripts
from syncd.config.settings import Settings
from syncd.setup.install.removal import (
    Removal,
    file_names,
    outbox_removal,
    refuse_running,
    removal,
    remove_leftovers,
    stop_listening,
    uninstall,
)
from syncd.setup.install.scripts import pinned_both
from syncd.setup.install.wal import unfollow, unfollowing
from syncd.source.connections import Connections


@click.command("uninstall")
@configured
@click.option("--print", "only_print", is_flag=True, help="Show the SQL, for the DBA.")
@click.option("--as", "owner", metavar="DSN", help="The role that uninstalls.")
@click.option(
    "--ledger-as", "ledger_owner", metavar="DSN", help="The same, for [ledger] dsn."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--all-feeds", is_flag=True, help="Every feed, not only this one.")
@click.option(
    "--while-running", is_flag=True, help="Even if a daemon of the feed runs."
)
@click.option(
    "--listen", "only_listen", is_flag=True, help="Only this feed's triggers."
)
@click.option(
    "--wal", "only_wal", is_flag=True, help="Only the slot and the publication."
)
def uninstall_command(  # noqa: PLR0913  # the command's options
    settings: Settings,
    *,
    only_print: bool,
    owner: str | None,
    ledger_owner: str | None,
    yes: bool,
    all_feeds: bool,
    while_running: bool,
    only_listen: bool,
    only_wal: bool,
) -> None:
    """Drop a feed's ledger, triggers, outbox, slot and publication; your views stay.

    Other feeds of the same ledger keep theirs, unless --all-feeds is given.

    Example: syncd uninstall --as "postgresql://postgres@/shop"
    """
    everything = not (only_listen or only_wal)
    feed = settings.feed
    with closing(connect_owners(settings, owner, ledger_owner)) as owners:
        if only_print:
            kinds = {"listen": only_listen, "wal": only_wal}
            _print_removal(owners, feed, every=all_feeds, **kinds)
            return
        if everything:
            _ask(owners, feed, every=all_feeds, yes=yes, running=while_running)
        if not only_listen:
            dropped = unfollow(owners, feed)
            if dropped or only_wal:
                click.echo(f"dropped: {', '.join(dropped) or 'nothing, there is none'}")
        if only_listen:
            stop_listening(owners.source, feed)
            click.echo(f"the triggers of feed {feed} are gone")
        if not everything:
            click.echo("the ledger is still there")
            return
        gone = uninstall(owners, feed, every=all_feeds)
        click.echo(_gone(gone, feed))
    _clear_state(settings, [*dict.fromkeys([feed, *(e.feed for e in gone.gone)])])


def _clear_state(settings: Settings, feeds: Sequence[str]) -> None:
    """Remove what this host remembers of the feeds; name what it cannot remove."""
    found = remove_leftovers(settings, feeds, os.environ)
    if found is None:
        place = "in the daemon's state directory (systemd: /var/lib/syncd)"
        names = ", ".join(name for feed in feeds for name in file_names(feed))
        click.echo(f"{place} remove: {names}")
        return
    if found.gone:
        click.echo(f"removed: {', '.join(map(str, found.gone))}")
    if found.left:
        click.echo(f"remove by hand: {', '.join(map(str, found.left))}")


def _gone(gone: Removal, feed: str) -> str:
    """Return what is gone, for people."""
    if not gone.kept:
        return "the ledger is gone; the views are still there"
    kept = ", ".join(each.title for each in gone.kept)
    return f"feed {feed} is gone; still there: {kept}, and the views"


def _ask(
    owners: Connections, feed: str, *, every: bool, yes: bool, running: bool
) -> None:
    """Print what would be erased, and ask."""
    with pinned_both(owners):
        found = removal(owners, feed, every=every)
        gone = [each.feed for each in found.gone]
        if not running:
            refuse_running(owners.ledger, gone)
    if yes:
        return
    what = ", ".join(each.title for each in found.gone) or f"{feed} (not started yet)"
    kept = ", ".join(each.title for each in found.kept)
    click.echo(f"feeds that are kept: {kept or 'none, the ledger goes as a whole'}")
    click.confirm(f"Forget which orders were sent: {what}?", abort=True)


def _print_removal(
    owners: Connections, feed: str, *, every: bool, listen: bool, wal: bool
) -> None:
    """Print what a DBA would run instead."""
    if listen:
        print_scripts({"": [outbox_removal(feed)]})
    if not (listen or wal):
        with pinned_both(owners):
            found = removal(owners, feed, every=every)
        databases = {SOURCE: found.source, LEDGER: found.ledger}
        print_scripts(databases, is_one=owners.is_one)
    if not listen:
        print_apart(unfollowing(feed))
