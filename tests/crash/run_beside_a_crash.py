"""Runs `syncd run --once` in forks that wait at one of their steps: CONFIG.

As run_step_by_step does, but the process survives: at the fatal step it writes `now`,
and continues once it has read a byte; meanwhile its server may crash or be replaced.
Writes how each pass ended, its steps, and the first and last of those of the exchange
with the API.
"""

import http.client
import os
import sys
from collections.abc import Callable
from multiprocessing import Value
from pathlib import Path

from run_step_by_step import DOORS

from syncd.config.configuration import load
from syncd.config.settings import Settings
from syncd.core.errors import SyncdError
from syncd.daemon.process import Daemon
from syncd.log.log import configure

NOW = b"now\n"


class Steps:
    """Counts steps in memory shared with the parent; waits at the fatal one."""

    def __init__(self) -> None:
        self.passed = Value("i", 0)
        self.first = Value("i", 0)
        self.last = Value("i", 0)
        self.fatal = 0

    def begin(self) -> None:
        self.passed.value = self.first.value = self.last.value = 0

    def count(self, owner: type) -> None:
        self.passed.value += 1
        if owner is http.client.HTTPConnection:
            self.first.value = self.first.value or self.passed.value
            self.last.value = self.passed.value
        if self.passed.value == self.fatal:
            os.write(1, NOW)
            os.read(0, 1)

    def watch(self, owner: type, name: str) -> None:
        """Count a step before each call of a method, and one after it."""
        real: Callable[..., object] = getattr(owner, name)

        def counted(*args: object, **kwargs: object) -> object:
            self.count(owner)
            result = real(*args, **kwargs)
            self.count(owner)
            return result

        setattr(owner, name, counted)


def run(settings: Settings, steps: Steps, fatal: int) -> int:
    """Fork, run once, and return how that ended."""
    steps.begin()
    child = os.fork()
    if child == 0:
        steps.fatal = fatal
        try:
            code = int(Daemon(settings).run_once(patience_seconds=0.3))
        except SyncdError as error:
            code = int(error.exit_code)
        os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def main() -> None:
    settings = load(Path(sys.argv[1]))
    configure(level=settings.log.level)
    steps = Steps()
    for owner, name in DOORS:
        steps.watch(owner, name)
    while line := os.read(0, 64):
        code = run(settings, steps, int(line))
        found = (code, steps.passed.value, steps.first.value, steps.last.value)
        os.write(1, b"%d %d %d %d\n" % found)


if __name__ == "__main__":
    main()
