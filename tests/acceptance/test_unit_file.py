"""The shipped units: valid, restrictive, and equal except for the instance's name."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
NAMES = ("syncd.service", "syncd@.service")
NEWER = re.compile(r"Unknown key.* '(RestartSteps|RestartMaxDelaySec)'")
WITH_SYSTEMD = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and os.environ.get("CI") != "true",
    reason="systemd IS NOT TESTED: systemd-analyze is not here",
)


@pytest.fixture(params=NAMES)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A unit with a program that exists on this machine."""
    name: str = request.param
    copy = tmp_path / name
    text = (UNITS / name).read_text()
    copy.write_text(text.replace("/opt/syncd/bin/syncd", "/bin/true"))
    return copy


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
    )


@WITH_SYSTEMD
def test_systemd_accepts_the_unit_without_warnings(unit: Path) -> None:
    """Unknown keys only warn; two keys newer than systemd 252 are excepted."""
    done = analyze("verify", unit)
    warnings = [line for line in done.stderr.splitlines() if not NEWER.search(line)]
    assert (done.returncode, warnings) == (0, [])


@WITH_SYSTEMD
def test_the_units_exposure_stays_low(unit: Path) -> None:
    """The score of `systemd-analyze security` is at most 1.5 of 10."""
    done = analyze("security", "--offline=true", "--threshold=15", unit)
    assert done.returncode == 0, done.stdout


def test_the_unit_of_a_single_shop_equals_the_template() -> None:
    """A change of one has to be made in both."""
    plain, template = [(UNITS / name).read_text().split("\n", 2)[2] for name in NAMES]
    filled = template.replace("orders of %i to", "orders to").replace(
        "syncd-%i", "syncd"
    )
    assert plain == filled.replace("%i", "syncd")
