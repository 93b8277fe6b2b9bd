"""`syncd run`, `sandbox` and `confirm-move`: the daemon, and its fake API."""

import signal
import sys
from functools import partial
from pathlib import Path

import click

from syncd.cli.context import configured, connected
from syncd.cli.option import config_option
from syncd.config.configuration import load
from syncd.config.settings import Settings
from syncd.core.errors import ConfigError, ExitCode, SyncdError
from syncd.daemon import signals
from syncd.daemon.process import Daemon, configure_log
from syncd.ledger.feed import FeedStore
from syncd.ledger.start_journal import StartJournal
from syncd.log import log


@click.command()
@config_option
@click.option("--once", is_flag=True, help="Capture, deliver what is due, and exit.")
@click.option(
    "--new-feed",
    is_flag=True,
    help="Start a new feed, even if another one serves its orders.",
)
def run(path: Path, *, once: bool, new_feed: bool) -> None:
    """Run the daemon until SIGTERM or Ctrl-C; SIGHUP reloads its configuration.

    It starts at "now": only `syncd watermark reset` sends past orders. With --once
    the exit code is 75 if orders remain to be delivered. With an error of
    `syncd check` in ledger, views or settings it does not start (78).

    \b
    Examples: syncd run
              syncd run --once
    """  # noqa: D301  # click's mark for "do not rewrap"
    log.configure()
    feed, journal = "-", None
    try:
        settings = load(path)
        feed = settings.feed
        configure_log(settings)
        log.own_crashes(log.Log(feed))
        journal = StartJournal(settings)
        daemon = Daemon(settings, partial(load, path), new_feed=new_feed)
        code = daemon.run_once() if once else daemon.run()
    except SyncdError as error:
        if feed == "-" and sys.stderr.isatty():
            raise
        log.Log(feed).emit(
            "daemon.failed",
            reason=str(error),
            hint=error.hint,
            codes=", ".join(error.codes) or None,
            exit_code=int(error.exit_code),
        )
        if journal is not None:
            journal.keep("start", error)
        raise click.exceptions.Exit(error.exit_code) from error
    except Exception as error:  # a fault of syncd's own, while the daemon is built
        log.report_crash(log.Log(feed), error)
        raise click.exceptions.Exit(ExitCode.BUG) from error
    raise click.exceptions.Exit(code)


@click.command("confirm-move")
@configured
@click.option("--yes", is_flag=True, help="Do not ask.")
def confirm_move(settings: Settings, *, yes: bool) -> None:
    """Allow a restored or moved database to send in place of the original.

    Without it a copy refuses to send, because the original sends the same orders.

    Example: syncd confirm-move
    """
    if not yes:
        click.confirm("Has the original stopped sending for good?", abort=True)
    with connected(settings) as connections:
        holds = settings.squeezely.on_uncertain == "hold"
        bound = FeedStore(connections, settings.feed).confirm_move(holds=holds)
    click.echo("bound to this database" if bound else "the feed was never started")


@click.command()
@click.option("--port", default=8377, show_default=True, help="The port to listen on.")
@click.option(
    "--account", default="SQ-SANDBOX", show_default=True, help="The account to serve."
)
@click.option(
    "--api-key", default="sandbox-key", show_default=True, help="The key to accept."
)
def sandbox(port: int, account: str, api_key: str) -> None:
    """Run a local fake Squeezely API, with a page that shows its events.

    Example: syncd sandbox --port 8377
    """
    # Not at the top: the daemon's memory need not hold it.
    from syncd.demo.sandbox import PortUnavailableError, Sandbox  # noqa: PLC0415

    signals.block()
    sandbox_api = Sandbox(port=port, account=account, api_key=api_key)
    try:
        sandbox_api.start()
    except PortUnavailableError as error:
        raise ConfigError(str(error), "Name another with --port.") from error
    click.echo(f"endpoint {sandbox_api.endpoint}, page {sandbox_api.url}, Ctrl-C stops")
    signal.sigwait(signals.STOPPING)
    sandbox_api.stop()
