"""The Debian package: installed, set up, upgraded, removed and purged."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.postgres import wait_until

from syncd import __version__
from system.machine import API, ROOT, Machine, renumbered

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

README = (ROOT / "packaging" / "debian" / "README.Debian").read_text()
STEPS = re.findall(r"^ {9}(\S.*)$", README, re.MULTILINE)
ENABLED = ("find", "/etc/systemd/system", "-name", "syncd*", "-type", "l")


@pytest.fixture
def empty_box(tmp_path: Path) -> Iterator[Machine]:
    """A machine without syncd."""
    made = Machine(tmp_path)
    yield made
    made.shut_down()


def test_the_package_is_set_up_upgraded_removed_and_purged(
    deb: Path, empty_box: Machine, tmp_path: Path
) -> None:
    """Its README describes it; an operator's files survive all but a purge."""
    empty_box.install(deb)
    assert_installed(empty_box)
    follow_readme(empty_box)
    assert_upgraded(empty_box, renumbered(deb, "99.1", tmp_path))

    empty_box.apt("remove", "syncd")
    assert empty_box.show("syncd", "LoadState", "MainPID") == ["not-found", "0"]
    assert "SQ-SANDBOX" in empty_box.run("cat", "/etc/syncd/syncd.toml")
    assert empty_box.run("find", "/usr/lib/syncd", check=False).endswith("directory\n")

    empty_box.apt("purge", "syncd")
    assert empty_box.run("ls", "/etc/syncd").split() == ["api-key"]
    assert empty_box.run(*ENABLED) == ""
    assert empty_box.run("find", "/var/lib", "-name", "syncd*") == ""


def assert_installed(bare: Machine) -> None:
    """Assert that everything is there, and nothing was started."""
    assert __version__ in bare.run("syncd", "--version")
    assert bare.show("syncd", "LoadState", "ActiveState") == ["loaded", "inactive"]
    assert bare.run(*ENABLED) == ""
    mode = bare.run("stat", "-c", "%U:%G %a", "/etc/syncd/syncd.toml")
    assert mode == "root:syncd 640\n"
    assert "syncd" in bare.run("id", "-un", "syncd")
    assert "SYNCD(1)" in bare.run("man", "syncd")
    completion = "/usr/share/bash-completion/completions/syncd"
    assert "_syncd" in bare.run("bash", "-c", f". {completion}; complete -p syncd")
    for document in re.findall(r"/usr/share/doc/[\w./-]+\w", README):
        bare.run("test", "-e", document)


def follow_readme(bare: Machine) -> None:
    """Run the README's commands unchanged; then an order arrives."""
    bare.serve()
    bare.make_shop("shop", 1)
    for line in (
        's,^dsn = .*,dsn = "dbname=shop user=syncd",',
        's,^account = .*,account = "SQ-SANDBOX",',
        f's,^# endpoint = .*,endpoint = "{API}/v1/track",',
    ):
        bare.run("sed", "-i", line, "/etc/syncd/syncd.toml")
    assert len(STEPS) == 9
    for step in STEPS:
        stdin = "sandbox-key\n" if "/dev/stdin" in step else ""
        bare.run("sh", "-c", step, stdin=stdin)
    wait_until(bare.arrived(bare.confirm(1)), 30)


def assert_upgraded(bare: Machine, newer: Path) -> None:
    """Assert that the running unit is restarted, and a new order is sent."""
    (before,) = bare.show("syncd", "MainPID")
    orders = bare.confirm(1)
    bare.install(newer)
    orders += bare.confirm(1)
    assert "99.1" in bare.run("dpkg-query", "-W", "syncd")
    assert "SQ-SANDBOX" in bare.run("cat", "/etc/syncd/syncd.toml")
    wait_until(bare.arrived(orders), 30)
    assert bare.show("syncd", "ActiveState") == ["active"]
    assert bare.show("syncd", "MainPID") != [before]
