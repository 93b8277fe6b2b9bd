"""The command line: each verb reads the configuration, does one thing, and says so."""

import sys

import click

from syncd import __version__
from syncd.cli.aside import rejected, uncertain
from syncd.cli.checking import check
from syncd.cli.comparing import diff
from syncd.cli.looking import explain, preview
from syncd.cli.orders import watermark
from syncd.cli.reconciling import reconcile
from syncd.cli.reporting import report
from syncd.cli.running import accept_copy, resume, run, sandbox
from syncd.cli.setup import init, install_command, uninstall_command
from syncd.cli.standing import status
from syncd.cli.verifying import verify
from syncd.demo.command import demo_command
from syncd.errors import ExitCode, SyncdError


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
    Exit codes: 0 done, 1 not as asked, 2 down (status), 64 usage,
                69 unreachable, 70 a bug, 75 something is left,
                77 no permission, 78 configuration
    """  # noqa: D301  # click's mark for "do not rewrap"


for verb in (
    init,
    install_command,
    uninstall_command,
    check,
    preview,
    verify,
    run,
    status,
    explain,
    diff,
    watermark,
    reconcile,
    report,
    rejected,
    uncertain,
    resume,
    accept_copy,
    sandbox,
    demo_command,
):
    cli.add_command(verb)
