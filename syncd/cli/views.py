"""`syncd views`: the two views over a shop's schema."""

import json
from collections.abc import Callable
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec

import click
from rich.console import Console
from rich.table import Table

from syncd.cli.check import print_finding
from syncd.cli.install import role_for
from syncd.cli.option import as_json_option, config_option
from syncd.cli.output import line_console, print_line
from syncd.cli.view_reports import detected, document, print_detection, print_trial
from syncd.config.configuration import load
from syncd.config.dsn import dsn_fault
from syncd.config.settings import Settings, SqueezelySettings
from syncd.core.errors import ExitCode
from syncd.core.sql_text import DEFAULT_SCHEMA, SqlName
from syncd.postgres.database import Database
from syncd.setup.views.application import Application
from syncd.setup.views.detection import Detection
from syncd.setup.views.file import ViewNames, read
from syncd.setup.views.shop import TEMPLATE, shops, sql_of
from syncd.setup.views.trial import NEWEST_ORDERS, Trial

P = ParamSpec("P")


@click.group()
def views() -> None:
    """Find, try and apply the two views that define your shop's orders."""


def connecting(
    command: Callable[Concatenate[Settings, Database, P], None],
) -> Callable[P, None]:
    """Add to a command a connection as `--as`, or by `source.dsn`.

    Without a configuration, which is written later, the defaults are taken.
    """

    @config_option
    @click.option(
        "--as",
        "--dsn",
        "dsn",
        metavar="DSN",
        help="Connect as a role that may read the shop's tables [source.dsn].",
    )
    @wraps(command)
    def connected(
        path: Path, dsn: str | None, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        if dsn and (fault := dsn_fault(dsn)):
            raise click.BadParameter(fault, param_hint="--as")
        if dsn and not path.exists():
            settings = Settings(squeezely=SqueezelySettings(account="-"))
        else:
            settings = load(path, wants_key=False)
        opened = Database(
            dsn or settings.source_dsn.get_secret_value(),
            application_name="syncd/views",
            time_zone=settings.source.time_zone,
            writes=True,
        )
        with closing(opened) as database:
            command(settings, database, *args, **kwargs)

    return connected  # type: ignore[return-value]  # click adds the options


def _schema(_: click.Context, __: click.Parameter, value: str) -> str:
    name = SqlName.parse(value)
    if name is None or name.schema is not None:
        raise click.BadParameter('write it as in SQL: shop, or "Shop" in quotes')
    return name.name


@views.command("list")
def views_list() -> None:
    """List the shop systems that syncd ships views for.

    Example: syncd views list
    """
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "tested on", "an order is confirmed when"):
        table.add_column(heading, no_wrap=heading == "name")
    for shop in shops().values():
        tested = f"{shop.title} {', '.join(shop.tested)}"
        table.add_row(shop.name, tested, shop.confirmed)
    table.add_row(TEMPLATE, "two invented tables", "it is paid: copy and change it")
    Console(highlight=False).print(table)


schema_option = click.option(
    "--schema",
    default=DEFAULT_SCHEMA,
    show_default=True,
    callback=_schema,
    help="The schema of the shop system's tables (for NAME).",
)


@views.command("show")
@click.argument("name")
@schema_option
def views_show(name: str, schema: str) -> None:
    """Print the SQL of a shop system's views, or the template.

    \b
    Examples: syncd views show medusa
              syncd views show template > my-shop.sql
    """  # noqa: D301  # click's mark for "do not rewrap"
    click.echo(sql_of(name, schema), nl=False)


@views.command("draft")
@as_json_option
@connecting
def views_draft(_: Settings, database: Database, /, *, as_text: bool) -> None:
    """Draft the two views for an unknown shop system.

    From the catalogue and some rows it proposes tables, times and columns. Each has a
    comment: why, how sure, and what else it could be; DOUBT marks what may be wrong,
    GAP what was not found. Nothing is changed, and no personal data is shown.

    \b
    Example: syncd views draft --as "dbname=shop user=postgres" > my-shop.sql
    Exit codes: 0 drafted, 1 no table of orders was found
    """  # noqa: D301  # click's mark for "do not rewrap"
    from syncd.setup.views.draft import draft  # noqa: PLC0415  # spares other verbs jinja2

    made = draft(database)
    if made is None:
        message = "syncd: no table of orders was found (that this role may read)"
        click.echo(message, err=True)
        raise click.exceptions.Exit(ExitCode.FAILED)
    if as_text:
        click.echo(json.dumps(made.as_json(), indent=2, ensure_ascii=False))
        return
    click.echo(made.sql, nl=False)
    click.echo(f"draft: {made.tally}; read it, then `syncd views try FILE`", err=True)


@views.command("try")
@click.argument("views", metavar="FILE|NAME")
@click.option(
    "--last",
    "orders",
    type=click.IntRange(1, 100_000),
    default=NEWEST_ORDERS,
    show_default=True,
    help="How many of the newest orders to read.",
)
@schema_option
@as_json_option
@connecting
def views_try(  # the command's options
    settings: Settings,
    database: Database,
    /,
    *,
    views: str,
    orders: int,
    schema: str,
    as_text: bool,
) -> None:
    """Read the newest orders through two views without creating them.

    FILE has CREATE VIEW for both; NAME is one of `syncd views list`. They are made for
    this session alone, in a transaction that is rolled back: nothing is left behind,
    nothing is sent, and the views in place are not touched. The events that are shown
    hold personal data.

    \b
    Examples: syncd views try medusa --as "dbname=shop user=postgres"
              syncd views try my-shop.sql --last 5000
    Exit codes: 0 all can be sent, 1 not all, or there are none
    """  # noqa: D301  # click's mark for "do not rewrap"
    file = read(views, ViewNames.of(settings), schema)
    result = Trial(database, settings).run(file, orders)
    if as_text:
        click.echo(json.dumps(document(result), indent=2, ensure_ascii=False))
    else:
        print_trial(line_console(), settings, result, views)
    if not result.is_good:
        raise click.exceptions.Exit(ExitCode.FAILED)


@views.command("apply")
@click.argument("views", metavar="FILE|NAME")
@click.option("--role", help="The daemon's role [default: the user of source.dsn].")
@schema_option
@connecting
def views_apply(
    settings: Settings,
    database: Database,
    /,
    *,
    views: str,
    role: str | None,
    schema: str,
) -> None:
    """Create or replace the two views, and let the daemon read them.

    FILE has CREATE VIEW for both; NAME is one of `syncd views list`. All of it happens,
    or nothing. A running daemon continues with the new views.

    Example: syncd views apply medusa --as "dbname=shop user=postgres" --role syncd
    """
    reader = role_for(settings, role)
    application = Application(database, settings)
    names = ViewNames.of(settings)
    how = application.run(read(views, names, schema), reader)
    console = line_console()
    print_line(console, f"{names.confirmed} and {names.purchases}: {how}")
    print_line(console, f"grants for {reader}")
    for finding in application.plans():
        if finding.code != "plan.indexed":
            print_finding(console, finding)
    print_line(console, "next: `syncd check`, then `syncd run`")


@views.command("detect")
@as_json_option
@connecting
def views_detect(settings: Settings, database: Database, /, *, as_text: bool) -> None:
    """Detect a database's shop system, its views and its settings.

    It reads the catalogue, and tries the views that fit on the newest orders, in a
    transaction that is rolled back. The role must not be the daemon's own: that one
    reads nothing but the views.

    \b
    Example: syncd views detect --dsn "dbname=shop user=postgres"
    Exit codes: 0 a shop system was found whose views fit, 1 none
    """  # noqa: D301  # click's mark for "do not rewrap"
    detection = Detection(database, settings)
    found = detection.run()
    if as_text:
        document = [detected(each) for each in found]
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        print_detection(line_console(), found, detection.tables())
    if not any(each.fits for each in found):
        raise click.exceptions.Exit(ExitCode.FAILED)
