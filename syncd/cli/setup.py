"""Setting up: write a configuration, create the ledger, take it out."""

from contextlib import closing
from importlib.resources import files
from pathlib import Path

import click

from syncd.cli.shell import configured
from syncd.config import DEFAULT_PATH, Settings
from syncd.connections import Connections
from syncd.database import Database
from syncd.errors import ConfigError
from syncd.install import (
    Names,
    install,
    ledger_grants,
    migrations,
    role_of,
    uninstall,
    uninstallation,
    view_grants,
)


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_PATH,
    show_default=True,
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
def install_command(
    settings: Settings,
    *,
    only_print: bool,
    owner: str | None,
    state_owner: str | None,
    role: str | None,
) -> None:
    """Create or upgrade the ledger, and grant the daemon what it needs.

    Run it again after the views were created: it grants SELECT on them.

    Example: syncd install --as "postgresql://postgres@/shop" --role syncd
    """
    names = _names(settings, role)
    if only_print:
        for script in [*migrations(), ledger_grants(names), view_grants(names)]:
            click.echo(f"-- {script.title}\n{script.statement.as_string()}")
        return
    with closing(_owners(settings, owner, state_owner)) as owners:
        done = install(owners, names)
    click.echo(f"ledger: {', '.join(done) or 'up to date'}; grants for {names.role}")


def _owners(
    settings: Settings, owner: str | None, state_owner: str | None
) -> Connections:
    """Connect as those who may create and grant."""
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
def uninstall_command(
    settings: Settings,
    *,
    only_print: bool,
    owner: str | None,
    state_owner: str | None,
    yes: bool,
) -> None:
    """Drop the ledger with all it knows; your views stay."""
    script = uninstallation()
    if only_print:
        click.echo(script.statement.as_string())
        return
    if not yes:
        click.confirm("Forget which orders were sent?", abort=True)
    with closing(_owners(settings, owner, state_owner)) as owners:
        uninstall(owners.ledger)
    click.echo("the ledger is gone; the views are still there")
