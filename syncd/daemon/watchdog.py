"""The watchdog: which of the daemon's components make progress, and which are overdue.

All work runs as a component's (`Watchdog.work`); a step belongs to its thread's
component (see `core.progress`).
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from syncd.core import progress
from syncd.core.deadlines import Deadline, Overdue, forgiven, overdue

_PLACES = 8


class Watchdog:
    """The stamps of the components of one pipeline.

    Args:
        step_seconds: What a step may take by default.
        clock: With any origin.
    """

    def __init__(
        self,
        *,
        step_seconds: float = progress.STEP_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._step_seconds = step_seconds
        self._clock = clock
        self._stamps: dict[str, Deadline] = {}
        self._guard = threading.Lock()
        self._is_halting = False
        self._checked_at = clock()

    @contextmanager
    def work(self, component: str, rest_seconds: float = 0.0) -> Iterator[None]:
        """Work as a component; its next run is after about `rest_seconds`."""
        thread = threading.get_ident()

        def note_progress(within: float) -> None:
            self._stamp(component, within, thread)

        with progress.watched(note_progress, self._step_seconds):
            note_progress(self._step_seconds)
            try:
                yield
            finally:
                self._rest(component, rest_seconds + self._step_seconds)

    def halt(self) -> None:
        """Expect only the components that are at work."""
        with self._guard:
            self._is_halting = True
            self._stamps = self._working()

    def working(self) -> set[str]:
        """Name the components that are at work now."""
        with self._guard:
            return set(self._working())

    def _working(self) -> dict[str, Deadline]:
        return {
            component: stamp
            for component, stamp in self._stamps.items()
            if stamp.thread is not None
        }

    def overdue(self) -> list[Overdue]:
        """List the components without progress; call it all the time."""
        now = self._clock()
        with self._guard:
            paused, self._checked_at = now - self._checked_at, now
            self._stamps = forgiven(self._stamps, paused)
            return overdue(self._stamps, now)

    def _stamp(self, component: str, within: float, thread: int | None) -> None:
        now = self._clock()
        with self._guard:
            self._stamps[component] = Deadline(now, now + within, thread)

    def _rest(self, component: str, within: float) -> None:
        with self._guard:
            if self._is_halting:
                self._stamps.pop(component, None)
                return
        self._stamp(component, within, None)


def stack_summary(thread: int | None) -> str:
    """Name the places in the code where a thread is now, the innermost last."""
    frame = sys._current_frames().get(thread or 0)  # noqa: SLF001  # documented
    found: list[str] = []
    while frame is not None and len(found) < _PLACES:
        file = frame.f_code.co_filename.rpartition("/")[2]
        found.append(f"{file}:{frame.f_lineno}")
        frame = frame.f_back
    return " > ".join(reversed(found))
