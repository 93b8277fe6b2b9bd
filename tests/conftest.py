from collections.abc import Iterator
from itertools import count

import pytest
from postgres import Cluster, cluster
from shop import Shop

_numbers = count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[Cluster]:
    """One PostgreSQL for the whole session."""
    with cluster() as running:
        yield running


@pytest.fixture
def database(server: Cluster) -> Iterator[str]:
    """Connection string of an empty database."""
    name = f"t{next(_numbers)}"
    server.sql(f"CREATE DATABASE {name}")
    yield server.dsn(name)
    server.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def shop(database: str) -> Iterator[Shop]:
    """A small shop with the ledger and the two views."""
    opened = Shop.open(database)
    yield opened
    opened.close()
