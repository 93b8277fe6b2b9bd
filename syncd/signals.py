"""Signals: waited for in the main thread, not handled in the middle of anything."""

import signal
import time

STOPPING = frozenset({signal.SIGTERM, signal.SIGINT})
"""Ask the daemon to finish what it has in hand and end."""

SIGNALS = STOPPING | {signal.SIGHUP}
"""SIGHUP asks it to try the API again at once."""


def block() -> None:
    """Keep the signals from interrupting; threads started later inherit it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def wait(seconds: float) -> signal.Signals | None:
    """Wait for one of the signals, at most so long; None when none came.

    A process that was stopped and continued gets a number from `sigtimedwait` that no
    signal has (seen with CPython 3.11); that is no signal either.
    """
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        received = signal.sigtimedwait(SIGNALS, left)
        if received is None:
            return None
        if received.si_signo in SIGNALS:
            return signal.Signals(received.si_signo)
    return None
