"""What the captures that follow changes have in common: `listen` and `wal`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from syncd.ledger.admission import Admitted, Capture


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step did: orders that were new, and the keys of all that were changed.

    Attributes:
        is_listening: Whether it has caught up, so that it should receive every change.
        seconds: How long the work took, without the wait for changes.
        without_time: Orders that would be new, but are confirmed at no usable time.
    """

    orders: int = 0
    keys: Sequence[str] = ()
    is_listening: bool = True
    seconds: float = 0.0
    without_time: int = 0

    @classmethod
    def of(cls, admitted: Admitted, seconds: float) -> "StepResult":
        """Return what taking orders out of the outbox came to."""
        return cls(
            admitted.orders,
            admitted.taken,
            seconds=seconds,
            without_time=admitted.without_time,
        )


class ChangeFollower(Protocol):
    """A capture that gets changed orders from their own transactions.

    Used by one thread. What a step leaves undone, the next one finds again: keys are
    given up only once the ledger has them.
    """

    @property
    def capture(self) -> Capture:
        """Its name in the ledger."""
        ...

    def step(self, seconds: float) -> StepResult:
        """Wait for changes, at most about `seconds`; write what is new to the ledger.

        Raises:
            SyncdError: The database failed; nothing was lost.
        """
        ...

    def close(self) -> None:
        """Close the connection."""
        ...
