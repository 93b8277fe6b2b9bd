"""Clocks that a test moves, for the parts that ask one how much time has passed."""

import time
from collections.abc import Callable


class Clock:
    """A clock that goes on as another does, and is set forward or back at will."""

    def __init__(self, real: Callable[[], float] = time.monotonic) -> None:
        self._real = real
        self._ahead = 0.0

    def __call__(self) -> float:
        return self._real() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let so much time pass at once; negative: set it back."""
        self._ahead += seconds
