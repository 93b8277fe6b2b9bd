from collections.abc import Iterator

import pytest
from support.installing import bare_shop
from support.shop import Shop


@pytest.fixture
def bare(database: str) -> Iterator[Shop]:
    """A shop's tables; nothing of syncd's; somebody who is not trusted."""
    shop = bare_shop(database)
    yield shop
    shop.close()
