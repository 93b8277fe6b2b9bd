"""Output that a terminal or a pipe cannot take never causes a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.command import run_fresh, syncd
from support.shop import Shop

from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db

ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}
VERBS = [["status"], ["man"]]


@pytest.fixture
def started_config(shop: Shop, tmp_path: Path) -> Path:
    """A shop whose feed was started."""
    with Sandbox() as sandbox:
        made = shop.configure(tmp_path, sandbox.endpoint)
        syncd("run", "--once", "--config", made)
    return made


def arguments(verb: list[str], config: Path) -> list[str]:
    return verb if verb[0] in {"--help", "man"} else [*verb, "--config", str(config)]


@pytest.mark.timeout(300)
def test_unwritable_output_does_not_change_the_exit_code(
    started_config: Path,
) -> None:
    """Letters are replaced; standard output is closed, or its reader has ended."""
    for verb in VERBS:
        written = arguments(verb, started_config)
        full = syncd(*written)
        plain = run_fresh(*written, **ASCII)
        assert plain.stdout.isascii()
        assert (plain.returncode, plain.stderr) == (full.returncode, full.stderr)
        for way in (">&-", "| true"):
            assert run_redirected(way, written) == (full.returncode, full.stderr), (
                verb,
                way,
            )


def run_redirected(way: str, arguments: list[str]) -> tuple[int, str]:
    """Run the command with its standard output redirected by a shell."""
    script = f'"$@" {way}; echo "${{PIPESTATUS[0]}}" >&2'
    done = subprocess.run(
        ["bash", "-c", script, "bash", sys.executable, "-m", "syncd", *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, "SYNCD_SQUEEZELY_API_KEY": "sandbox-key"},
    )
    *errors, code = done.stderr.splitlines(keepends=True)
    return int(code), "".join(errors)


def test_a_full_disk_behind_standard_output_is_reported() -> None:
    """A redirected report would otherwise be incomplete without notice."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "syncd", "man"],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 64
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_argument_that_is_not_text_is_a_usage_error() -> None:
    """Bytes that are not UTF-8 name no order."""
    done = syncd("explain", os.fsdecode(b"\xff\xfe"))
    assert done.returncode == 64
    assert "not valid UTF-8" in done.stderr


BROKEN = (
    "import sys\n"
    "from syncd.daemon import pipeline\n"
    "def fail(*_, **__): raise ZeroDivisionError('a secret')\n"
    "pipeline.{name} = fail\n"
    "from syncd.cli import main\n"
    "sys.argv = ['syncd', 'run', '--config', sys.argv[1], *sys.argv[2:]]\n"
    "main()\n"
)


@pytest.mark.parametrize(
    ("name", "once"),
    [
        ("Pipeline.__init__", ["--once"]),
        ("open_feed", []),
        ("Pipeline.report_start", []),
    ],
)
def test_an_internal_error_during_the_build_is_logged_in_one_line(
    shop: Shop, tmp_path: Path, name: str, once: list[str]
) -> None:
    """Exit 70, with its kind and location; no message, which may have personal data."""
    config = shop.configure(tmp_path, "http://127.0.0.1:1/")
    program = "-c", BROKEN.format(name=name)
    process = shop.start_alone(config, *once, program=program)
    assert process.wait(60) == 70
    line = config.with_suffix(".log").read_text()
    assert "daemon.crashed" in line
    assert "ZeroDivisionError" in line
    assert "a secret" not in line


def test_an_internal_error_in_a_command_is_one_line(shop: Shop, tmp_path: Path) -> None:
    """The line has the error's kind and its locations."""
    config = shop.configure(tmp_path, "http://127.0.0.1:1/")
    program = (
        "import sys\n"
        "from syncd.cli import status\n"
        "def fail(*_, **__): raise ZeroDivisionError('a secret')\n"
        "status.StatusReader = fail\n"
        "from syncd.cli import main\n"
        "sys.argv = ['syncd', 'status', '--config', sys.argv[1]]\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(config)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 70
    assert "ZeroDivisionError at " in done.stderr
    assert "a secret" not in done.stderr
    assert "Traceback" not in done.stderr
