from random import Random

import pytest

from proof.followers import LISTEN, WAL
from proof.model import Search, draw_script, loses, search
from proof.subjects import CAPTURES, ON_STANDBY
from proof.world import World

pytestmark = pytest.mark.db

SEED = 5
ALL = {**CAPTURES, **LISTEN, **WAL}


def fail_on_loss(found: Search) -> None:
    assert not found.loss, "\n".join([found.loss, *found.script])


@pytest.mark.parametrize("capture", ALL)
def test_a_capture_loses_nothing(world: World, capture: str) -> None:
    """The interleavings that find each known bug find nothing in syncd's captures."""
    examples = 12 if capture in CAPTURES else 4
    fail_on_loss(search(world, ALL[capture], examples=examples, seed=SEED))


@pytest.mark.parametrize("capture", ["poll", "listen"])
def test_a_capture_survives_lost_servers(rough_world: World, capture: str) -> None:
    """Restarts, crashes and the promotion of the standby lose nothing either."""
    survive(rough_world, capture, "restart-server", "crash-server", "promote")


def test_wal_survives_restarts_of_its_server(hiding_world: World) -> None:
    """Its slot is not on the standby, which it reports; that is not tested here."""
    survive(hiding_world, "wal", "restart-server", "crash-server")


def survive(world: World, capture: str, *disasters: str) -> None:
    chance = Random(SEED)  # noqa: S311  # a schedule, not a secret
    for disaster in disasters:
        script = draw_script(chance, sessions=3, hides=world.hides)
        script.insert(len(script) // 2, f"shop: {disaster}")
        loss = loses(world, ALL[capture], script)
        assert not loss, "\n".join([loss, *script])


@pytest.mark.parametrize("capture", ON_STANDBY)
def test_a_capture_on_a_standby_loses_nothing(
    standby_world: World, capture: str
) -> None:
    """The standby lags, with its replay paused and resumed."""
    fail_on_loss(search(standby_world, ON_STANDBY[capture], examples=5, seed=SEED))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("capture", ALL)
def test_a_capture_loses_nothing_in_a_thousand_interleavings(
    world: World, capture: str
) -> None:
    """The same, for minutes; `tests/proof/prove.py` runs for any length of time."""
    fail_on_loss(search(world, ALL[capture], examples=1000, seed=SEED + 1))
