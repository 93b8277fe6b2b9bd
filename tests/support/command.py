"""The command line, run as a process of its own, on a terminal or without one."""

import multiprocessing
import os
import pkgutil
import pty
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import syncd as package
from syncd.cli import main

_SECONDS = 120
_KEY = {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"}
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    [
        module.name
        for module in pkgutil.walk_packages(package.__path__, "syncd.")
        if not module.name.endswith("__main__")
    ]
)
"""Processes that begin with everything imported, which takes longer than most verbs."""


def started(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a new interpreter, for what that reads when it starts."""
    return subprocess.run(
        [sys.executable, "-m", "syncd", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        env=os.environ | _KEY | environment,
    )


def syncd(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command; nothing may ever print a traceback."""
    return forked(arguments, os.environ | _KEY | environment)


def forked(
    arguments: Sequence[object], environment: Mapping[str, str], given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command with an environment of its own, and with this to read."""
    words = [str(argument) for argument in arguments]
    with TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("stdin", "stdout", "stderr")]
        streams[0].write_text(given)
        process = _PROCESSES.Process(
            target=_main, args=(words, dict(environment), streams)
        )
        process.start()
        process.join(_SECONDS)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(words, _SECONDS)
        stdout, stderr = (path.read_text() for path in streams[1:])
    done = subprocess.CompletedProcess(words, process.exitcode, stdout, stderr)
    assert "Traceback" not in done.stderr + done.stdout
    return done


def _main(
    arguments: Sequence[str], environment: Mapping[str, str], streams: Sequence[Path]
) -> None:
    """Be the command, in a process that was forked for it."""
    os.dup2(os.open(streams[0], os.O_RDONLY), 0)
    for target, path in enumerate(streams[1:], 1):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND), target)
    sys.stdin = os.fdopen(0, closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["syncd", *arguments]
    main()


def on_terminal(columns: int, *arguments: object, answer: str = "") -> str:
    """Run the command on a terminal; return what it shows there."""
    ours, theirs = pty.openpty()
    environment = {
        **os.environ,
        "SYNCD_SQUEEZELY_API_KEY": "sandbox-key",
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
    """Take colours and the cursor's moves out; give the lines."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "").splitlines()
