from collections.abc import Iterator
from functools import partial

import pytest
from support import draft_schemas
from support.installing import bare_shop
from support.shop import Shop


@pytest.fixture
def bare(database: str) -> Iterator[Shop]:
    """A shop's tables without syncd, and an untrusted role."""
    shop = bare_shop(database)
    yield shop
    shop.close()


@pytest.fixture
def drafted(database: str) -> draft_schemas.Drafted:
    """Return a function that creates a schema and drafts its views."""
    return partial(draft_schemas.drafted, database)
