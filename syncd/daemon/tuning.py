"""Constants of a daemon that are no settings; the builder passes them on."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from syncd.capture import unreadable
from syncd.capture.tuning import PollTuning, StampTuning, WalTuning
from syncd.core import progress
from syncd.daemon.backfill_loop import BackfillLimits
from syncd.delivery.components import LEASE_MARGIN


@dataclass(frozen=True, slots=True)
class Tuning:
    """How often a daemon does what, and how much at a time.

    Attributes:
        unreadable_seconds: How often unreadable rows are read again.
        step_seconds: What a component's step may take by default.
        lease_margin: How much longer than its POST may take a claim is held.
        wall_clock: The machine's, which may be set.
    """

    poll: PollTuning = field(default_factory=PollTuning)
    wal: WalTuning = field(default_factory=WalTuning)
    unreadable_seconds: float = unreadable.AGAIN_SECONDS
    backfill: BackfillLimits = field(default_factory=BackfillLimits)
    step_seconds: float = progress.STEP_SECONDS
    stamps: StampTuning = field(default_factory=StampTuning)
    lease_margin: timedelta = LEASE_MARGIN
    wall_clock: Callable[[], float] = time.time


DEFAULTS = Tuning()
