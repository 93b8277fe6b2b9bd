from collections.abc import Iterator
from pathlib import Path

import pytest
from support.shop import Shop
from support.supervisor import SupervisedDaemon, supervisor

from syncd.demo.sandbox import Sandbox


@pytest.fixture
def supervised(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SupervisedDaemon]:
    """A daemon, not yet started, under a supervisor that receives its messages."""
    with Sandbox() as sandbox, supervisor(tmp_path) as listening:
        for name, value in listening.environment.items():
            monkeypatch.setenv(name, value)
        yield SupervisedDaemon(shop, sandbox, tmp_path, listening)
        shop.close()
