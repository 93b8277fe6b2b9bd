"""Servers that are lost between two steps of a capture, with unflushed commits.

A crash reverts commits that nobody has waited for; so does the promotion of a
lagging standby. A separate ledger may lose what the shop's server still has.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from support.postgres import cluster

from proof.followers import LISTEN, WAL
from proof.model import loses
from proof.stepwise import Start
from proof.subjects import CAPTURES
from proof.world import RELAXED, World

STEPS = 45
"""Steps of a capture before the loss, at most: more than a cycle has."""

ALL = {**CAPTURES, **LISTEN, **WAL}
LOSSES: dict[str, list[str]] = {
    "crash-server": [*CAPTURES, *LISTEN, *WAL],
    "crash-ledger": [name for name in ALL if name.endswith("-apart")],
    "promote": [*CAPTURES, "listen", "listen-apart"],  # a slot is not on the standby
}
"""The captures that are tested with each loss."""


def script(loss: str, steps: int) -> list[str]:
    """Return the moves of a shop whose server is lost after so many steps.

    What is committed before the first cycle is kept; later commits may be lost.
    """
    return [
        "session 0: order",
        "session 0: order-unconfirmed",
        "capture: cycle",
        "shop: flush",
        *(["shop: lag"] if loss == "promote" else []),
        "session 0: confirm",
        "session 0: orders-of-one-instant",
        "session 1: BEGIN",
        "session 1: order-backdated",
        *["capture: step"] * steps,
        f"shop: {loss}",
        "session 0: order",
        "session 2: order-backdated",
        "capture: step",
        "session 0: pay",
        "capture: cycle",
    ]


@contextmanager
def losable(loss: str) -> Iterator[World]:
    """Make a shop whose server may be lost in one way."""
    with ExitStack() as stack:
        keeps = loss == "crash-ledger"
        settings = RELAXED | ({"synchronous_commit": "on"} if keeps else {})
        server = stack.enter_context(cluster(settings))
        second = elsewhere = None
        if loss == "promote":
            second = stack.enter_context(cluster(RELAXED, primary=server))
        elif keeps:
            elsewhere = stack.enter_context(cluster(RELAXED))
        world = World(server, "proof", standby=second, elsewhere=elsewhere)
        stack.callback(world.close)
        yield world


def lose_between_steps(
    loss: str, start: Start, steps: range
) -> Iterator[tuple[int, str]]:
    """Lose the server after each of some numbers of steps; yield the broken promises.

    Only one promotion fits into a world.
    """
    if loss == "promote":
        for number in steps:
            with losable(loss) as world:
                yield number, loses(world, start, script(loss, number))
        return
    with losable(loss) as world:
        for number in steps:
            yield number, loses(world, start, script(loss, number))
