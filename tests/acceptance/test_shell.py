"""The command line in a real shell: completion, typing errors, --config."""

import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.command import syncd


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with this syncd under its own name."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "syncd"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m syncd "$@"\n')
    script.chmod(0o755)
    return folder


class Terminal:
    """An interactive bash that a test types into."""

    def __init__(self, program: Path) -> None:
        self._master, slave = os.openpty()
        environment = {
            **os.environ,
            "PATH": f"{program}:{os.environ['PATH']}",
            "TERM": "dumb",
            "PS1": "$ ",
            "HISTFILE": "",
        }
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-i"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def read_until(self, words: str, seconds: float = 60) -> str:
        seen, deadline = "", time.monotonic() + seconds
        while words not in seen:
            ready, _, _ = select.select([self._master], [], [], 1)
            if ready:
                seen += os.read(self._master, 4096).decode(errors="replace")
            assert time.monotonic() < deadline, seen
        return seen

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash here")
def test_bash_completes_commands_options_and_choices(program: Path) -> None:
    """The tab key completes each of them."""
    terminal = Terminal(program)
    try:
        terminal.type("source <(syncd completion bash) && echo rea''dy\n")
        terminal.read_until("ready")
        for typed, completed in (
            ("syncd exp\t", "explain "),
            ("syncd reconcile --fr\t", "reconcile --from "),
            ("syncd completion fi\t", "completion fish "),
            ("syncd rejected disc\t", "rejected discard "),
        ):
            terminal.type(typed)
            terminal.read_until(completed)
            terminal.type("\x15")  # clears the line
    finally:
        terminal.close()


@pytest.mark.parametrize(
    ("typed", "meant", "page"),
    [
        (["staus"], "'status'", "syncd --help"),
        (["rejected", "lsit"], "'list'", "syncd rejected --help"),
        (["backfill", "wacth"], "'watch'", "syncd backfill --help"),
        (["status", "--jsn"], "'--json'", "syncd status --help"),
    ],
)
def test_a_mistyped_word_gets_one_suggestion(
    typed: list[str], meant: str, page: str
) -> None:
    """One line with the closest word, and the page to read; exit code 64."""
    done = syncd(*typed)
    assert (done.returncode, done.stdout) == (64, "")
    message, hint = done.stderr.splitlines()
    assert message.startswith("syncd: No such ")
    assert message.endswith(f". Did you mean {meant}?")
    assert page in hint


def test_the_configuration_may_be_named_before_or_after_the_command(
    tmp_path: Path,
) -> None:
    """After takes precedence over before, and both over the environment."""
    for arguments, meant in (
        (("--config", "/nowhere/before", "status"), "/nowhere/before"),
        (("status", "--config", "/nowhere/after"), "/nowhere/after"),
        (("--config", "/nowhere/before", "status", "--config", "/nowhere/after"),
         "/nowhere/after"),
        (("status",), "/nowhere/environment"),
    ):  # fmt: skip
        done = syncd(*arguments, SYNCD_CONFIG="/nowhere/environment")
        assert done.returncode == 78
        message, hint = done.stderr.splitlines()
        assert message == f"syncd: {meant}: cannot be read (No such file or directory)"
        assert "syncd init" in hint
    assert not list(tmp_path.iterdir())


def test_without_a_command_the_overview_is_printed() -> None:
    """It goes to standard error, and the exit code is 64."""
    done = syncd()
    assert (done.returncode, done.stdout) == (64, "")
    assert "Set up:" in done.stderr
