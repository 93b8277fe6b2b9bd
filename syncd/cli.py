"""The command line: each verb reads the configuration, does one thing, and says so."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from importlib.resources import files
from pathlib import Path
from typing import Concatenate, ParamSpec

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from syncd import __version__, log
from syncd.backfill import Backfill, Plan
from syncd.check import as_json, run_checks
from syncd.config import DEFAULT_PATH, Settings, load
from syncd.core.purchase import Purchase, render
from syncd.daemon import SIGNALS, Daemon, connect, source_on
from syncd.database import Database, named
from syncd.errors import ConfigError, ExitCode, OrderUnknownError, SyncdError
from syncd.feed import Feeds
from syncd.install import (
    Names,
    grants,
    install,
    migrations,
    role_of,
    uninstall,
    uninstallation,
)
from syncd.ledger import Ledger
from syncd.pulse import Pulse, read_pulse, read_totals
from syncd.rendering import rules_of
from syncd.squeezely import encode
from syncd.story import tell

P = ParamSpec("P")

LAG_LIMIT_SECONDS = 600.0
"""Lag from which `syncd status` calls a feed degraded."""


def main() -> None:
    """Run the command; every error ends as one clear line and an exit code."""
    try:
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else ExitCode.OK)
    except SyncdError as error:
        for line in str(error).splitlines():
            click.echo(f"syncd: {line}", err=True)
        click.echo(f"  {error.hint}", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("syncd: nothing was changed", err=True)
        sys.exit(ExitCode.FAILED)
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.USAGE)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="syncd")
def cli() -> None:
    """Send every confirmed order of a PostgreSQL shop to Squeezely.

    \b
    First time:  syncd init, create the two views, syncd install,
                 syncd check, syncd preview ORDER, syncd run
    Every day:   syncd status, syncd explain ORDER, syncd rejected list
    To look:     syncd demo

    \b
    Exit codes: 0 done, 1 not as asked, 64 usage, 69 unreachable, 70 a bug,
                75 something is left, 77 no permission, 78 configuration
    """  # noqa: D301  # click's mark for "do not rewrap"


def configured(
    command: Callable[Concatenate[Settings, P], None],
) -> Callable[P, None]:
    """Give a command the option --config, and the configuration that it names."""

    @click.option(
        "--config",
        "path",
        type=click.Path(path_type=Path),
        default=DEFAULT_PATH,
        envvar="SYNCD_CONFIG",
        show_default=True,
        help="The configuration file.",
    )
    @wraps(command)
    def with_settings(path: Path, *args: P.args, **kwargs: P.kwargs) -> None:
        command(load(path), *args, **kwargs)

    return with_settings  # type: ignore[return-value]  # click adds the option


as_json_option = click.option("--json", "as_text", is_flag=True, help="For scripts.")


@contextmanager
def database_of(settings: Settings) -> Iterator[Database]:
    """Open a connection for one command."""
    database = connect(settings, "cli")
    try:
        yield database
    finally:
        database.close()


# Set up


@cli.command()
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


@cli.command("install")
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


@cli.command("uninstall")
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


@cli.command()
@configured
@as_json_option
def check(settings: Settings, *, as_text: bool) -> None:
    """Look at database, views, plans and sample orders; say what to do next."""
    with database_of(settings) as database:
        findings = run_checks(settings, database)
    if as_text:
        click.echo(json.dumps(as_json(findings), indent=2))
    else:
        for finding in findings:
            mark = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}
            click.echo(f"{mark[finding.severity]} {finding.subject}: {finding.message}")
            if finding.next_step:
                click.echo(f"        -> {finding.next_step}")
    if any(finding.severity == "error" for finding in findings):
        raise click.exceptions.Exit(ExitCode.CONFIG)


@cli.command()
@configured
@click.argument("order")
def preview(settings: Settings, order: str) -> None:
    """Print the exact JSON that would be sent for ORDER (key or public number)."""
    with database_of(settings) as database:
        source = source_on(settings, database)
        source.views.check()
        key = source.find(order)
        if key is None:
            raise OrderUnknownError(
                f"the purchases view has no order {order!r}",
                "ORDER is the order_key or the orderid of the view.",
            )
        now = source.clock()
        confirmed_at = source.confirmed_at(key)
        made = render(
            source.read([key])[key], confirmed_at or now, rules_of(settings), now
        )
    if not isinstance(made, Purchase):
        click.echo(f"syncd: order {key} cannot be sent: {made.reason}", err=True)
        raise click.exceptions.Exit(ExitCode.FAILED)
    click.echo(json.dumps(json.loads(encode([made.event], "single")), indent=2))
    if confirmed_at is None:
        click.echo("note: the order is not confirmed, so it is not sent", err=True)


# Run


@cli.command()
@configured
@click.option("--once", is_flag=True, help="Capture, deliver what is due, and exit.")
def run(settings: Settings, *, once: bool) -> None:
    """Run the daemon until SIGTERM or Ctrl-C.

    It starts at "now": past orders are sent by `syncd watermark reset` only.
    With --once the exit code is 75 when something is left to deliver.
    """
    log.configure(level=settings.log.level, style=settings.log.format)
    daemon = Daemon(settings)
    try:
        code = daemon.run_once() if once else daemon.run()
    except SyncdError as error:
        log.Log(settings.feed).emit(
            "daemon.failed",
            reason=str(error),
            hint=error.hint,
            exit_code=int(error.exit_code),
        )
        raise click.exceptions.Exit(error.exit_code) from error
    raise click.exceptions.Exit(code)


@cli.command()
@configured
@as_json_option
def status(settings: Settings, *, as_text: bool) -> None:
    """Is it healthy, how far behind, what needs me? (exit 0 healthy, 1 degraded)."""
    with database_of(settings) as database:
        feed = Feeds(database, settings.feed).get()
        pulse = read_pulse(database, feed.feed_id)
        totals = read_totals(database, feed.feed_id)
    healthy = _is_healthy(pulse)
    facts: dict[str, object] = {
        "feed": settings.feed,
        "healthy": healthy,
        "started_at": feed.started_at,
        "watermark": pulse.watermark,
        "watermark_age_seconds": round(pulse.watermark_age_seconds, 1),
        "lag_seconds": round(pulse.lag_seconds, 1),
        "pending": pulse.pending,
        "sending": pulse.sending,
        "pending_backfill": pulse.pending_backfill,
        "rejected": pulse.rejected,
        "withdrawn": pulse.withdrawn,
        "endpoint": pulse.endpoint,
        "endpoint_reason": pulse.endpoint_reason,
        **totals,
    }
    if as_text:
        click.echo(json.dumps(facts, indent=2, default=_json_time))
    else:
        _print_facts(facts)
    if not healthy:
        raise click.exceptions.Exit(ExitCode.FAILED)


def _is_healthy(pulse: Pulse) -> bool:
    return (
        pulse.endpoint == "open"
        and pulse.lag_seconds < LAG_LIMIT_SECONDS
        and not pulse.rejected
    )


def _json_time(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _print_facts(facts: dict[str, object]) -> None:
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        shown = "-" if value is None else _json_time(value)
        table.add_row(name.replace("_", " "), shown)
    Console().print(table)


@cli.command()
@configured
@click.argument("order")
def explain(settings: Settings, order: str) -> None:
    """Tell the whole story of ORDER, also why it was not sent."""
    with database_of(settings) as database:
        feed = Feeds(database, settings.feed).get()
        story = tell(database, source_on(settings, database), feed, order)
        if story is None:
            raise OrderUnknownError(
                f"neither the views nor the ledger know the order {order!r}",
                "ORDER is the order_key or the orderid of the purchases view.",
            )
        for line in story:
            click.echo(line)


# Past orders


@cli.group()
def watermark() -> None:
    """Show the watermark, or reset it to send past orders."""


@watermark.command("show")
@configured
def watermark_show(settings: Settings) -> None:
    """Show the time up to which every order is in the ledger."""
    with database_of(settings) as database:
        feed = Feeds(database, settings.feed).get()
        click.echo(Ledger(database, feed.feed_id).watermark().isoformat())


@watermark.command("reset")
@configured
@click.option("--to", "moment", required=True, help="ISO 8601 time or date.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show the plan only.")
def watermark_reset(
    settings: Settings, *, moment: str, yes: bool, dry_run: bool
) -> None:
    """Send the orders confirmed between a time and the watermark.

    The live watermark itself stays where it is. Orders that the ledger has are not
    sent again. The orders wait in the backfill lane, behind live ones.

    Example: syncd watermark reset --to 2026-01-01
    """
    lower = _moment(moment, settings)
    with database_of(settings) as database:
        feed = Feeds(database, settings.feed).get()
        ledger = Ledger(database, feed.feed_id)
        size = settings.squeezely.orders_per_batch
        backfill = Backfill(source_on(settings, database), ledger, size=size)
        plan = backfill.plan(lower)
        _show_plan(plan, settings.backfill.rate)
        if dry_run or not plan.orders:
            return
        if not yes:
            click.confirm("Send them?", abort=True)
        _capture(backfill, plan)
    log.configure(level=settings.log.level, style=settings.log.format)
    log.Log(settings.feed).emit(
        "watermark.reset",
        lower=plan.lower.isoformat(),
        upper=plan.upper.isoformat(),
        orders=plan.orders,
    )


def _capture(backfill: Backfill, plan: Plan) -> None:
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("into the ledger", total=plan.orders)
        for orders in backfill.capture(plan):
            progress.advance(task, orders)


def _moment(text: str, settings: Settings) -> datetime:
    zone = rules_of(settings).zone
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time; write it like 2026-01-31 or 2026-01-31T12:00+01:00",
            param_hint="--to",
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    if moment > datetime.now(UTC):
        raise click.BadParameter(f"{text} is in the future", param_hint="--to")
    return moment


def _show_plan(plan: Plan, rate: float | None) -> None:
    click.echo(f"from {plan.lower} to the watermark {plan.upper} (which stays there)")
    click.echo(
        f"{plan.confirmed} confirmed orders, {plan.known} of them in the ledger already"
    )
    minutes = plan.seconds(rate) / 60
    click.echo(f"{plan.orders} to send, about {minutes:.0f} minutes at the given rate")
    if plan.orders:
        click.echo("Flows in Squeezely may start from them: ask Spotler beforehand.")


# Orders set aside


@cli.group()
def rejected() -> None:
    """List orders that were set aside, or try them again."""


@rejected.command("list")
@configured
@as_json_option
def rejected_list(settings: Settings, *, as_text: bool) -> None:
    """List the orders that cannot be sent, with their reasons."""
    with database_of(settings) as database:
        feed = Feeds(database, settings.feed).get()
        rows = database.all(
            named("rejected"), feed=feed.feed_id, states=["rejected"], limit=1000
        )
    names = ("order_key", "orderid", "state", "reason", "confirmed_at")
    if as_text:
        listed = [dict(zip(names, row, strict=True)) for row in rows]
        click.echo(json.dumps(listed, indent=2, default=_json_time))
        return
    for key, orderid, _, reason, confirmed_at in rows:
        click.echo(f"{key}  {orderid or '-'}  {confirmed_at:%Y-%m-%d %H:%M}  {reason}")
    if not rows:
        click.echo("none")


@rejected.command("retry")
@configured
@click.argument("orders", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that are set aside.")
def rejected_retry(
    settings: Settings, *, orders: tuple[str, ...], everything: bool
) -> None:
    """Try orders again, after the data or the view was mended.

    Example: syncd rejected retry 1042 1043
    """
    if not orders and not everything:
        raise click.UsageError("Name orders, or --all.")
    retried = 0
    with database_of(settings) as database:
        feed = Feeds(database, settings.feed).get()
        while True:
            (count,) = database.one(
                named("retry_rejected"),
                feed=feed.feed_id,
                orders=list(orders),
                all=everything,
                size=settings.squeezely.orders_per_batch,
            )
            retried += int(str(count))
            if not count:
                break
    click.echo(f"{retried} orders are pending again")


@cli.command()
@configured
def resume(settings: Settings) -> None:
    """Send again at once, after the API or the credentials were mended."""
    with database_of(settings) as database:
        feed = Feeds(database, settings.feed).get()
        released = Ledger(database, feed.feed_id).release_endpoint()
    click.echo("sending goes on" if released else "sending was not held")


@cli.command("accept-copy")
@configured
@click.option("--yes", is_flag=True, help="Do not ask.")
def accept_copy(settings: Settings, *, yes: bool) -> None:
    """Let a restored or moved database send, in place of the one it was copied from."""
    if not yes:
        click.confirm("Has the original stopped sending for good?", abort=True)
    with database_of(settings) as database:
        bound = Feeds(database, settings.feed).accept_copy()
    click.echo("bound to this database" if bound else "the feed was never started")


# To look


@cli.command()
@click.option("--port", default=8377, show_default=True)
@click.option("--account", default="SQ-SANDBOX", show_default=True)
@click.option("--api-key", default="sandbox-key", show_default=True)
def sandbox(port: int, account: str, api_key: str) -> None:
    """Run the local stand-in for Squeezely's API, with a page to look at."""
    # Not at the top: the daemon's memory need not hold it.
    from syncd.sandbox import PortUnavailableError, Sandbox  # noqa: PLC0415

    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    stand_in = Sandbox(port=port, account=account, api_key=api_key)
    try:
        stand_in.start()
    except PortUnavailableError as error:
        raise ConfigError(str(error), "Name another with --port.") from error
    click.echo(f"endpoint {stand_in.endpoint}, page {stand_in.url}, Ctrl-C stops")
    signal.sigwait(SIGNALS)
    stand_in.stop()
