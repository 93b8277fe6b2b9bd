import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from system.machine import Machine, machine, obstacle, package


@pytest.fixture(scope="session")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian package; its tests need a machine that can boot a real systemd."""
    if why := obstacle():
        text = f"A REAL SYSTEMD IS NOT TESTED: {why}"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    return package(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="session")
def box(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A real systemd with PostgreSQL, the fake API and syncd installed."""
    made = machine(tmp_path_factory.mktemp("machine"), deb)
    yield made
    made.shut_down()
