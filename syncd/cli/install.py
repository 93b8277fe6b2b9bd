"""Setting up: create the ledger, take it out."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing

import click

from syncd.cli.context import configured
from syncd.config.dsn import dsn_fault
from syncd.config.settings import Settings
from syncd.core.errors import ConfigError
from syncd.core.sql_name import SqlName
from syncd.core.target import EXAMPLE, Target
from syncd.postgres.database import Database
from syncd.setup.install.install import (
    Capture,
    Grantees,
    Installation,
    carry_out,
    have_views,
    installed,
    look,
    role_of,
)
from syncd.setup.install.leftovers import file_names, remove_leftovers
from syncd.setup.install.removal import (
    Removal,
    outbox_removal,
    refuse_running,
    removal,
    stop_listening,
    uninstall,
)
from syncd.setup.install.scripts import SqlScript, guard, pin
from syncd.setup.install.session import pinned_both
from syncd.setup.install.triggers import Triggers
from syncd.setup.install.wal import Following, follow, prepare, unfollow, unfollowing
from syncd.setup.views import ViewNames
from syncd.source.connections import Connections
from syncd.source.views import Views

_ROLE = """Write it as in SQL: syncd, or '"My-Role"' (capitals and hyphens want double \
quotes)."""


@click.command("install")
@configured
@click.option("--print", "only_print", is_flag=True, help="Show the SQL, for the DBA.")
@click.option(
    "--as",
    "owner",
    metavar="DSN",
    help="Whom to install as; without a password (use a passfile).",
)
@click.option(
    "--ledger-as", "ledger_owner", metavar="DSN", help="The same, for [ledger] dsn."
)
@click.option("--role", help="The daemon's role [default: the user of source.dsn].")
@click.option(
    "--listen",
    "tables",
    metavar="TABLE:KEYCOLUMN",
    multiple=True,
    help="Note changes of this table by triggers; may be repeated.",
)
@click.option(
    "--wal",
    "followed",
    metavar="TABLE:KEYCOLUMN",
    multiple=True,
    help="Follow this table through the WAL; may be repeated.",
)
@click.option(
    "--published",
    is_flag=True,
    help="Replicas of a publication of all tables have syncd's tables.",
)
@click.option(
    "--recreate-slot", is_flag=True, help="With --wal: give up a slot's place."
)
def install_command(  # noqa: PLR0913  # the command's options
    settings: Settings,
    *,
    only_print: bool,
    owner: str | None,
    ledger_owner: str | None,
    role: str | None,
    tables: tuple[str, ...],
    followed: Sequence[str],
    published: bool,
    recreate_slot: bool,
) -> None:
    """Create or upgrade the ledger, and grant the daemon what it needs.

    Run it again after the views were created: it grants SELECT on them. For
    capture = "listen", name each table whose changes can confirm an order. What
    already stands as it should is not touched.

    \b
    Example: syncd install --as "postgresql://postgres@/shop" --role syncd
             syncd install --as … --listen orders:id --listen payments:order_id
             syncd install --as … --wal orders:id --wal payments:order_id
    """  # noqa: D301  # click's mark for "do not rewrap"
    if tables and (followed or recreate_slot):
        raise click.UsageError("--listen and --wal are two captures: choose one")
    names = _names(settings, role)
    listened = [_target("--listen", table) for table in tables]
    wanted = [_target("--wal", table) for table in followed]
    with closing(_owners(settings, owner, ledger_owner)) as owners:
        with pinned_both(owners):
            waits = bool(listened or wanted) and _comes_first(owners, names)
            following, capture = None, Capture()
            if listened and not waits:
                capture = _triggers(settings, owners, names, listened)
            elif (wanted or recreate_slot) and not waits:
                following = _following(settings, owners, names, wanted, recreate_slot)
                capture = following.capture
            found = look(owners, names, capture, published=published)
            if only_print:
                _print_installation(owners, found, following)
                return
            carry_out(owners, found)
        for line in _done(names, found):
            click.echo(line)
        for line in follow(owners, settings.feed, following) if following else []:
            click.echo(line)
    _tell_next(settings, [] if waits else listened, following, waits=waits)


def _done(names: Grantees, found: Installation) -> Iterator[str]:
    """Print what was done."""
    yield f"ledger: {', '.join(found.migrations) or 'up to date'}"
    yield f"grants for {names.role}"
    if found.readers:
        yield f"pg_dump goes on for {', '.join(found.readers)}: they may read syncd"


def _following(
    settings: Settings,
    owners: Connections,
    names: Grantees,
    wanted: Sequence[Target],
    recreate: bool,  # noqa: FBT001  # the command's flag
) -> Following:
    lookback = settings.source.lookback
    return prepare(
        owners, names, settings.feed, wanted, lookback=lookback, recreate=recreate
    )


def _target(option: str, text: str) -> Target:
    target = Target.parse(text)
    if target is None:
        raise ConfigError(f"{option} {text!r}: is not TABLE:KEYCOLUMN", EXAMPLE)
    return target


def _comes_first(owners: Connections, names: Grantees) -> bool:
    """Return whether the ledger has to be made before the views can be."""
    return not installed(owners.ledger) and not have_views(owners.source, names)


def _tell_next(
    settings: Settings,
    listened: Sequence[Target],
    following: Following | None,
    *,
    waits: bool,
) -> None:
    if waits:
        click.echo(
            "next: create the two views (sql/shops/template.sql), then run the same "
            "command again: nothing is listened to or followed yet"
        )
    for target in listened:
        click.echo(f"listening to {target.table}, by its column {target.key}")
    capture = "listen" if listened else "wal" if following else "poll"
    if capture not in {"poll", settings.source.capture}:
        click.echo(f'next: set source.capture = "{capture}", then syncd check')


def _triggers(
    settings: Settings, owners: Connections, names: Grantees, targets: Sequence[Target]
) -> Capture:
    """Compose the triggers for tables that were found in the order database."""
    views = Views(owners.source, names.confirmed, names.purchases)
    return Triggers(owners.source, settings.feed, views).missing(targets, names)


def _print_installation(
    owners: Connections, found: Installation, following: Following | None
) -> None:
    """Print what a DBA would run: for each database one transaction, then a slot."""
    if owners.is_one:
        _print_scripts([*found.ledger, *found.source])
    else:
        _print_scripts(found.ledger, "the ledger's database")
        _print_scripts(found.source, "the order database")
    _print_apart(following.apart if following else [])
    if not (found.ledger or found.source or (following and following.apart)):
        click.echo("-- nothing is missing")


def _print_scripts(scripts: Sequence[SqlScript], where: str = "") -> None:
    if not scripts:
        return
    if where:
        click.echo(f"-- in {where}")
    click.echo("BEGIN;")
    for script in (pin(), guard(), *scripts):
        click.echo(f"-- {script.title}\n{script.statement.text.decode()}")
    click.echo("COMMIT;")


def _print_apart(scripts: Sequence[SqlScript]) -> None:
    """Print what cannot run in the same transaction: a slot."""
    for script in scripts:
        click.echo(f"-- {script.title}\n{script.statement.text.decode()}")


def _owners(
    settings: Settings, owner: str | None, ledger_owner: str | None
) -> Connections:
    """Connect as those who may create and grant."""
    for option, dsn in (("--as", owner), ("--ledger-as", ledger_owner)):
        if dsn and (fault := dsn_fault(dsn)):
            raise click.BadParameter(fault, param_hint=option)
    source = Database(
        owner or settings.source_dsn.get_secret_value(),
        application_name="syncd/install",
    )
    if not settings.ledger_dsn.get_secret_value():
        return Connections(source, source)
    state = ledger_owner or settings.ledger_dsn.get_secret_value()
    return Connections(source, Database(state, application_name="syncd/install"))


def role_for(settings: Settings, named: str | None) -> str:
    """Return the daemon's role: as --role names it, in SQL's way, or of source.dsn.

    Raises:
        ConfigError: Neither names one.
    """
    if named is not None:
        role = SqlName.parse(named)
        if role is None or role.schema is not None:
            raise ConfigError(f"--role {named!r}: is no name of a role", _ROLE)
        return role.name
    found = role_of(settings.source_dsn.get_secret_value())
    if found is None:
        raise ConfigError(
            "source.dsn names no user", "Name the daemon's role with --role."
        )
    return found


def _names(settings: Settings, role: str | None) -> Grantees:
    state = settings.ledger_dsn.get_secret_value()
    ledger_role = role_of(state) if state else None
    views = ViewNames.parse(
        settings.source.confirmed_view, settings.source.purchases_view
    )
    confirmed, purchases = map(str, views.both)
    return Grantees(role_for(settings, role), confirmed, purchases, ledger_role)


@click.command("uninstall")
@configured
@click.option("--print", "only_print", is_flag=True, help="Show the SQL, for the DBA.")
@click.option("--as", "owner", metavar="DSN", help="Whom to uninstall as.")
@click.option(
    "--ledger-as", "ledger_owner", metavar="DSN", help="The same, for [ledger] dsn."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--all-feeds", is_flag=True, help="Every feed, not only this one.")
@click.option(
    "--while-running", is_flag=True, help="Although a daemon of the feed runs."
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
    with closing(_owners(settings, owner, ledger_owner)) as owners:
        if only_print:
            _print_removal(
                owners, feed, every=all_feeds, listen=only_listen, wal=only_wal
            )
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
    _clear_state(settings, [feed, *(each.feed for each in gone.gone)])


def _clear_state(settings: Settings, feeds: Sequence[str]) -> None:
    """Remove what this host remembers of the feeds; name what it cannot remove."""
    found = remove_leftovers(settings, [*dict.fromkeys(feeds)], os.environ)
    if found is None:
        names = ", ".join(n for feed in dict.fromkeys(feeds) for n in file_names(feed))
        click.echo(
            f"in the daemon's state directory (systemd: /var/lib/syncd) remove: {names}"
        )
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
        _print_scripts([outbox_removal(feed)])
    if not (listen or wal):
        with pinned_both(owners):
            found = removal(owners, feed, every=every)
        if owners.is_one:
            _print_scripts([*found.source, *found.ledger])
        else:
            _print_scripts(found.source, "the order database")
            _print_scripts(found.ledger, "the ledger's database")
    if not listen:
        _print_apart(unfollowing(feed))
