"""Clocks that a test sets, for code that measures elapsed time."""

import time
from collections.abc import Callable


class Clock:
    """A clock that follows a real one and can be set forward or back."""

    def __init__(self, real: Callable[[], float] = time.monotonic) -> None:
        self._real = real
        self._ahead = 0.0

    def __call__(self) -> float:
        return self._real() + self._ahead

    def advance(self, seconds: float) -> None:
        """Move the clock by some seconds; negative values set it back."""
        self._ahead += seconds
