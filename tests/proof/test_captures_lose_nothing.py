from random import Random

import pytest

from proof.model import Search, draw_script, loses, search
from proof.subjects import CAPTURES, ON_STANDBY
from proof.world import World

pytestmark = pytest.mark.db

SEED = 5
BESIDE = [name for name in CAPTURES if not name.endswith("-apart")]


def refuse_a_loss(found: Search) -> None:
    assert not found.loss, "\n".join([found.loss, *found.script])


@pytest.mark.parametrize("capture", CAPTURES)
def test_a_capture_loses_nothing(world: World, capture: str) -> None:
    """The interleavings that find each known bug find nothing in syncd's captures."""
    refuse_a_loss(search(world, CAPTURES[capture], examples=12, seed=SEED))


@pytest.mark.parametrize("capture", BESIDE)
def test_a_capture_outlives_its_servers(rough_world: World, capture: str) -> None:
    """Restarts, crashes and the promotion of the standby lose nothing either."""
    chance = Random(SEED)  # noqa: S311  # a schedule, not a secret
    for move in ("shop: restart-server", "shop: crash-server", "shop: promote"):
        script = draw_script(chance, tills=3)
        script.insert(len(script) // 2, move)
        loss = loses(rough_world, CAPTURES[capture], script)
        assert not loss, "\n".join([loss, *script])


@pytest.mark.parametrize("capture", ON_STANDBY)
def test_a_capture_on_a_standby_loses_nothing(
    standby_world: World, capture: str
) -> None:
    """Neither while the standby lies behind, its replay paused and resumed."""
    refuse_a_loss(search(standby_world, ON_STANDBY[capture], examples=5, seed=SEED))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("capture", CAPTURES)
def test_a_capture_loses_nothing_in_a_thousand(world: World, capture: str) -> None:
    """The same, for minutes; `python tests/prove.py` goes on for as long as asked."""
    refuse_a_loss(search(world, CAPTURES[capture], examples=1000, seed=SEED + 1))
