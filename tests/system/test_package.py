"""The Debian package: installed, upgraded, removed and purged by apt."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import wait_until

from syncd import __version__
from system.machine import Machine, renumbered

pytestmark = pytest.mark.system


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Machine]:
    """A machine without syncd."""
    made = Machine(tmp_path)
    yield made
    made.down()


def test_the_package_is_installed_upgraded_removed_and_purged(
    deb: Path, bare: Machine, tmp_path: Path
) -> None:
    """What an operator wrote outlives all but a purge; nothing starts by itself."""
    bare.install(deb)
    assert __version__ in bare.run("syncd", "--version")
    assert bare.show("syncd", "LoadState", "ActiveState") == ["loaded", "inactive"]
    assert bare.run("stat", "-c", "%U:%G %a", "/etc/syncd/syncd.toml").split() == [
        "root:syncd",
        "640",
    ]
    assert "syncd" in bare.run("id", "-un", "syncd")
    bare.run("test", "-s", "/usr/share/man/man1/syncd.1.gz")
    bare.run("test", "-s", "/usr/share/bash-completion/completions/syncd")
    bare.write("/etc/syncd/syncd.toml", "# the operator's own\n", "640")
    bare.write("/etc/syncd/syncd.api-key", "a key", "600")

    bare.install(renumbered(deb, "99.1", tmp_path))
    assert "99.1" in bare.run("dpkg-query", "-W", "syncd")
    assert "own" in bare.run("cat", "/etc/syncd/syncd.toml")

    bare.apt("remove", "syncd")
    assert bare.show("syncd", "LoadState") == ["not-found"]
    assert "own" in bare.run("cat", "/etc/syncd/syncd.toml")
    assert bare.run("find", "/usr/lib/syncd", check=False).endswith("directory\n")

    bare.apt("purge", "syncd")
    assert bare.run("ls", "/etc/syncd").split() == ["syncd.api-key"]


def test_an_upgrade_restarts_what_runs(deb: Path, box: Machine, tmp_path: Path) -> None:
    """A new version takes over at once, and an order confirmed meanwhile is sent."""
    box.systemctl("start", "syncd")
    (before,) = box.show("syncd", "MainPID")
    orders = box.confirm(1, "syncd")
    box.install(renumbered(deb, "99.2", tmp_path))
    orders += box.confirm(1, "syncd")
    wait_until(box.arrived(orders))
    assert box.show("syncd", "MainPID") != [before]
    box.systemctl("stop", "syncd")
