"""`syncd erase`: a person's orders, without what identifies the person."""

import sys
from collections.abc import Sequence

import click

from syncd.cli.context import configured, open_feed, print_json
from syncd.cli.option import as_json_option
from syncd.cli.output import print_lines
from syncd.config.settings import Settings
from syncd.core.errors import ExitCode
from syncd.core.wording import count
from syncd.ledger.erasure import Erasure, OrderTrace
from syncd.log import log


@click.command()
@configured
@click.argument("targets", nargs=-1, metavar="[EMAIL|ORDER|-]...")
@click.option("--email-stdin", is_flag=True, help="The same as -.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what is found; change nothing.")
@as_json_option
def erase(
    settings: Settings,
    *,
    targets: tuple[str, ...],
    email_stdin: bool,
    yes: bool,
    dry_run: bool,
    as_text: bool,
) -> None:
    """Erase orders: remove what identifies a person, and never send them.

    Name the e-mail address, before the shop erases it, or the orders. Every user of
    this machine can see an address on the command line (ps): with - or --email-stdin,
    syncd reads addresses and orders from standard input, one per line. Later orders of
    the person are not affected. Exit code 75: some are being sent, run it again.

    Example: echo mila@shop.example | syncd erase -
    """
    chosen = [one for one in targets if one != "-"]
    if email_stdin or "-" in targets:
        chosen += [line.strip() for line in sys.stdin if line.strip()]
    if not chosen:
        raise click.UsageError("Name an e-mail address or orders, or give - .")
    with open_feed(settings) as on:
        erasure = Erasure(on.source, on.ledger)
        keys = erasure.find(chosen)
        traces = erasure.traces(keys)
        for trace in [] if as_text else traces:
            click.echo(f"order {trace.key}: {trace.state or 'not in the ledger'}")
        if not dry_run:
            if not yes:
                click.confirm("Erase them?", abort=True, err=True)
            traces = erasure.erase(keys)
    _end(settings, traces, changed=not dry_run, as_text=as_text)


def _end(
    settings: Settings, traces: Sequence[OrderTrace], *, changed: bool, as_text: bool
) -> None:
    """Report what was done, and what a person has to do."""
    arrived = [trace.key for trace in traces if trace.sent in ("yes", "perhaps", "now")]
    going = [trace.key for trace in traces if trace.sent == "now"]
    if as_text:
        orders = [{"order_key": t.key, "was": t.state, "sent": t.sent} for t in traces]
        facts = {"orders": orders, "erased": changed}
        print_json(facts | {"erase_at_squeezely": arrived, "being_sent": going})
    else:
        done = "erased" if changed else "found, nothing was changed"
        print_lines(f"{count(len(traces))} {done}")
        if arrived:
            print_lines(f"Erase at Squeezely by hand: {', '.join(arrived)}")
        if going and changed:
            print_lines(f"Being sent right now: {', '.join(going)}; run this again")
    if changed:
        log.configure(level=settings.log.level, style=settings.log.format)
        log.Log(settings.feed).emit("orders.erased", orders=len(traces))
        if going:
            raise click.exceptions.Exit(ExitCode.LEFT)
