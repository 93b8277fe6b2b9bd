"""Interleavings of shop and capture: generated, run, checked and searched.

An interleaving is a list of moves, each a line of text, so that one that lost an
order can be printed, shrunk and replayed.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from proof.shop_session import STATEMENTS
from proof.stepwise import OrderLostError, Start, Subject
from proof.world import DISASTERS, World

CAPTURE = {"cycle": 7, "step": 20, "crash": 1, "drop": 1, "break": 1, "mend": 1}
SHOP = {"wait": 2, "commit-prepared": 2, "rollback-prepared": 1}
ROUGH = {"restart-server": 0.1, "crash-server": 0.1, "promote": 0.05}
SELL = dict.fromkeys(STATEMENTS, 1) | {"order-backdated": 6, "order-unconfirmed": 3}
SELL |= {"confirm": 3, "pay": 3}
IDLE = SELL | {"BEGIN": 9, "read-clock": 2}
OPEN = SELL | {
    "COMMIT": 5,
    "prepare": 4,
    "ROLLBACK": 1,
    "SAVEPOINT s": 1,
    "ROLLBACK TO SAVEPOINT s": 1,
    "order-by-application": 3,
    "leave": 1,
}
HIDDEN = {"commit-late": 4}
ACTORS = ["session", "session", "session", "capture", "capture", "capture", "shop"]
CHANGE = 0.6
"""The probability that the next move has another actor."""
LENGTH = 60
ENDS = {"COMMIT", "ROLLBACK", "prepare", "leave", *HIDDEN}


def draw_script(
    chance: Random,
    *,
    sessions: int,
    rough: bool = False,
    hides: bool = False,
    length: int = LENGTH,
) -> list[str]:
    """Draw about `length` valid moves in sequence, for one or more sessions."""
    used = chance.randint(1, sessions)
    busy = set[int]()
    opened = OPEN | HIDDEN if hides else OPEN
    script = []
    actor, session = "capture", 0
    for _ in range(chance.randint(length // 2, length * 3 // 2)):
        if chance.random() < CHANGE:
            actor, session = chance.choice(ACTORS), chance.randrange(used)
        moves = {
            "session": opened if session in busy else IDLE,
            "capture": CAPTURE,
            "shop": SHOP | ROUGH if rough else SHOP,
        }[actor]
        (what,) = chance.choices([*moves], [*moves.values()])
        script.append(
            f"session {session}: {what}" if actor == "session" else f"{actor}: {what}"
        )
        if actor == "session":
            busy = busy - {session} if what in ENDS else busy
            busy = busy | {session} if what == "BEGIN" else busy
    return script


class Interleaving:
    """One run of moves with one subject, checked after each move."""

    def __init__(self, world: World, subject: Subject) -> None:
        self._world = world
        self._subject = subject
        self._ever: set[str] = set()
        self._confirmed: dict[str, datetime] = {}
        self._watermark = subject.watermark()
        self._taken = set(subject.taken())

    def run(self, script: Sequence[str]) -> None:
        """Make the moves, end all transactions, let the subject settle.

        Raises:
            OrderLostError: The subject broke its promise.
        """
        for move in script:
            self._make(move)
            who, _, what = move.partition(": ")
            own = who == "capture"
            moved = own or what in DISASTERS or not self._subject.stands_still
            self._check(shop=not own, capture=moved)
        self._world.finish()
        self._check()
        self._world.wait()
        self._subject.settle()
        self._check_end()

    def _make(self, move: str) -> None:
        who, _, what = move.partition(": ")
        if who != "capture":
            self._world.make(move)
            return
        self._world.made[f"capture {what}"] += 1
        actions: dict[str, Callable[[], None]] = {
            "step": self._subject.step,
            "cycle": self._subject.cycle,
            "crash": self._subject.crash,
            "drop": lambda: self._world.drop(self._subject.application),
            "break": lambda: self._subject.disturb(broken=True),
            "mend": lambda: self._subject.disturb(broken=False),
        }
        actions[what]()

    def _check(self, *, shop: bool = True, capture: bool = True) -> None:
        """Check that the watermark passed no order that is not captured.

        Rereads what may have changed, in an order that reports no false loss while the
        subject runs: the watermark first, the captured orders last.
        """
        if capture:
            self._watermark = self._subject.watermark()
        if shop:
            self._confirmed = self._world.confirmed()
            self._ever |= self._confirmed.keys()
        if capture:
            self._taken = set(self._subject.taken())
        if mark := self._watermark:
            below = {key: at for key, at in self._confirmed.items() if at <= mark}
            self._refuse_missing(below, f"the watermark {mark} has passed them")

    def _check_end(self) -> None:
        """Check that all orders are captured, once, and nothing else."""
        self._check()
        self._refuse_missing(self._confirmed, "the capture has settled")
        taken = self._subject.taken()
        if len(set(taken)) < len(taken):
            raise OrderLostError(f"taken more than once, among: {sorted(taken)}")
        if phantoms := set(taken) - self._ever:
            raise OrderLostError(
                f"taken, but never confirmed and committed: {sorted(phantoms)}"
            )

    def _refuse_missing(self, expected: dict[str, datetime], why: str) -> None:
        missing = expected.keys() - self._taken
        if missing:
            stamps = ", ".join(f"{key} of {expected[key]}" for key in sorted(missing))
            raise OrderLostError(f"not taken although {why}: {stamps}")


def attempt(world: World, start: Start, script: Sequence[str]) -> None:
    """Run one interleaving over an empty shop, in the remaining world.

    Raises:
        OrderLostError: The subject lost an order.
    """
    world.empty()
    subject = start(world)
    try:
        Interleaving(world, subject).run(script)
    finally:
        world.finish()  # the capture cannot remove its objects from the shop before
        subject.close()


def loses(world: World, start: Start, script: Sequence[str]) -> str:
    """Run one interleaving; return how it lost an order, or None."""
    try:
        attempt(world, start, script)
    except OrderLostError as loss:
        return str(loss)
    return ""


def shorten(world: World, start: Start, script: Sequence[str]) -> list[str]:
    """Remove moves, many at once and then each, while an order is still lost."""
    short = list(script)
    size = len(short) // 2
    while size:
        place = 0
        while place < len(short):
            shorter = short[:place] + short[place + size :]
            if loses(world, start, shorter):
                short = shorter
            else:
                place += size
        size //= 2
    return short


@dataclass
class Search:
    """The result of a search, and the script that lost an order, if one did."""

    tried: int = 0
    orders: int = 0
    script: Sequence[str] = ()
    loss: str = ""


def search(
    world: World,
    start: Start,
    *,
    examples: int,
    seed: int,
    rough: bool = False,
    length: int = LENGTH,
    until: float = float("inf"),
    enough: float = float("inf"),
) -> Search:
    """Search for an interleaving that loses an order; stop at the first.

    Args:
        world: The shop and its servers.
        start: Makes the subject.
        examples: Interleavings to try, at most.
        seed: The same one tries the same interleavings.
        rough: Whether the server is restarted, crashed and lost to its standby too.
        length: Moves in an interleaving, about.
        until: Monotonic time after which nothing more is tried.
        enough: Confirmed orders, over all interleavings, after which the search ends.
    """
    found = Search()

    # Hypothesis's own draws repeat themselves: they found none of four known bugs
    # in 80 scripts, where a Random that it seeds found each.
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(st.randoms(use_true_random=True))
    def lose(chance: Random) -> None:
        if found.loss or time.monotonic() > until or found.orders >= enough:
            return
        script = draw_script(
            chance,
            sessions=len(world.sessions),
            rough=rough,
            hides=world.hides,
            length=length,
        )
        found.loss = loses(world, start, script)
        found.script = script if found.loss else ()
        found.tried += 1
        found.orders += len(world.confirmed())

    lose()
    return found
