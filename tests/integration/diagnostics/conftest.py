from pathlib import Path

import pytest
from support.checks import CheckRunner
from support.shop import Shop


@pytest.fixture
def inspector(shop: Shop, tmp_path: Path) -> CheckRunner:
    """Runs `syncd check` in this process, on the small shop."""
    return CheckRunner(shop, tmp_path)
