"""What wakes the workers when capture has found something."""

import threading


class Bell:
    """Wakes sleeping workers; a ring between two looks is never lost."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self.rings = 0

    def ring(self) -> None:
        """Wake everybody."""
        with self._condition:
            self.rings += 1
            self._condition.notify_all()

    def wait(self, heard: int, seconds: float) -> None:
        """Sleep until a ring after the `heard`th, or for `seconds`."""
        with self._condition:
            self._condition.wait_for(lambda: self.rings != heard, seconds)
