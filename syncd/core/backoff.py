"""How long to wait after a failure: exponential, capped, with full jitter."""

from datetime import timedelta

BASE = timedelta(seconds=1)
CAP = timedelta(minutes=5)


def delay(
    failures: int, unit: float, *, base: timedelta = BASE, cap: timedelta = CAP
) -> timedelta:
    """Draw the wait before the next try.

    Args:
        failures: Consecutive failures so far, at least 1.
        unit: A random number, 0 included, 1 excluded.
        base: Upper bound after the first failure; doubles with each further one.
        cap: Upper bound of all.
    """
    exponent = min(failures - 1, 32)
    return min(cap, base * (1 << exponent)) * unit
