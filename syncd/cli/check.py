"""`syncd check`: what is wrong or will be, with the next step."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from syncd.cli.context import print_json
from syncd.cli.option import as_json_option, config_option
from syncd.cli.output import line_console
from syncd.core.wording import count
from syncd.diagnostics.check.check import exit_code, run_checks
from syncd.diagnostics.check.finding import Finding

_MARKS = {
    "ok": ("ok", "green"),
    "warning": ("warn", "yellow"),
    "error": ("ERROR", "red"),
}
_INDENT = 9


@click.command()
@config_option
@as_json_option
@click.option("--strict", is_flag=True, help="Exit 1 when there are warnings.")
def check(path: Path, *, as_text: bool, strict: bool) -> None:
    """Check all that a feed needs; report problems with the next step.

    It checks this host, the databases, role, views, newest orders, capture and
    the connection to Squeezely. It writes nothing and sends nothing.

    \b
    Example: syncd check --strict
    Exit codes: 0 nothing wrong, 1 warnings (--strict), 69 something does not
                answer, 77 a privilege is missing, 78 something needs correction
    """  # noqa: D301  # click's mark for "do not rewrap"
    findings = run_checks(path)
    if as_text:
        print_json([asdict(finding) for finding in findings])
    else:
        _print(findings)
    raise click.exceptions.Exit(exit_code(findings, is_strict=strict))


def _print(findings: Sequence[Finding]) -> None:
    console = line_console()
    for section, found in groupby(findings, key=lambda finding: finding.section):
        console.print(Text(section, style="bold"))
        for finding in found:
            print_finding(console, finding)
    counts = Counter[str](finding.severity for finding in findings)
    errors, warnings = count(counts["error"], "error"), counts["warning"]
    summary = f"{errors}, {count(warnings, 'warning')}, {counts['ok']} ok"
    console.print(Text(summary, style="bold"))
    for severity in ("error", "warning"):
        first = next((f for f in findings if f.severity == severity), None)
        if first is not None:
            print_wrapped(console, "Begin with ", f"{first.subject}: {first.next_step}")
            return


def print_finding(console: Console, finding: Finding) -> None:
    """Print a finding with its mark, and what to do next below it."""
    mark, style = _MARKS[finding.severity]
    text = f"{finding.subject}: {finding.message}"
    print_wrapped(console, f"  {mark}".ljust(_INDENT), text, style)
    if finding.next_step:
        print_wrapped(console, "      -> ", finding.next_step, style="cyan")


def print_wrapped(console: Console, mark: str, text: str, style: str = "") -> None:
    """Print a text after its mark, with hanging indent."""
    width = max(10, console.width - len(mark))
    for number, line in enumerate(Text(text).wrap(console, width)):
        before = mark if number == 0 else " " * len(mark)
        line.rstrip()
        console.print(Text(before, style=style) + line, no_wrap=True, crop=False)
