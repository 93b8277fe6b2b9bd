"""Constants of captures and of comparisons that are no settings: intervals, sizes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

HELD_SECONDS = 60.0
"""Age from which a window that cannot be closed is worth a line."""


@dataclass(frozen=True, slots=True)
class PollTuning:
    """Constants of a poll that are no settings.

    Attributes:
        page: Orders that are read at once; a bad plan takes the square of their time.
        deep_seconds: A poll begins `lookback` earlier, for older stamps.
        whole_seconds: The whole open window is read, for what was prepared and then
            committed.
        turn_seconds: Remaining pages are read for so long, before the poll reads
            for new orders again.
        held_seconds: From this age on, a window that cannot be closed is worth a line.
        step: Between two windows; None: derived from `lookback`.
        clock: Of any beginning.
    """

    page: int = 1_000
    deep_seconds: float = 30.0
    whole_seconds: float = 600.0
    turn_seconds: float = 0.5
    held_seconds: float = HELD_SECONDS
    step: timedelta | None = None
    clock: Callable[[], float] = time.monotonic

    def step_of(self, lookback: timedelta) -> timedelta:
        """Return how long after a window the next one is opened."""
        usual = max(timedelta(seconds=1), min(lookback / 60, timedelta(seconds=5)))
        return usual if self.step is None else self.step


@dataclass(frozen=True, slots=True)
class StampTuning:
    """Constants of the comparison of orders' stamps.

    Attributes:
        check_seconds: How often to ask whether one is due.
        compare_seconds: How often the newest orders are compared, at most.
        rest: After a comparison that took longer, so many times as long passes before
            the next.
        clock: Of any beginning.
    """

    check_seconds: float = 5.0
    compare_seconds: float = 20.0
    rest: int = 50
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class WalTuning:
    """Constants of the capture from the WAL that are no settings.

    Attributes:
        page: Orders that are admitted in one transaction, at most.
        most_keys: Keys that are held while their transactions are not visible; then
            reading waits.
        note_seconds: How often the position is moved while no order comes.
        hidden_seconds: From when on commits that stay invisible are worth a line.
        guard_seconds: How often slot, server and publication are checked while they
            are used.
        at_risk_share: Share of the WAL that a slot may keep, from which it is worth a
            line.
        status_seconds: How often server and client exchange a status when there is
            nothing to acknowledge.
        silence_seconds: How long the server may be silent before the connection counts
            as dead.
    """

    page: int = 1000
    most_keys: int = 100_000
    note_seconds: float = 10.0
    hidden_seconds: float = 60.0
    guard_seconds: float = 60.0
    at_risk_share: float = 0.5
    status_seconds: float = 10.0
    silence_seconds: float = 300.0


DEFAULTS = PollTuning()
WAL = WalTuning()
STAMPS = StampTuning()
