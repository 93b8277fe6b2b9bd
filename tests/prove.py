"""Look for interleavings in which a capture loses an order, for as long as you like.

    python tests/prove.py --minutes 60 --capture poll --seed 7

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
from postgres import cluster, standby
from proof.daemon import Daemon
from proof.model import LENGTH, Search, loses, search, shorten
from proof.naive import KNOWN_BUGS
from proof.stepwise import Start
from proof.subjects import CAPTURES, ON_STANDBY
from proof.world import World
from typing_extensions import override

ROUND_SECONDS = 60.0
"""How long a server and its standby are used: only one promotion fits in."""

EXAMPLES = 50
"""Interleavings for which one seed is used."""

DAEMON = "daemon"
DAEMON_MOVES = 400
STEPWISE = {**CAPTURES, **ON_STANDBY, **KNOWN_BUGS}


@dataclass
class Proof:
    """What was tried so far, over all rounds."""

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
            f"{made['prepare']:,} prepared, {servers:,} server restarts, "
            f"{made['promoted']:,} promotions: 0 lost"
        )


@contextmanager
def worlds(capture: str) -> Iterator[tuple[World, Start]]:
    """Make a server with a standby, a shop in it, and what is to be checked."""
    with ExitStack() as stack:
        primary = stack.enter_context(cluster())
        if capture in ON_STANDBY:
            second = stack.enter_context(cluster({}, primary=primary))
        else:
            second = stack.enter_context(standby(primary))
        lookback = timedelta(milliseconds=250) if capture == DAEMON else None
        world = World(primary, "proof", standby=second, lookback=lookback)
        stack.callback(world.close)
        if capture == DAEMON:
            daemon = Daemon(world)
            stack.callback(daemon.end)
            yield world, daemon
        else:
            yield world, STEPWISE[capture]


def accuse(world: World, start: Start, found: Search, tried: int) -> None:
    """Print the loss and a shorter script of it."""
    click.echo(f"LOST in interleaving {tried}: {found.loss}", err=True)
    script = found.script
    if start in STEPWISE.values():  # the daemon's timing is its own
        click.echo("shortening …", err=True)
        script = shorten(world, start, script)
    click.echo("\n".join(script))


@click.command(help=__doc__)
@click.option("--minutes", default=1.0, show_default=True)
@click.option("--capture", type=click.Choice([*STEPWISE, DAEMON]), default="poll")
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
        with worlds(capture) as (world, start):
            loss = loses(world, start, script)
        click.echo(loss or "nothing lost")
        sys.exit(bool(loss))
    end = time.monotonic() + minutes * 60
    proof, seeds = Proof(capture), count(seed)
    while time.monotonic() < end:
        with worlds(capture) as (world, start):
            until = min(end, time.monotonic() + ROUND_SECONDS)
            while time.monotonic() < until:
                found = search(
                    world,
                    start,
                    examples=EXAMPLES,
                    seed=next(seeds),
                    rough=capture not in ON_STANDBY,
                    length=DAEMON_MOVES if capture == DAEMON else LENGTH,
                    until=until,
                )
                proof.add(found)
                if found.loss:
                    accuse(world, start, found, proof.tried)
                    sys.exit(1)
            proof.made += world.made
        click.echo(str(proof))


if __name__ == "__main__":
    prove()
