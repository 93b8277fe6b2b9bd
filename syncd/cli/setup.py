"""Setting up: write a configuration, create the ledger, take it out."""

from importlib.resources import files
from pathlib import Path

import click

from syncd.cli.shell import configured
from syncd.config import DEFAULT_PATH, Settings
from syncd.database import Database
from syncd.errors import ConfigError
from syncd.install import (
    Names,
    grants,
    install,
    migrations,
    role_of,
    uninstall,
    uninstallation,
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
@click.option("--role", help="The daemon's role [default: the user of source.dsn].")
def install_command(
    settings: Settings, *, only_print: bool, owner: str | None, role: str | None
) -> None:
    """Create or upgrade the ledger, and grant the daemon what it needs.

    Run it again after the views were created: it grants SELECT on them.

    Example: syncd install --as "postgresql://postgres@/shop" --role syncd
    """
    dsn = owner or settings.source_dsn.get_secret_value()
    names = _names(settings, role)
    with_owner = Database(dsn, application_name="syncd/install")
    if only_print:
        for script in migrations() + grants(names, views=True):
            click.echo(f"-- {script.title}\n{script.statement.as_string()}")
        return
    try:
        done = install(with_owner, names)
    finally:
        with_owner.close()
    click.echo(f"ledger: {', '.join(done) or 'up to date'}; grants for {names.role}")


def _names(settings: Settings, role: str | None) -> Names:
    role = role or role_of(settings.source_dsn.get_secret_value())
    if role is None:
        raise ConfigError(
            "source.dsn names no user", "Name the daemon's role with --role."
        )
    return Names(role, settings.source.confirmed, settings.source.purchases)


@click.command("uninstall")
@configured
@click.option("--print", "only_print", is_flag=True, help="Show the SQL, for the DBA.")
@click.option("--as", "owner", metavar="DSN", help="Whom to uninstall as.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def uninstall_command(
    settings: Settings, *, only_print: bool, owner: str | None, yes: bool
) -> None:
    """Drop the ledger with all it knows; your views stay."""
    script = uninstallation()
    if only_print:
        click.echo(script.statement.as_string())
        return
    if not yes:
        click.confirm("Forget which orders were sent?", abort=True)
    database = Database(owner or settings.source_dsn.get_secret_value())
    try:
        uninstall(database)
    finally:
        database.close()
    click.echo("the ledger is gone; the views are still there")
