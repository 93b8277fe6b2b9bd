from collections.abc import Iterator
from pathlib import Path

import pytest
from support.harness import Harness
from support.shop import Shop

from syncd.demo.sandbox import Sandbox


@pytest.fixture
def pair_harness(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Iterator[Harness]:
    """Delivery in batches of 2."""
    opened = Harness(shop, sandbox, tmp_path, batch_size=2)
    yield opened
    opened.close()
