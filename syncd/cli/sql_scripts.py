"""The SQL of an installation or a removal, printed for a DBA, and who runs it."""

from collections.abc import Sequence

import click

from syncd.config.dsn import dsn_fault
from syncd.config.settings import Settings
from syncd.postgres.database import Database
from syncd.setup.install.scripts import SqlScript, guard, pin
from syncd.source.connections import Connections


def print_scripts(scripts: Sequence[SqlScript], where: str = "") -> None:
    """Print what runs in one transaction; nothing when there is nothing to run."""
    if not scripts:
        return
    if where:
        click.echo(f"-- in {where}")
    click.echo("BEGIN;")
    for script in (pin(), guard(), *scripts):
        click.echo(f"-- {script.title}\n{script.statement.text.decode()}")
    click.echo("COMMIT;")


def print_apart(scripts: Sequence[SqlScript]) -> None:
    """Print what cannot run in the same transaction: a slot."""
    for script in scripts:
        click.echo(f"-- {script.title}\n{script.statement.text.decode()}")


def connect_owners(
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
