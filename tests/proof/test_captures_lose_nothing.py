from random import Random

import pytest

from proof.followers import LISTEN, WAL
from proof.model import Search, draw_script, loses, search
from proof.subjects import CAPTURES, ON_STANDBY
from proof.world import World

pytestmark = pytest.mark.db

SEED = 5
ALL = {**CAPTURES, **LISTEN, **WAL}


def refuse_a_loss(found: Search) -> None:
    assert not found.loss, "\n".join([found.loss, *found.script])


@pytest.mark.parametrize("capture", ALL)
def test_a_capture_loses_nothing(world: World, capture: str) -> None:
    """The interleavings that find each known bug find nothing in syncd's captures."""
    examples = 12 if capture in CAPTURES else 4
    refuse_a_loss(search(world, ALL[capture], examples=examples, seed=SEED))


@pytest.mark.parametrize("capture", ["poll", "listen"])
def test_a_capture_outlives_its_servers(rough_world: World, capture: str) -> None:
    """Restarts, crashes and the promotion of the standby lose nothing either."""
    outlive(rough_world, capture, "restart-server", "crash-server", "promote")


def test_wal_outlives_its_server(hiding_world: World) -> None:
    """Its slot is not on the standby; it says so, and that is not judged here."""
    outlive(hiding_world, "wal", "restart-server", "crash-server")


def outlive(world: World, capture: str, *disasters: str) -> None:
    chance = Random(SEED)  # noqa: S311  # a schedule, not a secret
    for disaster in disasters:
        script = draw_script(chance, tills=3, hides=world.hides)
        script.insert(len(script) // 2, f"shop: {disaster}")
        loss = loses(world, ALL[capture], script)
        assert not loss, "\n".join([loss, *script])


@pytest.mark.parametrize("capture", ON_STANDBY)
def test_a_capture_on_a_standby_loses_nothing(
    standby_world: World, capture: str
) -> None:
    """Neither while the standby lies behind, its replay paused and resumed."""
    refuse_a_loss(search(standby_world, ON_STANDBY[capture], examples=5, seed=SEED))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("capture", ALL)
def test_a_capture_loses_nothing_in_a_thousand(world: World, capture: str) -> None:
    """The same, for minutes; `tests/proof/prove.py` goes on for as long as asked."""
    refuse_a_loss(search(world, ALL[capture], examples=1000, seed=SEED + 1))
