"""`syncd install`: create or upgrade the ledger, and what a capture needs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain

import click

from syncd.capture.wal.publication import CHOOSE
from syncd.cli.context import configured
from syncd.config.dsn import dsn_fault
from syncd.config.settings import Settings
from syncd.core.errors import ConfigError
from syncd.core.sql_text import SqlName
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
from syncd.setup.install.scripts import SqlScript, guard, pin, pinned_both
from syncd.setup.install.triggers import Triggers
from syncd.setup.install.wal import Following, follow, prepare
from syncd.setup.views.file import ViewNames
from syncd.source.connections import Connections
from syncd.source.views import Views

LEDGER, SOURCE = "the ledger's database", "the order database"
_ROLE = """Write it as in SQL: syncd, or '"My-Role"' (capitals and hyphens need double \
quotes)."""


@click.command("install")
@configured
@click.option("--print", "only_print", is_flag=True, help="Show the SQL, for the DBA.")
@click.option(
    "--as",
    "owner",
    metavar="DSN",
    help="The role that installs; without a password (use a passfile).",
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
    help="Record changes of this table with triggers; may be repeated.",
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
    help="Subscribers of a publication of all tables have syncd's too.",
)
@click.option(
    "--recreate-slot", is_flag=True, help="With --wal: start a new slot from now."
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
    capture = "listen", name each table whose changes can confirm an order. Existing
    correct objects are not touched.

    \b
    Example: syncd install --as "postgresql://postgres@/shop" --role syncd
             syncd install --as … --listen orders:id --listen payments:order_id
             syncd install --as … --wal orders:id --wal payments:order_id
    """  # noqa: D301  # click's mark for "do not rewrap"
    wanted = _wanted(tables, followed, recreate=recreate_slot)
    names = _names(settings, role)
    with closing(connect_owners(settings, owner, ledger_owner)) as owners:
        with pinned_both(owners):
            waits = bool(tables or followed) and _comes_first(owners, names)
            wanted = _Wanted() if waits else wanted
            capture, following = _prepared(settings, owners, names, wanted)
            found = look(owners, names, capture, published=published)
            if only_print:
                _print_installation(owners, found, following)
                return
            carry_out(owners, found)
        for line in _done(names, found):
            click.echo(line)
        for line in follow(owners, settings.feed, following) if following else []:
            click.echo(line)
    _print_next(settings, wanted, waits=waits)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The requested capture: tables with triggers, or tables in the WAL."""

    listened: Sequence[Target] = ()
    followed: Sequence[Target] = ()
    recreate: bool = False


def _wanted(
    listened: Sequence[str], followed: Sequence[str], *, recreate: bool
) -> _Wanted:
    """Read the options.

    Raises:
        click.UsageError: They name two captures.
        ConfigError: A table is not written as TABLE:KEYCOLUMN, or none is named.
    """
    if listened and (followed or recreate):
        raise click.UsageError("--listen and --wal exclude each other")
    if recreate and not followed:
        raise ConfigError("--recreate-slot needs --wal", CHOOSE)
    return _Wanted(
        [_target("--listen", table) for table in listened],
        [_target("--wal", table) for table in followed],
        recreate,
    )


def _done(names: Grantees, found: Installation) -> Iterator[str]:
    yield f"ledger: {', '.join(found.migrations) or 'up to date'}"
    yield f"grants for {names.role}"
    if found.readers:
        yield f"for pg_dump, schema syncd is readable by {', '.join(found.readers)}"


def _prepared(
    settings: Settings, owners: Connections, names: Grantees, wanted: _Wanted
) -> tuple[Capture, Following | None]:
    """Return what the capture needs in the database, and how it follows the WAL."""
    if wanted.followed:
        following = prepare(
            owners,
            names,
            settings.feed,
            wanted.followed,
            lookback=settings.source.lookback,
            recreate=wanted.recreate,
        )
        return following.capture, following
    if not wanted.listened:
        return Capture(), None
    views = Views(owners.source, names.confirmed, names.purchases)
    triggers = Triggers(owners.source, settings.feed, views)
    return triggers.missing(wanted.listened, names), None


def _target(option: str, text: str) -> Target:
    target = Target.parse(text)
    if target is None:
        raise ConfigError(f"{option} {text!r}: is not TABLE:KEYCOLUMN", EXAMPLE)
    return target


def _comes_first(owners: Connections, names: Grantees) -> bool:
    """Return whether the ledger has to be made before the views can be."""
    return not installed(owners.ledger) and not have_views(owners.source, names)


def _print_next(settings: Settings, wanted: _Wanted, *, waits: bool) -> None:
    if waits:
        click.echo(
            "next: create the two views (sql/shops/template.sql), then run the same "
            "command again: no table is followed yet"
        )
    for target in wanted.listened:
        click.echo(f"listening to {target.table}, by its column {target.key}")
    capture = "listen" if wanted.listened else "wal" if wanted.followed else "poll"
    if capture not in {"poll", settings.source.capture}:
        click.echo(f'next: set source.capture = "{capture}", then syncd check')


def _print_installation(
    owners: Connections, found: Installation, following: Following | None
) -> None:
    """Print what a DBA would run: for each database one transaction, then a slot."""
    apart = following.apart if following else []
    databases = {LEDGER: found.ledger, SOURCE: found.source}
    print_scripts(databases, is_one=owners.is_one)
    print_apart(apart)
    if not (found.ledger or found.source or apart):
        click.echo("-- nothing is missing")


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
    confirmed, purchases = map(str, ViewNames.of(settings).both)
    return Grantees(role_for(settings, role), confirmed, purchases, ledger_role)


def print_scripts(
    databases: Mapping[str, Sequence[SqlScript]], *, is_one: bool = False
) -> None:
    """Print what runs in one transaction of each database, by the database's name.

    Args:
        databases: In their order; one without scripts is left out.
        is_one: They are one and the same: one transaction, without its name.
    """
    if is_one:
        databases = {"": [*chain.from_iterable(databases.values())]}
    for where, scripts in databases.items():
        if scripts:
            click.echo(f"-- in {where}\nBEGIN;" if where else "BEGIN;")
            print_apart([pin(), guard(), *scripts])
            click.echo("COMMIT;")


def print_apart(scripts: Sequence[SqlScript]) -> None:
    """Print what runs outside of a transaction, as a slot does."""
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
