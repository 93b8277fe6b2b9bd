"""Setting up: write a configuration, create the ledger, take it out."""

from collections.abc import Sequence
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import click

from syncd.cli.option import DEFAULT_PATH
from syncd.cli.shell import configured
from syncd.config import Settings
from syncd.connections import Connections
from syncd.database import Database
from syncd.dsn import dsn_fault
from syncd.errors import ConfigError
from syncd.install.install import (
    Names,
    Script,
    install,
    installed,
    ledger_grants,
    migrations,
    outbox_removal,
    role_of,
    stop_listening,
    uninstall,
    uninstallation,
    view_grants,
)
from syncd.install.triggers import Target, Triggers
from syncd.install.wal import follow, prepare, unfollow, unfollowing
from syncd.source import Views


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_PATH,
    show_default=True,
    help="Where to write it.",
)
def init(out: Path) -> None:
    """Write a commented configuration (never over an existing one).

    Example: syncd init --out ./syncd.toml
    """
    text = (files("syncd") / "configuration.toml").read_text(encoding="utf-8")
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(
            f"{out}: {error.strerror}", "Name another place with --out."
        ) from error
    click.echo(f"wrote {out}: set source.dsn and squeezely.account, then syncd install")


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
    "--state-as", "state_owner", metavar="DSN", help="The same, for [state] dsn."
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
    "--recreate-slot", is_flag=True, help="With --wal: give up a slot's place."
)
def install_command(  # noqa: PLR0913  # the command's options
    settings: Settings,
    *,
    only_print: bool,
    owner: str | None,
    state_owner: str | None,
    role: str | None,
    tables: tuple[str, ...],
    followed: Sequence[str],
    recreate_slot: bool,
) -> None:
    """Create or upgrade the ledger, and grant the daemon what it needs.

    Run it again after the views were created: it grants SELECT on them. For
    capture = "listen", name each table whose changes can confirm an order.

    \b
    Example: syncd install --as "postgresql://postgres@/shop" --role syncd
             syncd install --as … --listen orders:id --listen payments:order_id
             syncd install --as … --wal orders:id --wal payments:order_id
    """  # noqa: D301  # click's mark for "do not rewrap"
    if tables and (followed or recreate_slot):
        raise click.UsageError("--listen and --wal are two captures: choose one")
    names = _names(settings, role)
    targets = [Target.parse(table) for table in tables]
    with closing(_owners(settings, owner, state_owner)) as owners:
        triggers = _triggers(settings, owners, names, targets)
        following = None
        if followed or recreate_slot:
            following = prepare(
                owners,
                names,
                settings.feed,
                followed,
                lookback=settings.source.lookback,
                recreate=recreate_slot,
            )
        if only_print:
            _print_scripts(_all_scripts(owners, names, triggers))
            _print_apart(following.all_scripts if following else [])
            return
        done = install(
            owners, names, [*triggers, *(following.scripts if following else [])]
        )
        click.echo(f"ledger: {', '.join(done) or 'up to date'}")
        click.echo(f"grants for {names.role}")
        for line in follow(owners, settings.feed, following) if following else []:
            click.echo(line)
    for target in targets:
        click.echo(f"listening to {target.shown}, by its column {target.key}")
    _tell_next(settings, "listen" if targets else "wal" if following else "poll")


def _tell_next(settings: Settings, capture: str) -> None:
    if capture not in {"poll", settings.source.capture}:
        click.echo(f'next: set source.capture = "{capture}", then syncd check')


def _triggers(
    settings: Settings, owners: Connections, names: Names, targets: Sequence[Target]
) -> list[Script]:
    """Compose the triggers for tables that were found in the order database."""
    if not targets:
        return []
    views = Views(owners.source, names.confirmed, names.purchases)
    return Triggers(owners.source, settings.feed, views).scripts(targets, names.role)


def _all_scripts(
    owners: Connections, names: Names, triggers: Sequence[Script]
) -> list[Script]:
    """List what a DBA would run in the order database, for triggers what is new."""
    if triggers and not owners.is_one:
        return list(triggers)
    done = installed(owners.ledger) if triggers else ()
    grants = [ledger_grants(names), view_grants(names)]
    return [*migrations(done), *grants, *triggers]


def _print_scripts(scripts: Sequence[Script]) -> None:
    if not scripts:
        return
    click.echo("BEGIN;")
    for script in scripts:
        click.echo(f"-- {script.title}\n{script.statement.text.decode()}")
    click.echo("COMMIT;")


def _print_apart(scripts: Sequence[Script]) -> None:
    """Print what cannot run in the same transaction: a slot."""
    for script in scripts:
        click.echo(f"-- {script.title}\n{script.statement.text.decode()}")


def _owners(
    settings: Settings, owner: str | None, state_owner: str | None
) -> Connections:
    """Connect as those who may create and grant."""
    for option, dsn in (("--as", owner), ("--state-as", state_owner)):
        if dsn and (fault := dsn_fault(dsn)):
            raise click.BadParameter(fault, param_hint=option)
    source = Database(
        owner or settings.source_dsn.get_secret_value(),
        application_name="syncd/install",
    )
    if not settings.state_dsn.get_secret_value():
        return Connections(source, source)
    state = state_owner or settings.state_dsn.get_secret_value()
    return Connections(source, Database(state, application_name="syncd/install"))


def _names(settings: Settings, role: str | None) -> Names:
    role = role or role_of(settings.source_dsn.get_secret_value())
    if role is None:
        raise ConfigError(
            "source.dsn names no user", "Name the daemon's role with --role."
        )
    state = settings.state_dsn.get_secret_value()
    ledger_role = role_of(state) if state else None
    source = settings.source
    return Names(role, source.confirmed, source.purchases, ledger_role)


@click.command("uninstall")
@configured
@click.option("--print", "only_print", is_flag=True, help="Show the SQL, for the DBA.")
@click.option("--as", "owner", metavar="DSN", help="Whom to uninstall as.")
@click.option(
    "--state-as", "state_owner", metavar="DSN", help="The same, for [state] dsn."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--listen", "only_listen", is_flag=True, help="Only the triggers and the outbox."
)
@click.option(
    "--wal", "only_wal", is_flag=True, help="Only the slot and the publication."
)
def uninstall_command(  # noqa: PLR0913  # the command's options
    settings: Settings,
    *,
    only_print: bool,
    owner: str | None,
    state_owner: str | None,
    yes: bool,
    only_listen: bool,
    only_wal: bool,
) -> None:
    """Drop the ledger, triggers, outbox, slot and publication; your views stay.

    Example: syncd uninstall --as "postgresql://postgres@/shop"
    """
    everything = not (only_listen or only_wal)
    if only_print:
        triggers = [outbox_removal()] if everything or only_listen else []
        _print_scripts([*triggers, *([uninstallation()] if everything else [])])
        _print_apart(unfollowing(settings.feed) if everything or only_wal else [])
        return
    if everything and not yes:
        click.confirm("Forget which orders were sent?", abort=True)
    with closing(_owners(settings, owner, state_owner)) as owners:
        if everything or only_wal:
            dropped = unfollow(owners, settings.feed)
            if dropped or only_wal:
                click.echo(f"dropped: {', '.join(dropped) or 'nothing, there is none'}")
        if only_listen:
            stop_listening(owners.source)
            click.echo("triggers and outbox are gone")
        if everything:
            uninstall(owners)
    gone = "the ledger is gone; the views are still there"
    click.echo(gone if everything else "the ledger is still there")
