"""Progress of a thread's work: what a watchdog is fed by.

Work calls `report_progress` at each step that may take long, anywhere in the code;
`watched` sets what that calls for a thread.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

STEP_SECONDS = 90.0
"""For one step: twice what PostgreSQL has for an answer, so that hosts can be tried."""

_move: ContextVar[Callable[[float | None], None]] = ContextVar(
    "move", default=lambda _: None
)


def report_progress(within: float | None = None) -> None:
    """Note that this thread's part has moved; does nothing outside of one.

    Args:
        within: Seconds that the next step may take; None: as long as any.
    """
    _move.get()(within)


@contextmanager
def watched(
    move: Callable[[float], None], step_seconds: float = STEP_SECONDS
) -> Iterator[None]:
    """Call `move` at each movement of this thread meanwhile.

    Args:
        move: Called with the seconds that the next step may take.
        step_seconds: The default of these seconds.
    """
    token = _move.set(lambda within: move(step_seconds if within is None else within))
    try:
        yield
    finally:
        _move.reset(token)
