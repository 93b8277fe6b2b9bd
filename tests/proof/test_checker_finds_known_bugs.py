import pytest

from proof.model import loses, search, shorten
from proof.naive import KNOWN_BUGS, Window
from proof.naive_followers import OUTBOX_BUGS, WAL_BUGS, OutboxRows
from proof.stepwise import Start
from proof.world import World

pytestmark = pytest.mark.db

SEED = 5
BUGS = {**KNOWN_BUGS, **OUTBOX_BUGS, **WAL_BUGS}
RARE = {
    "outbox-by-key": [
        "session 0: order-unconfirmed",
        *["capture: step"] * 3,
        "session 0: confirm",
    ],
    "running-before-clock": [
        *["capture: step"] * 2,
        "session 0: BEGIN",
        "session 0: order-backdated",
        "shop: wait",
        *["capture: cycle"] * 2,
        "session 0: COMMIT",
    ],
}
"""Found within 10 to 100 interleavings: too slow for each run."""


@pytest.mark.parametrize(
    "bug",
    [pytest.param(b, marks=[pytest.mark.soak] if b in RARE else []) for b in BUGS],
)
def test_the_checker_finds_each_known_bug(world: World, bug: str) -> None:
    """Otherwise its results about syncd would mean nothing."""
    world.hides = bug in WAL_BUGS
    found = search(world, BUGS[bug], examples=300, seed=SEED)
    assert found.loss, f"{found.tried} interleavings did not find it"


@pytest.mark.parametrize(
    ("bug", "sound"), [("outbox-by-key", OutboxRows), ("running-before-clock", Window)]
)
def test_a_rare_bug_is_found_by_its_interleaving(
    world: World, bug: str, sound: Start
) -> None:
    """One interleaving, written down, that loses nothing without the bug."""
    assert loses(world, BUGS[bug], RARE[bug])
    assert not loses(world, sound, RARE[bug])


@pytest.mark.parametrize("start", [Window, OutboxRows])
def test_the_checker_reports_no_false_loss(world: World, start: Start) -> None:
    """A capture with all four steps, or an outbox of rows, loses nothing."""
    found = search(world, start, examples=100, seed=SEED, enough=50)
    assert not found.loss, (found.loss, found.script)
    assert found.orders >= 50


def test_a_loss_is_shortened_to_the_relevant_moves(world: World) -> None:
    """A person reads a handful of moves, which still lose an order."""
    world.hides = False
    start = KNOWN_BUGS["without-prepared"]
    found = search(world, start, examples=300, seed=SEED)
    short = shorten(world, start, found.script)
    assert "prepare" in {move.partition(": ")[2] for move in short}
    assert len(short) <= 15
    assert loses(world, start, short)
