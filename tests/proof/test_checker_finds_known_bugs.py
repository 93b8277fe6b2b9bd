import pytest

from proof.model import loses, search, shorten
from proof.naive import KNOWN_BUGS, Window
from proof.world import World

pytestmark = pytest.mark.db

SEED = 5


@pytest.mark.parametrize("bug", KNOWN_BUGS)
def test_the_checker_finds_each_known_bug(world: World, bug: str) -> None:
    """What it would miss here, its silence about syncd would not mean anything."""
    found = search(world, KNOWN_BUGS[bug], examples=300, seed=SEED)
    assert found.loss, f"{found.tried} interleavings did not find it"


def test_the_checker_accuses_nobody_wrongly(world: World) -> None:
    """A capture with all four steps, written twice over, loses nothing."""
    found = search(world, Window, examples=10, seed=SEED)
    assert not found.loss, (found.loss, found.script)
    assert found.orders > 50


def test_a_loss_is_shortened_to_what_matters(world: World) -> None:
    """What a person reads is a handful of moves, and it still loses an order."""
    start = KNOWN_BUGS["without-prepared"]
    found = search(world, start, examples=300, seed=SEED)
    short = shorten(world, start, found.script)
    assert "prepare" in {move.partition(": ")[2] for move in short}
    assert len(short) <= 15
    assert loses(world, start, short)
