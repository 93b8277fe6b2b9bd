"""`syncd report`: a period as one HTML page, or its figures for scripts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TextIO

import click
from rich.console import Console
from rich.progress import Progress

from syncd.cli.context import configured, open_feed, print_json, read_moment
from syncd.cli.option import as_json_option
from syncd.config.settings import Settings
from syncd.core.command_errors import FileUnwritableError
from syncd.core.health import assess
from syncd.delivery.rendering import rules_of
from syncd.diagnostics.report.report import STEPS, Asked, Report, read_report
from syncd.diagnostics.status.facts import StatusReader


@click.command()
@configured
@click.option(
    "--out",
    metavar="FILE.html",
    type=click.Path(path_type=Path),
    help="Where to write the page; an existing file is replaced.",
)
@click.option(
    "--from", "lower", metavar="TIME", help="From this time [default: 30 days]."
)
@click.option("--to", "upper", metavar="TIME", help="Up to this time [default: now].")
@as_json_option
def report(
    settings: Settings,
    *,
    out: Path | None,
    lower: str | None,
    upper: str | None,
    as_text: bool,
) -> None:
    """Draw orders, lags, attempts and reconciliations of a period as one HTML page.

    The page loads nothing and has no personal data, so it can be mailed. With --json
    the same figures are printed, also without --out. Hours are shown for up to three
    days, days for up to 400, months above.

    Example: syncd report --out syncd.html --from "7 days ago"
    """
    if out is None and not as_text:
        raise click.UsageError("Name the page with --out FILE.html, or use --json.")
    asked = _asked(settings, lower, upper)
    if out is None:
        made = _read(settings, asked)
    else:
        from syncd.diagnostics.report.page import page  # noqa: PLC0415  # spares other verbs jinja2

        with _whole(out) as file:
            made = _read(settings, asked)
            file.write(page(made))
    if as_text:
        print_json(made.facts())
    else:
        click.echo(f"wrote {out}")


def _asked(settings: Settings, lower: str | None, upper: str | None) -> Asked:
    first = None if lower is None else read_moment(lower, settings, "--from")
    last = None if upper is None else read_moment(upper, settings, "--to")
    if first and first >= (last or datetime.now(UTC)):
        raise click.BadParameter(
            f"{lower} is not before --to {upper or 'now'}", param_hint="--from"
        )
    return Asked(first, last, rules_of(settings).zone)


def _read(settings: Settings, asked: Asked) -> Report:
    console = Console(stderr=True)
    with (
        open_feed(settings) as on,
        Progress(console=console, disable=not console.is_terminal) as progress,
    ):
        health = assess(StatusReader(settings, on.connections).read().health_inputs())
        task = progress.add_task("reading the ledger", total=STEPS)
        feed, advance = (settings.feed, on.feed_id), partial(progress.advance, task)
        return read_report(on.database, feed, asked, health, advance)


@contextmanager
def _whole(path: Path) -> Iterator[TextIO]:
    """Write a file beside its place, and put it there once it is whole.

    What was there before stays until then, and stays when anything fails.

    Raises:
        FileUnwritableError: The folder is missing or takes no file.
    """
    part = path.parent / f".{path.name}.{os.getpid()}.part"
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "is a folder")
        with part.open("x", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise FileUnwritableError(
            f"{path}: {(error.strerror or str(error)).lower()}",
            "Name a file in a folder that you may write, with --out.",
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
