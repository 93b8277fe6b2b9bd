import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings
from support.harness import Harness
from support.postgres import SETTINGS, Cluster, cluster, prefer_memory
from support.shop import Shop
from support.wal_harness import QUICK, WAL_SETTINGS, WalHarness, opened_shop

from syncd.demo.sandbox import Sandbox

# The same examples at each run, so that no run fails by chance. Other ones are drawn by
# SYNCD_TEST_EXAMPLES=2000 pytest tests/unit; what they find is kept as an @example.
# mutmut, which runs the tests thousands of times, gets fewer.
settings.register_profile(
    "same",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=10 if "MUTANT_UNDER_TEST" in os.environ else 50,
)
settings.load_profile("same")
if examples := os.environ.get("SYNCD_TEST_EXAMPLES"):
    settings.register_profile("other", derandomize=False, max_examples=int(examples))
    settings.load_profile("other")

prefer_memory()
_numbers = count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[Cluster]:
    """Run one PostgreSQL server for the whole session."""
    with cluster() as running:
        yield running


@pytest.fixture
def database(server: Cluster) -> Iterator[str]:
    """Connection string of an empty database."""
    name = f"t{next(_numbers)}"
    server.create(name)
    yield server.dsn(name)
    server.drop(name)


@pytest.fixture(scope="session")
def installed(server: Cluster) -> str:
    """Create a database with a small shop, from which each test's is cloned."""
    server.create("installed")
    opened = Shop.open(server.dsn("installed"))
    opened.disown()
    opened.close()
    return "installed"


@pytest.fixture
def shop(server: Cluster, installed: str) -> Iterator[Shop]:
    """A small shop with the ledger and the two views."""
    name = f"t{next(_numbers)}"
    server.create(name, installed)
    opened = Shop.clone(server.dsn(name))
    yield opened
    opened.close()
    server.drop(name)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Run the fake Squeezely API on a port of its own."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def harness(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Iterator[Harness]:
    """Deliver in batches of 8, from the shop to the fake API, in this process."""
    opened = Harness(shop, sandbox, tmp_path, batch_size=8)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def notifying_server() -> Iterator[Cluster]:
    """Run a server without prepared transactions (the default), so NOTIFY works."""
    with cluster({**SETTINGS, "max_prepared_transactions": "0"}) as running:
        yield running


@pytest.fixture
def notifying_shop(notifying_server: Cluster) -> Iterator[Shop]:
    """A small shop on a server where NOTIFY works."""
    name = f"t{next(_numbers)}"
    notifying_server.create(name)
    opened = Shop.open(notifying_server.dsn(name))
    yield opened
    opened.close()
    notifying_server.drop(name)


@pytest.fixture(scope="module")
def wal_server() -> Iterator[Cluster]:
    """Run a server of the module's own, whose slots may retain 1 GB."""
    with cluster(WAL_SETTINGS) as running:
        yield running


@pytest.fixture
def wal_shop(wal_server: Cluster) -> Iterator[Shop]:
    """A small shop on the server for logical replication."""
    with opened_shop(wal_server, f"w{next(_numbers)}") as opened:
        yield opened


@pytest.fixture
def wal_feed(wal_shop: Shop, tmp_path: Path) -> Iterator[WalHarness]:
    """Follow the shop's WAL, caught up; the position is recorded at every step."""
    started = WalHarness(wal_shop, tmp_path, tuning=QUICK)
    started.step_until_read()
    yield started
    started.close()
