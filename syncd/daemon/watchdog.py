"""The watchdog: which of the daemon's parts have moved, and which are overdue.

Each piece of work runs as a part's (`Watchdog.work`); the part that a step belongs to
is the thread's (see `core.progress`).
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from syncd.core import progress
from syncd.core.deadlines import Deadline, Overdue, forgiven, overdue

_PLACES = 8


class Watchdog:
    """The stamps of the parts of one life of the daemon."""

    def __init__(self) -> None:
        self._stamps: dict[str, Deadline] = {}
        self._guard = threading.Lock()
        self._is_halting = False
        self._looked_at = time.monotonic()

    @contextmanager
    def work(self, part: str, rest_seconds: float = 0.0) -> Iterator[None]:
        """Be at work as a part; it has its next turn after `rest_seconds`, about."""
        thread = threading.get_ident()

        def move(within: float) -> None:
            self._stamp(part, within, thread)

        with progress.watched(move):
            move(progress.STEP_SECONDS)
            try:
                yield
            finally:
                self._rest(part, rest_seconds + progress.STEP_SECONDS)

    def halt(self) -> None:
        """Expect nobody any more, those who are at work excepted."""
        with self._guard:
            self._is_halting = True
            working = self._stamps.items()
            self._stamps = {p: s for p, s in working if s.thread is not None}

    def overdue(self) -> list[Overdue]:
        """List the parts that should have moved; look again and again."""
        now = time.monotonic()
        with self._guard:
            paused, self._looked_at = now - self._looked_at, now
            self._stamps = forgiven(self._stamps, paused)
            return overdue(self._stamps, now)

    def _stamp(self, part: str, within: float, thread: int | None) -> None:
        now = time.monotonic()
        with self._guard:
            self._stamps[part] = Deadline(now, now + within, thread)

    def _rest(self, part: str, within: float) -> None:
        with self._guard:
            if self._is_halting:
                self._stamps.pop(part, None)
                return
        self._stamp(part, within, None)


def stack_summary(thread: int | None) -> str:
    """Name the places in the code where a thread is now, the innermost last."""
    frame = sys._current_frames().get(thread or 0)  # noqa: SLF001  # documented
    found: list[str] = []
    while frame is not None and len(found) < _PLACES:
        file = frame.f_code.co_filename.rpartition("/")[2]
        found.append(f"{file}:{frame.f_lineno}")
        frame = frame.f_back
    return " > ".join(reversed(found))
