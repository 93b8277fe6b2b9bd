"""Reacting to errors: try again with growing waits, wait for a person, or stop."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from syncd.core import backoff
from syncd.core.errors import PausedError, Reaction, SyncdError, ViewsChangedError
from syncd.core.progress import STEP_SECONDS
from syncd.core.schedule import Turn
from syncd.daemon.watchdog import Watchdog
from syncd.log.log import Log, report_crash

MAX_WAIT = timedelta(seconds=15)
"""Between two tries of a database that does not answer."""

PAUSED_SECONDS = 0.9
"""How often a component checks whether its pause was lifted."""


@dataclass(slots=True)
class _Outage:
    failures: int = 0
    since: float = 0.0
    not_before: float = float("-inf")
    paused: str | None = None  # what was, until it recovers
    is_paused: bool = False
    reason: str = ""

    def fail(self, reason: str) -> float:
        """Count a failure; return the seconds to wait after it."""
        self.failures += 1
        self.reason = reason
        base = timedelta(seconds=0.5)
        wait = backoff.delay(self.failures, 1.0, base=base, cap=MAX_WAIT)
        return wait.total_seconds()


class ErrorPolicy:
    """Runs pieces of work of the daemon's components and reacts to their errors.

    Attributes:
        views_changed: Set when a component met views whose keys were not compared yet.
    """

    def __init__(
        self,
        log: Log,
        *,
        paused_seconds: float = PAUSED_SECONDS,
        step_seconds: float = STEP_SECONDS,
    ) -> None:
        self._log = log
        self._paused_seconds = paused_seconds
        self._outages: dict[str, _Outage] = {}
        self.progress = Watchdog(step_seconds=step_seconds)
        self._paused: dict[str, datetime] = {}
        self._guard = threading.Lock()
        self.stopping = threading.Event()
        self.views_changed = threading.Event()
        self.fatal: SyncdError | None = None
        self.crashed = False

    def run(
        self, component: str, action: Callable[[], object], rest_seconds: float = 0.0
    ) -> None:
        """Do one piece of work, unless its component is to be left alone for a while.

        `rest_seconds` is when the component has its next turn, if that is known to be
        later than an outage's longest wait.
        """
        with self.progress.work(component, rest_seconds):
            if not self.stopping.is_set() and self.seconds_to_wait(component) <= 0:
                self.attempt(component, action)

    def is_failing(self, component: str) -> bool:
        """Return whether a component's last piece of work failed."""
        return component in self._outages

    def trouble(self) -> str | None:
        """Return what has failed repeatedly, by component; None: nothing has."""
        lasting = {
            component: outage.reason
            for component, outage in self._outages.copy().items()
            if outage.failures > 1 and not outage.is_paused
        }
        return "; ".join(f"{p}: {lasting[p]}" for p in sorted(lasting)) or None

    def attempt(self, component: str, action: Callable[[], object]) -> None:
        """Do a piece of work now, with or without a watchdog.

        A component that failed has recovered once a turn of it was due and succeeded.
        """
        try:
            turn = action()
        except SyncdError as error:
            self.react(component, error)
        except Exception as error:  # noqa: BLE001  # the last resort: log it, and end
            report_crash(self._log, error)
            self.crashed = True
            self.stopping.set()
        else:
            if turn is not Turn.NOT_DUE:
                self.recover(component)

    def seconds_to_wait(self, component: str) -> float:
        """Return how long a component is to be left alone; 0.0 when it is not."""
        outage = self._outages.get(component)
        return max(0.0, outage.not_before - time.monotonic()) if outage else 0.0

    def react(self, component: str, error: SyncdError) -> None:
        """Stop, or leave the component alone for a while."""
        if error.reaction is Reaction.STOP:
            self.fatal = error
            self.stopping.set()
            return
        now = time.monotonic()
        outage = self._outages.setdefault(component, _Outage(since=now))
        if isinstance(error, PausedError):
            outage.not_before = now + self._paused_seconds
            outage.paused, outage.is_paused = error.what, True
            self._report_pause(error)
            return
        outage.is_paused = False
        if isinstance(error, ViewsChangedError):
            outage.not_before = now + self._paused_seconds
            self.views_changed.set()
            return
        wait_seconds = outage.fail(str(error))
        outage.not_before = now + wait_seconds
        self._report(error, wait_seconds)

    def _report(self, error: SyncdError, retry_seconds: float) -> None:
        kind, reason = type(error).__name__, f"{error}. {error.hint}"
        facts: dict[str, object] = {
            "error_kind": kind,
            "reason": reason,
            "retry_seconds": retry_seconds,
        }
        if error.reaction is Reaction.HOLD:
            self._log.emit_folded("views.unavailable", (kind, reason), **facts)
        else:
            self._log.emit_folded("database.unavailable", (kind, reason), **facts)

    def recover(self, component: str) -> None:
        """Note that a component works; log it if it did not before."""
        outage = self._outages.pop(component, None)
        if outage is None:
            return
        if outage.paused:
            self._report_resumed(outage.paused)
        if outage.failures:
            down = time.monotonic() - outage.since
            self._log.emit("database.recovered", down_seconds=down)

    def _report_pause(self, pause: PausedError) -> None:
        """Log it once, whichever of the components met it."""
        with self._guard:
            if self._paused.get(pause.what) == pause.since:
                return
            self._paused[pause.what] = pause.since
        self._log.emit(
            "feed.paused",
            what=pause.what,
            since=pause.since.isoformat(),
            reason=pause.why,
        )

    def _report_resumed(self, what: str) -> None:
        with self._guard:
            since = self._paused.pop(what, None)
        if since is not None:
            paused = (datetime.now(UTC) - since).total_seconds()
            self._log.emit("feed.resumed", what=what, paused_seconds=paused)
