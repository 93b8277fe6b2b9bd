from collections.abc import Iterator
from typing import Any

import pytest
from support.ledgers import Begin, Started
from support.shop import Shop


@pytest.fixture
def begin(shop: Shop) -> Iterator[Begin]:
    """Makes feeds with a lookback of five minutes; ends them."""
    started: list[Started] = []

    def make(**options: Any) -> Started:  # noqa: ANN401  # those of Started
        started.append(Started(shop, **options))
        return started[-1]

    yield make
    for feed in started:
        feed.close()


@pytest.fixture
def feed(begin: Begin) -> Started:
    """A feed that began ten days ago."""
    started = begin()
    started.began("10 days")
    return started
