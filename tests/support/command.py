"""The command line, run as a process of its own, with or without a terminal."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from support.process import KEY, SYNCD, Forked

_SECONDS = 120


def run_fresh(
    *arguments: object, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in a new interpreter, for tests of what is read at start-up."""
    return subprocess.run(
        [sys.executable, "-m", "syncd", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        env=os.environ | KEY | environment,
    )


def syncd(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command; fail if it prints a traceback."""
    return forked(arguments, os.environ | KEY | environment)


def forked(
    arguments: Sequence[object], environment: Mapping[str, str], given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command with an environment of its own and `given` on standard input."""
    words = [str(argument) for argument in arguments]
    with TemporaryDirectory() as folder:
        stdin, stdout, stderr = (Path(folder, name) for name in ("in", "out", "err"))
        stdin.write_text(given)
        process = Forked([*SYNCD, *words], environment, (stdin, stdout, stderr))
        try:
            code = process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        done = subprocess.CompletedProcess(
            words, code, stdout.read_text(), stderr.read_text()
        )
    assert "Traceback" not in done.stderr + done.stdout
    return done


def on_terminal(columns: int, *arguments: object, answer: str = "") -> str:
    """Run the command on a terminal and return what it displays."""
    ours, theirs = pty.openpty()
    environment = {
        **os.environ,
        **KEY,
        "COLUMNS": str(columns),
        "TERM": "xterm-256color",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "syncd", *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    )
    os.close(theirs)
    os.write(ours, answer.encode())
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    process.wait(60)
    os.close(ours)
    return shown.decode()


def plain(text: str) -> list[str]:
    """Remove colours and cursor movements; return the lines."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "").splitlines()
