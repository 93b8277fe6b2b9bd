import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from system.machine import Machine, machine, missing


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A real systemd with PostgreSQL, the stand-in API and syncd installed."""
    if why := missing():
        text = f"A REAL SYSTEMD IS NOT TESTED: {why}"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    made = machine(Path(tmp_path_factory.mktemp("machine")))
    yield made
    made.down()
