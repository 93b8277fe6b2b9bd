"""`syncd backfill`: send a past range; list, pause, cancel and watch backfills."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import tzinfo
from pathlib import Path

import click
from rich import progress as bars
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from syncd.backfill.active import Progress
from syncd.backfill.store import BackfillStore
from syncd.cli.context import configured, open_feed, print_json
from syncd.cli.option import as_json_option, config_option
from syncd.cli.output import print_line, print_lines
from syncd.cli.past_orders import ask, sending_options, span_of
from syncd.cli.plan import between, duration, minute
from syncd.config.configuration import load
from syncd.config.settings import Settings
from syncd.core.errors import ExitCode
from syncd.core.intervals import Interval
from syncd.delivery.rendering import rules_of

REFRESH_SECONDS = 1.0
LINE_SECONDS = 10.0
"""How often `watch` refreshes, and writes a line without a terminal."""

BAR_COLUMNS = 60
"""A narrower terminal gets the figures below the bar."""

number_argument = click.argument("backfill", type=int, required=False, metavar="[ID]")


@click.group(invoke_without_command=True)
@click.pass_context
@config_option
@click.option("--from", "lower", metavar="TIME", help="After this time.")
@click.option(
    "--to", "upper", metavar="TIME", help="Up to this time [default: the watermark]."
)
@sending_options
def backfill(
    context: click.Context,
    /,
    path: Path,
    *,
    lower: str | None,
    upper: str | None,
    **options: object,
) -> None:
    """Send the orders confirmed in a past range, behind live ones.

    It shows the plan first, then asks. Times are dates, times, or "90 days ago".

    Example: syncd backfill --from 2026-01-01 --to 2026-02-01
    """
    if context.invoked_subcommand:
        if lower or upper or any(options.values()):
            raise click.UsageError(f"{context.invoked_subcommand} takes no range.")
        context.obj = path
        return
    if lower is None:
        raise click.UsageError("Name the range: --from TIME, and --to TIME.")
    settings = load(path, wants_key=False)
    ask(settings, span_of(settings, lower, upper, "--from"), options)


@contextmanager
def _store(settings: Settings) -> Iterator[BackfillStore]:
    with open_feed(settings, changes=True) as on:
        yield BackfillStore(on.ledger)


@backfill.command("list")
@configured
@as_json_option
def backfill_list(settings: Settings, *, as_text: bool) -> None:
    """List all backfills and adopted ranges, with their progress.

    Example: syncd backfill list
    """
    with _store(settings) as store:
        found = [_paced(one, settings) for one in store.all()]
    if as_text:
        print_json([_facts(one) for one in found])
        return
    if not found:
        click.echo("none")
        return
    _print_found(found, rules_of(settings).zone)


def _print_found(found: Sequence[Progress], zone: tzinfo) -> None:
    """Print a table; where the terminal is too narrow for it, two lines for each."""
    console = Console(highlight=False)
    table = _table(found, zone)
    unbounded = console.options.update(max_width=1_000)
    if console.measure(table, options=unbounded).maximum <= console.width:
        console.print(table)
        return
    for one in found:
        line = f"{one.backfill} {one.state}, {one.purpose}: {_progress_line(one)}"
        print_line(console, line, hang=4)
        print_line(console, f"  {_range(one, zone)}")


def _paced(one: Progress, settings: Settings) -> Progress:
    """Bound the rate by the configured one: the first minute begins with a burst."""
    bound = settings.backfill.rate
    return one if bound is None else replace(one, rate=min(one.rate, bound))


def _range(one: Progress, zone: tzinfo) -> str:
    if one.lower >= one.upper:  # orders that were named
        return f"orders named at {minute(one.requested_at, zone)}"
    return between(Interval(one.lower, one.upper), zone)


def _table(found: Sequence[Progress], zone: tzinfo) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("ID", "state", "settled", "left", "what", "after", "up to"):
        table.add_column(name, no_wrap=True)
    for one in found:
        table.add_row(
            str(one.backfill),
            one.state,
            f"{one.settled:,} of {one.total:,}"
            + (f", {one.rejected:,} rejected" if one.rejected else ""),
            _left(one),
            one.purpose,
            minute(one.lower, zone),
            minute(one.upper, zone),
        )
    return table


def _facts(one: Progress) -> dict[str, object]:
    more = {"total": one.total, "settled": one.settled, "left": one.seconds_left}
    return asdict(one) | more


def _left(one: Progress) -> str:
    if one.waits_for:
        return one.waits_for
    return "-" if one.seconds_left is None else duration(one.seconds_left)


@backfill.command("pause")
@configured
@number_argument
def backfill_pause(settings: Settings, *, backfill: int | None) -> None:
    """Send nothing more of a backfill until it is resumed.

    Example: syncd backfill pause
    """
    with _store(settings) as store:
        number = backfill or store.unfinished().backfill
        store.pause(number)
    click.echo(f"backfill {number} is paused")


@backfill.command("resume")
@configured
@number_argument
def backfill_resume(settings: Settings, *, backfill: int | None) -> None:
    """Resume a paused backfill.

    Example: syncd backfill resume
    """
    with _store(settings) as store:
        number = backfill or store.unfinished().backfill
        store.resume(number)
    click.echo(f"backfill {number} is resumed")


@backfill.command("cancel")
@configured
@number_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
def backfill_cancel(settings: Settings, *, backfill: int | None, yes: bool) -> None:
    """Cancel a backfill; its unsent orders may be sent by a later one.

    Example: syncd backfill cancel 3
    """
    with _store(settings) as store:
        number = backfill or store.unfinished().backfill
        if not yes and store.get(number).is_unfinished:
            click.confirm(f"Cancel backfill {number} for good?", abort=True)
        cancelled = store.cancel(number)
    print_lines(
        f"backfill {number} is cancelled; {cancelled.released:,} orders given back"
    )
    if cancelled.left:
        print_lines(f"{cancelled.left:,} were under way already: they are still sent")


@backfill.command("watch")
@configured
@number_argument
def backfill_watch(settings: Settings, *, backfill: int | None) -> None:
    """Show a backfill's progress until it ends; Ctrl-C does not end it.

    Exit code 1 when it was cancelled.

    Example: syncd backfill watch 3
    """
    console = Console(highlight=False)
    with _store(settings) as store:
        number = backfill or store.unfinished().backfill
        show = _bar(console) if console.is_terminal else _line()
        with show as draw:
            one = store.get(number)
            draw(_paced(one, settings))
            while one.is_unfinished:
                time.sleep(REFRESH_SECONDS)
                one = store.get(number)
                draw(_paced(one, settings))
    if one.state == "cancelled":
        raise click.exceptions.Exit(ExitCode.FAILED)


class _NarrowBar(bars.Progress):
    """A bar with its figures below it."""

    @override
    def get_renderables(self) -> Iterable[RenderableType]:
        for task in self.tasks:
            yield self.make_tasks_table([task])
            yield Text(str(task.fields["progress"]))


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[Progress], None]]:
    columns = [bars.TextColumn("{task.description}"), bars.BarColumn(bar_width=None)]
    kind: type[bars.Progress] = _NarrowBar
    if console.width >= BAR_COLUMNS:
        columns.append(bars.TextColumn("{task.fields[progress]}"))
        kind = bars.Progress
    with kind(*columns, console=console, expand=True) as bar:
        task = bar.add_task("", progress="")

        def draw(one: Progress) -> None:
            bar.update(
                task,
                description=f"{one.backfill} {one.state}",
                total=max(1, one.total),
                completed=one.settled if one.total else 1,
                progress=_progress_line(one),
            )

        yield draw


@contextmanager
def _line() -> Iterator[Callable[[Progress], None]]:
    written = ("", float("-inf"))

    def draw(one: Progress) -> None:
        nonlocal written
        state, at = written
        now = time.monotonic()
        if state != one.state or now - at >= LINE_SECONDS:
            written = (one.state, now)
            click.echo(f"backfill {one.backfill} {one.state}: {_progress_line(one)}")

    yield draw


def _progress_line(one: Progress) -> str:
    parts = [f"{one.settled:,}/{one.total:,}"]
    parts += [f"{one.rejected:,} rejected"] if one.rejected else []
    if one.is_unfinished:
        parts += [f"{one.rate:,.0f}/s"] if one.rate else []
        parts += [_left(one) + (" left" if not one.waits_for else "")]
    return ", ".join(part for part in parts if not part.startswith("-"))
