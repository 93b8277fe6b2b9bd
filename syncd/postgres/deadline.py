"""Connections that never wait for ever: every answer of PostgreSQL has a deadline.

The server's own time-outs do not help when the server is not there to keep them: a
pooler that hangs, a network that swallows packets but keeps the connection.
"""

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from typing_extensions import override

ANSWER_SECONDS = 45.0
"""For one answer: longer than the server's own limit for a statement."""

T = TypeVar("T")
Row = tuple[object, ...]


class DeadlineConnection(psycopg.Connection[Row]):
    """A connection that closes itself when an answer does not come in time."""

    answer_seconds = ANSWER_SECONDS

    @property
    def is_lost(self) -> bool:
        """Whether it is of no more use after it failed: it may not know that yet."""
        return self.broken or bool(self.pgconn.pipeline_status)

    @property
    def in_recovery(self) -> bool | None:
        """Whether the server is a standby, as it reported; None: it did not."""
        if self.closed:
            return None
        status = self.info.parameter_status("in_hot_standby")
        return None if status is None else status == "on"

    @override
    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """Wait for an answer as psycopg does, until the deadline.

        Raises:
            psycopg.OperationalError: It did not come; the connection is closed.
        """
        bounded = self._until(gen, time.monotonic() + self.answer_seconds)
        return super().wait(bounded, *args, **kwargs)

    def _until(
        self, gen: Generator[Any, Any, T], deadline: float
    ) -> Generator[Any, Any, T]:
        """Pass on what psycopg's own generator waits for, and look at the clock.

        psycopg resumes it whenever something arrives, and several times a second.
        """
        try:
            awaited = next(gen)
            while True:
                ready = yield awaited
                if not ready and time.monotonic() > deadline:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(
                        f"no answer for {self.answer_seconds:.0f} s"
                    )
                awaited = gen.send(ready)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # the generator's T
