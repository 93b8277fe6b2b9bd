"""`syncd status`: health, lag, and what needs attention."""

from datetime import UTC, datetime

import click
from rich.console import Console

from syncd.cli.context import configured, connected, print_json
from syncd.cli.option import as_json_option
from syncd.config.settings import Settings
from syncd.core.errors import DatabaseUnavailableError, SyncdError
from syncd.core.health import assess
from syncd.core.verdict import Health, Severity
from syncd.diagnostics.status.document import check_line, document
from syncd.diagnostics.status.facts import FeedStatus, StatusReader
from syncd.diagnostics.status.screen import draw
from syncd.diagnostics.status.watch import Watch, unread

UNKNOWN = 3
"""The exit code of a monitoring plugin with unknown state."""


@click.command()
@configured
@click.option(
    "--watch",
    "seconds",
    type=click.FloatRange(min=0.2),
    is_flag=False,
    flag_value=2.0,
    metavar="[SECONDS]",
    help="Refresh until you press q.",
)
@click.option("--nagios", "as_plugin", is_flag=True, help="Behave as a Nagios plugin.")
@as_json_option
def status(
    settings: Settings, *, seconds: float | None, as_plugin: bool, as_text: bool
) -> None:
    """Show health, lag, and what needs attention.

    Exit codes: 0 healthy, 1 degraded, 2 down or not reachable.

    Example: syncd status --watch
    """
    if sum((seconds is not None, as_plugin, as_text)) > 1:
        raise click.UsageError("Choose one of --watch, --nagios and --json.")
    with connected(settings) as connections:
        reader = StatusReader(settings, connections)
        if seconds is not None:
            watch = Watch(settings.feed, reader, connections, seconds)
            watch.run(Console(highlight=False))
            return
        health, facts = _read(reader, as_plugin=as_plugin)
    if as_plugin:
        click.echo(check_line(health, facts))
    elif as_text:
        shown = document(settings.feed, health, facts)
        print_json(shown)
    else:
        at = facts.quick.stats.now if facts else datetime.now(UTC)
        Console(highlight=False).print(draw(settings.feed, health, facts, at=at))
    if health.severity is not Severity.NOTICE:
        raise click.exceptions.Exit(int(health.severity))


def _read(reader: StatusReader, *, as_plugin: bool) -> tuple[Health, FeedStatus | None]:
    """Read once; a database that does not respond is a verdict, not an error."""
    try:
        facts = reader.read()
    except DatabaseUnavailableError as error:
        return unread(error), None
    except SyncdError as error:
        if not as_plugin:
            raise
        click.echo(f"SYNCD UNKNOWN - {error}")
        raise click.exceptions.Exit(UNKNOWN) from error
    return assess(facts.health_inputs()), facts
