"""Signals: waited for in the main thread, not handled in the middle of anything."""

import signal
import time

STOPPING = frozenset({signal.SIGTERM, signal.SIGINT})
"""Ask the daemon to finish what it has in hand and end."""

SIGNALS = STOPPING | {signal.SIGHUP}
"""SIGHUP asks it to read its configuration again, and to try the API at once."""

SENT = frozenset({0, 0x80, -1, -6})
"""Codes of a signal that was sent: by kill, the kernel, sigqueue, tgkill."""


def block() -> None:
    """Keep the signals from interrupting; threads started later inherit it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def wait(
    seconds: float, among: frozenset[signal.Signals] = SIGNALS
) -> signal.Signals | None:
    """Wait for one of the signals, at most so long; None when none came.

    Those that are not waited for stay pending. A process that was stopped and continued
    gets memory from `sigtimedwait` that was never written (seen with CPython 3.11). Its
    number may be a signal's by chance, but no sender has its code: no signal either.
    """
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        received = signal.sigtimedwait(among, left)
        if received is None:
            return None
        if received.si_signo in among and received.si_code in SENT:
            return signal.Signals(received.si_signo)
    return None
