"""The command line: each command reads the configuration and does one thing."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from click.exceptions import NoSuchCommand

from syncd import __version__
from syncd.cli import streams
from syncd.cli.option import config_option_before
from syncd.cli.pages import SectionedGroup
from syncd.core.errors import ExitCode, SyncdError


def main() -> None:
    """Run the command; every error ends as one clear line and an exit code."""
    streams.prepare()
    try:
        sys.exit(_run())
    except Exception as error:  # noqa: BLE001  # the last resort: one line, and the end
        _report_bug(error)
        sys.exit(ExitCode.BUG)


def _run() -> int:
    try:
        _refuse_bytes(sys.argv[1:])
        code = cli.main(prog_name="syncd", standalone_mode=False)
        streams.finish()
    except SyncdError as error:
        for line in str(error).splitlines():
            click.echo(f"syncd: {line}", err=True)
        click.echo(f"  {error.hint}", err=True)
        return error.exit_code
    except click.Abort:
        click.echo("syncd: nothing was changed", err=True)
        return ExitCode.FAILED
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except click.ClickException as error:
        _print_error(error)
        return ExitCode.USAGE
    return code if isinstance(code, int) else ExitCode.OK


def _refuse_bytes(arguments: Sequence[str]) -> None:
    """Refuse an argument that is not valid text."""
    for place, argument in enumerate(arguments, 1):
        if not argument.isascii() and argument != argument.encode(
            errors="replace"
        ).decode(errors="replace"):
            raise click.UsageError(f"Argument {place} is not valid UTF-8.")


def _report_bug(error: Exception) -> None:
    """Write its kind and its places; a message or value could be personal."""
    from syncd.log.log import places_of  # noqa: PLC0415  # rarely needed

    kind, places = type(error).__name__, places_of(error)
    click.echo(f"syncd: internal error: {kind} at {places}", err=True)
    click.echo("  Please report it with this line.", err=True)


def _print_error(error: click.ClickException) -> None:
    """Print click's message, its closest suggestion alone, and where the page is."""
    message = error.format_message()
    if isinstance(error, NoSuchCommand | click.NoSuchOption) and error.possibilities:
        message = f"{error.message} Did you mean {error.possibilities[0]!r}?"
    click.echo(f"syncd: {message}", err=True)
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "syncd"
    click.echo(f"  `{path} --help` shows its usage.", err=True)


@click.group(
    cls=SectionedGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="`syncd COMMAND --help` explains a command; `syncd man` prints the manual, "
    "with files, environment and signals. Exit codes: "
    + ", ".join(f"{int(code)} {code.meaning}" for code in ExitCode),
)
@config_option_before
@click.version_option(__version__, prog_name="syncd", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, path: Path | None) -> None:
    """Send every confirmed order of a PostgreSQL shop to Squeezely.

    \b
    Examples: syncd demo
              syncd init --out syncd.toml
              syncd status
              syncd explain W-1042
    """  # noqa: D301  # click's mark for "do not rewrap"
    context.obj = path


cli.put("Try it", demo="demo.command:demo_command", sandbox="cli.run:sandbox")
cli.put(
    "Set up",
    init="cli.init:init",
    views="cli.views:views",
    install="cli.install:install_command",
    check="cli.check:check",
    preview="cli.explain:preview",
    verify="cli.verify:verify",
    uninstall="cli.uninstall:uninstall_command",
)
cli.put("Run", run="cli.run:run", pause="cli.pause:pause", resume="cli.pause:resume")
cli.put(
    "Inspect",
    status="cli.status:status",
    explain="cli.explain:explain",
    diff="cli.diff:diff",
    report="cli.report:report",
)
cli.put(
    "Past orders",
    reconcile="cli.reconcile:reconcile",
    watermark="cli.watermark:watermark",
    backfill="cli.backfill:backfill",
    mark_delivered="cli.watermark:mark_delivered",
)
cli.put(
    "Orders set aside",
    rejected="cli.rejected:rejected",
    uncertain="cli.uncertain:uncertain",
    reused="cli.reused:reused",
    erase="cli.erase:erase",
)
cli.put(
    "Emergencies",
    confirm_move="cli.run:confirm_move",
    rebind_keys="cli.rebind:rebind_keys",
)
cli.put("Shell", completion="cli.manual:completion", man="cli.manual:man")
