from collections.abc import Iterator
from typing import Any

import pytest
from support.feed_harness import Begin, FeedHarness
from support.shop import Shop


@pytest.fixture
def begin(shop: Shop) -> Iterator[Begin]:
    """Makes feeds with a lookback of five minutes; ends them."""
    started: list[FeedHarness] = []

    def make(**options: Any) -> FeedHarness:  # noqa: ANN401  # those of Started
        started.append(FeedHarness(shop, **options))
        return started[-1]

    yield make
    for feed in started:
        feed.close()


@pytest.fixture
def feed(begin: Begin) -> FeedHarness:
    """A feed that began ten days ago."""
    started = begin()
    started.backdate("10 days")
    return started
