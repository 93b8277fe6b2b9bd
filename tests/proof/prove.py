"""Search for interleavings in which a capture loses an order, for any length of time.

    PYTHONPATH=tests python tests/proof/prove.py --minutes 60 --capture poll --seed 7

Exit code 0: none found; 1: one was, and it is printed, shortened, for `--replay`.
"""

import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path

import click
from support.postgres import cluster, standby
from typing_extensions import override

from proof.daemon import Daemon
from proof.followers import LISTEN, WAL
from proof.model import HIDDEN, LENGTH, Search, loses, search, shorten
from proof.naive import KNOWN_BUGS
from proof.naive_followers import OUTBOX_BUGS, WAL_BUGS
from proof.stepwise import Start
from proof.subjects import CAPTURES, ON_STANDBY
from proof.world import HIDING, World

ROUND_SECONDS = 60.0
"""How long a server and its standby are used, which allow one promotion."""

EXAMPLES = 50
"""Interleavings with one seed."""

DAEMONS = {"daemon": "poll", "daemon-listen": "listen", "daemon-wal": "wal"}
DAEMON_MOVES = 400
STEPWISE = {
    **CAPTURES,
    **LISTEN,
    **WAL,
    **ON_STANDBY,
    **KNOWN_BUGS,
    **OUTBOX_BUGS,
    **WAL_BUGS,
}
WITH_SLOT = {*WAL, *WAL_BUGS, "daemon-wal"}
"""A slot is not on the standby: syncd reports it as gone, and only polls."""


@dataclass
class Proof:
    """The results so far, over all rounds."""

    capture: str
    tried: int = 0
    orders: int = 0
    made: Counter[str] = field(default_factory=Counter)

    def add(self, found: Search) -> None:
        self.tried += found.tried
        self.orders += found.orders

    @override
    def __str__(self) -> str:
        made = self.made
        servers = made["restart-server"] + made["crash-server"]
        return (
            f"{self.capture}: {self.tried:,} interleavings, {made.total():,} moves, "
            f"{self.orders:,} orders, {made['capture crash']:,} crashes, "
            f"{made['capture drop']:,} dropped connections, "
            f"{made['prepare']:,} prepared, {made['commit-late']:,} late commits, "
            f"{servers:,} server restarts, {made['promoted']:,} promotions: 0 lost"
        )


def may_hide(capture: str, number: int) -> bool:
    """Return whether a round's servers may delay commits, or have a standby."""
    return capture in WITH_SLOT or (capture not in ON_STANDBY and number % 2 == 1)


@contextmanager
def worlds(capture: str, *, hides: bool) -> Iterator[tuple[World, Start]]:
    """Make a server, a shop in it, and the subject to check."""
    with ExitStack() as stack:
        primary = stack.enter_context(cluster(HIDING) if hides else cluster())
        second = None
        if capture in ON_STANDBY:
            second = stack.enter_context(cluster({}, primary=primary))
        elif not hides:
            second = stack.enter_context(standby(primary))
        lookback = timedelta(milliseconds=250) if capture in DAEMONS else None
        world = World(primary, "proof", standby=second, lookback=lookback)
        stack.callback(world.close)
        if capture in DAEMONS:
            daemon = Daemon(world, DAEMONS[capture])
            stack.callback(daemon.end)
            yield world, daemon
        else:
            yield world, STEPWISE[capture]


def report_loss(world: World, start: Start, found: Search, tried: int) -> None:
    """Print the loss and a shorter script of it."""
    click.echo(f"LOST in interleaving {tried}: {found.loss}", err=True)
    script = found.script
    if start in STEPWISE.values():  # the daemon's timing is its own
        click.echo("shortening …", err=True)
        script = shorten(world, start, script)
    click.echo("\n".join(script))


@click.command(help=__doc__)
@click.option("--minutes", default=1.0, show_default=True)
@click.option("--capture", type=click.Choice([*STEPWISE, *DAEMONS]), default="poll")
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--replay",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Run the moves in a file (or - for standard input) instead.",
)
def prove(minutes: float, capture: str, seed: int, replay: Path | None) -> None:
    """Search until the time is over or an order is lost."""
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # lost connections
    if replay is not None:
        script = replay.read_text().splitlines()
        hides = capture in WITH_SLOT or any(m.endswith(tuple(HIDDEN)) for m in script)
        with worlds(capture, hides=hides) as (world, start):
            loss = loses(world, start, script)
        click.echo(loss or "nothing lost")
        sys.exit(bool(loss))
    end = time.monotonic() + minutes * 60
    proof, seeds, rounds = Proof(capture), count(seed), count()
    while time.monotonic() < end:
        hides = may_hide(capture, next(rounds))
        with worlds(capture, hides=hides) as (world, start):
            until = min(end, time.monotonic() + ROUND_SECONDS)
            while time.monotonic() < until:
                found = search(
                    world,
                    start,
                    examples=EXAMPLES,
                    seed=next(seeds),
                    rough=capture not in ON_STANDBY,
                    length=DAEMON_MOVES if capture in DAEMONS else LENGTH,
                    until=until,
                )
                proof.add(found)
                if found.loss:
                    report_loss(world, start, found, proof.tried)
                    sys.exit(1)
            proof.made += world.made
        click.echo(str(proof))


if __name__ == "__main__":
    prove()
