"""The unit that is shipped: valid, and closed as far as it goes."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "systemd" / "syncd@.service"

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd IS NOT TESTED: not here"
)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that exists on this machine."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/syncd/bin/syncd", "/bin/true"))
    return copy


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
    )


def test_systemd_finds_nothing_to_say_about_the_unit(unit: Path) -> None:
    """Unknown keys only warn, so there must be no word at all."""
    done = analyze("verify", unit)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_units_exposure_stays_low(unit: Path) -> None:
    """At most 1.5 of 10, as `systemd-analyze security` counts."""
    done = analyze("security", "--offline=true", "--threshold=15", unit)
    assert done.returncode == 0, done.stdout
