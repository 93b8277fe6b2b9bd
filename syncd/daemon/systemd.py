"""The supervisor: systemd's notifications (sd_notify) and its watchdog interval.

One datagram of KEY=VALUE lines, a stable interface (ADR-0016). Without a supervisor
nothing is sent; a supervisor that does not listen never stops the work.
"""

import os
import socket
import time
from collections.abc import Mapping

TICK_SECONDS = 1.0
"""How often the daemon checks itself, at least."""

EXTENSION_SECONDS = 10.0
"""By how much the time for a drain is extended, each time that it makes progress."""


class Notifier:
    """The process that started this one, if it wants notifications.

    Args:
        environment: With NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, perhaps.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._interval = _interval(environment)
        self._pinged_at = self._extended_at = float("-inf")
        self._status = ""

    @property
    def tick_seconds(self) -> float:
        """How long to wait at most before checking the components again."""
        return min(TICK_SECONDS, self._interval or TICK_SECONDS)

    def ready(self) -> None:
        """Notify systemd that everything works; also at the end of a reload."""
        self._notify("READY=1")

    def reloading(self) -> None:
        """Notify systemd that the configuration is being read again."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._notify("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """Notify systemd that the end has begun."""
        self._notify("STOPPING=1")

    def status(self, text: str) -> None:
        """Notify systemd in one line how things stand; only what is new is sent."""
        if text != self._status:
            self._status = text
            self._notify(f"STATUS={text}")

    def ping(self) -> None:
        """Notify the watchdog that all is well, if there is one and it is due."""
        now = time.monotonic()
        if self._interval and now - self._pinged_at >= self._interval * 0.9:
            self._pinged_at = now
            self._notify("WATCHDOG=1")

    def extend(self, seconds: float = EXTENSION_SECONDS) -> None:
        """Ask for more time to start or to stop, counted from now."""
        now = time.monotonic()
        if now - self._extended_at >= TICK_SECONDS:
            self._extended_at = now
            self._notify(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def note_progress(self, within: float) -> None:
        """Note that the main thread itself moves; its next step may take so long."""
        self.ping()
        self.extend(within)

    def _notify(self, *lines: str) -> None:
        if self._address is None:
            return
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
        with socket.socket(socket.AF_UNIX, kind) as sender:
            sender.settimeout(TICK_SECONDS)
            try:
                sender.connect(self._address)
                sender.sendall("\n".join(lines).encode())
            except OSError:
                return


def _address(given: str) -> str | None:
    """Take a path or the name of an abstract socket; nothing else is sent to."""
    if given.startswith("@"):
        return "\0" + given[1:]
    return given if given.startswith("/") else None


def _interval(environment: Mapping[str, str]) -> float | None:
    """Return the seconds between pings; None: no watchdog of this process."""
    wanted = environment.get("WATCHDOG_USEC", "")
    pid = environment.get("WATCHDOG_PID") or str(os.getpid())
    if not wanted.isdecimal() or int(wanted) == 0 or pid != str(os.getpid()):
        return None
    return int(wanted) / 1e6 / 3
