from collections.abc import Iterator

import pytest
from support.postgres import Cluster, cluster, standby

from proof.world import HIDING, World


@pytest.fixture(scope="package")
def hiding_server() -> Iterator[Cluster]:
    """A server with room for slots, which can delay the visibility of commits."""
    with cluster(HIDING) as running:
        yield running


@pytest.fixture(scope="module")
def world(hiding_server: Cluster) -> Iterator[World]:
    """A shop for the interleavings of one module; each finds it empty."""
    opened = World(hiding_server, "proof")
    yield opened
    opened.close()
    for name in ("proof", "proof_state"):
        hiding_server.sql(f"DROP DATABASE {name} WITH (FORCE)")
        hiding_server.sql(f"DROP ROLE role_{name}")


@pytest.fixture
def hiding_world() -> Iterator[World]:
    """A shop on a server of its own that may crash and restart."""
    with cluster(HIDING) as primary:
        opened = World(primary, "proof")
        yield opened
        opened.close()


@pytest.fixture
def rough_world() -> Iterator[World]:
    """A shop on a server of its own, with a standby: both may be lost."""
    with cluster() as primary, standby(primary) as second:
        opened = World(primary, "proof", standby=second)
        yield opened
        opened.close()


@pytest.fixture
def standby_world() -> Iterator[World]:
    """A shop whose orders are read on a standby that may lag."""
    with cluster() as primary, cluster({}, primary=primary) as second:
        opened = World(primary, "proof", standby=second)
        opened.await_standby()
        yield opened
        opened.close()
