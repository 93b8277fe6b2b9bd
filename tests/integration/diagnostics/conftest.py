from pathlib import Path

import pytest
from support.checks import Inspector
from support.shop import Shop


@pytest.fixture
def inspector(shop: Shop, tmp_path: Path) -> Inspector:
    """Runs `syncd check` in this process, on the small shop."""
    return Inspector(shop, tmp_path)
