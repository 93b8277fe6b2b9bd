"""Programs in processes of their own, forked after all of syncd was imported.

Starting an interpreter that imports it takes a second of processor time, more than
the rest of most tests. Tests that read `/proc` of a process, or what an interpreter
reads at start-up, start one of their own (`subprocess`).
"""

import multiprocessing
import os
import pkgutil
import random
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import syncd as package
from syncd.cli import main

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    [
        module.name
        for module in pkgutil.walk_packages(package.__path__, "syncd.")
        if not module.name.endswith("__main__")
    ]
)

_KEY = "SYNCD_SQUEEZELY_API_KEY"
KEY = {_KEY: "sandbox-key"}
SYNCD = ("-m", "syncd")


class Process(Protocol):
    """The operations of a running program that tests use."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int, /) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class Forked:
    """A Python program in a forked process.

    Args:
        program: `-m syncd`, or the path of a script, with its arguments.
        environment: The complete environment.
        streams: The files for standard input, output and errors (appended to).
    """

    def __init__(
        self,
        program: Sequence[str],
        environment: Mapping[str, str],
        streams: tuple[Path | str, Path | str, Path | str],
    ) -> None:
        self._program = program
        for stream in streams[1:]:
            Path(stream).touch()
        arguments = program, dict(environment), tuple(map(str, streams))
        self._process = _PROCESSES.Process(
            target=_run_program, args=arguments, daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, -9 after SIGKILL; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process; return its exit code.

        Raises:
            TimeoutExpired: It still runs after so many seconds.
        """
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(list(self._program), timeout or 0.0)
        return code

    def send_signal(self, sig: int, /) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run_program(
    program: Sequence[str], environment: Mapping[str, str], streams: Sequence[str]
) -> None:
    """Replace the forked test process by the program."""
    os.dup2(os.open(streams[0], os.O_RDONLY), 0)
    for target, path in enumerate(streams[1:], 1):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND), target)
    sys.stdin = os.fdopen(0, closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    random.seed()
    if tuple(program[:2]) == SYNCD:
        sys.argv = ["syncd", *program[2:]]
        main()
    else:
        sys.argv = list(program)
        sys.path.insert(0, str(Path(program[0]).parent))
        runpy.run_path(program[0], run_name="__main__")
