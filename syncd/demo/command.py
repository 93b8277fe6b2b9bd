"""`syncd demo` on the command line."""

import sys

import click


@click.command("demo")
@click.option(
    "--orders",
    metavar="N",
    type=click.IntRange(min=1),
    help="Confirm exactly N orders as quickly as possible, then end.",
)
@click.option(
    "--seconds",
    metavar="S",
    type=click.FloatRange(min=0, min_open=True),
    help="Sell for S seconds; with --orders, spread them over S seconds.",
)
@click.option(
    "--rate",
    metavar="R",
    type=click.FloatRange(min=0, min_open=True),
    help="Orders per second  [default: 5, or as --orders and --seconds ask]",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=0,
    help="Port of the fake API's page  [default: a free one]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def demo_command(
    *,
    orders: int | None,
    seconds: float | None,
    rate: float | None,
    port: int,
    as_json: bool,
) -> None:
    """Watch syncd work: a small shop, the real daemon, a fake Squeezely API.

    Starts a PostgreSQL of its own in a temporary folder, sells until Ctrl-C, --orders
    or --seconds, waits for the last delivery, and compares every order that the shop
    committed with what the fake API received. Nothing leaves this machine, and nothing
    is left on it.

    \b
    Exit codes: 0 nothing missed, 1 an order was missed or the daemon failed,
                69 something that the demo needs is missing

    \b
    Examples: syncd demo
              syncd demo --orders 10000 --json
    """  # noqa: D301  # click's mark for "do not rewrap"
    from syncd.demo.demo import DemoOptions, run_demo  # noqa: PLC0415  # spares the daemon

    terminal = sys.stderr if as_json else sys.stdout
    code = run_demo(DemoOptions(orders, seconds, rate, port), terminal, as_json=as_json)
    raise click.exceptions.Exit(code)
