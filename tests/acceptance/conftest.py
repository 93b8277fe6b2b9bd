from collections.abc import Iterator
from pathlib import Path

import pytest
from support.overseer import Post, overseer
from support.shop import Shop

from syncd.demo.sandbox import Sandbox


@pytest.fixture
def post(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    """A daemon, to be started, with a supervisor that listens."""
    with Sandbox() as sandbox, overseer(tmp_path) as listening:
        for name, value in listening.environment.items():
            monkeypatch.setenv(name, value)
        yield Post(shop, sandbox, tmp_path, listening)
        shop.close()
