from collections.abc import Iterator
from functools import partial

import pytest
from support import draft_schemas
from support.installing import bare_shop
from support.shop import Shop


@pytest.fixture
def bare(database: str) -> Iterator[Shop]:
    """A shop's tables; nothing of syncd's; somebody who is not trusted."""
    shop = bare_shop(database)
    yield shop
    shop.close()


@pytest.fixture
def drafted(database: str) -> draft_schemas.Drafted:
    """Create a schema and draft its views."""
    return partial(draft_schemas.drafted, database)
