"""Runs `syncd run --once` in forks, each killed at one of its steps: CONFIG.

A step is anything that leaves the process: a statement to PostgreSQL, a piece of a
request to the API, the wait for its response, a file. There is no list of them: they
are counted at run time. Reads the number of the fatal step from stdin, line by line
(0: none), and writes the exit code, negative for a signal, and the number of steps.
"""

import http.client
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing import Value
from pathlib import Path

from syncd.capture.wal.stream import ReplicationStream
from syncd.config.configuration import load
from syncd.config.settings import Settings
from syncd.daemon.process import Daemon
from syncd.ledger.state_file import StateFile
from syncd.log.log import configure
from syncd.postgres.connection import DeadlineConnection

DOORS: list[tuple[type, str]] = [
    (DeadlineConnection, "wait"),
    (http.client.HTTPConnection, "send"),
    (http.client.HTTPConnection, "getresponse"),
    (StateFile, "write"),
    (ReplicationStream, "confirm"),
]


class Steps:
    """Counts steps in memory shared with the parent; dies at the fatal one."""

    def __init__(self) -> None:
        self.passed = Value("i", 0)
        self.fatal = 0

    def count(self) -> None:
        self.passed.value += 1
        if self.passed.value == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, owner: type, name: str) -> None:
        """Count a step before each call of a method, and one after it."""
        real: Callable[..., object] = getattr(owner, name)

        def counted(*args: object, **kwargs: object) -> object:
            self.count()
            result = real(*args, **kwargs)
            self.count()
            return result

        setattr(owner, name, counted)


def run(settings: Settings, steps: Steps, fatal: int) -> int:
    """Fork, run once, and return how that ended."""
    steps.passed.value = 0
    child = os.fork()
    if child == 0:
        steps.fatal = fatal
        os._exit(Daemon(settings).run_once(patience_seconds=0.3))
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def main() -> None:
    settings = load(Path(sys.argv[1]))
    configure(level=settings.log.level)
    steps = Steps()
    for owner, name in DOORS:
        steps.watch(owner, name)
    for line in sys.stdin:
        code = run(settings, steps, int(line))
        sys.stdout.write(f"{code} {steps.passed.value}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
