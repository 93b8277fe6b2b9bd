"""Signals: waited for in the main thread, not handled in the middle of anything."""

import signal
import time

STOPPING = frozenset({signal.SIGTERM, signal.SIGINT})
"""Ask the daemon to finish what it has in hand and end."""

SIGNALS = STOPPING | {signal.SIGHUP}
"""SIGHUP asks it to read its configuration again, and to try the API at once."""


def block() -> None:
    """Keep the signals from interrupting; threads started later inherit it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def wait(
    seconds: float, among: frozenset[signal.Signals] = SIGNALS
) -> signal.Signals | None:
    """Wait for one of the signals, at most so long; None when none came.

    Those that are not waited for stay pending.

    A process that was stopped and continued gets a number from `sigtimedwait` that no
    signal has (seen with CPython 3.11); that is no signal either.
    """
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        received = signal.sigtimedwait(among, left)
        if received is None:
            return None
        if received.si_signo in among:
            return signal.Signals(received.si_signo)
    return None
