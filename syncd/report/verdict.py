"""How a feed stands now, in one line, and what needs a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from syncd.pulse import Pulse, Reconciled
from syncd.report.plot import duration, number

LAG_LIMIT_SECONDS = 600.0
"""From which on an order, or the watermark, is late."""


@dataclass(frozen=True, slots=True)
class Need:
    """Something that needs a person, with the command that comes next."""

    told: str
    command: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a feed stands now."""

    needs: Sequence[Need]
    told: str

    @property
    def is_healthy(self) -> bool:
        """Whether nothing needs a person."""
        return not self.needs


def judge(pulse: Pulse, reconciled: Reconciled, lookback: timedelta) -> Verdict:
    """Judge as `syncd status` does, by what the ledger knows.

    Args:
        pulse: How the feed stands.
        reconciled: What the last accounts said.
        lookback: How far behind the clock the watermark is when all is well.
    """
    still = pulse.watermark_age_seconds - lookback.total_seconds()
    found = [
        (
            pulse.endpoint != "open",
            f"sending is {pulse.endpoint}: {pulse.endpoint_reason}",
            "syncd status",
        ),
        (
            pulse.lag_seconds >= LAG_LIMIT_SECONDS,
            f"the oldest order has waited {duration(pulse.lag_seconds)}",
            "syncd status",
        ),
        (
            still >= LAG_LIMIT_SECONDS,
            f"the watermark has stood still for {duration(still)}",
            "syncd status",
        ),
        (pulse.rejected, f"{_orders(pulse.rejected)} rejected", "syncd rejected list"),
        (
            pulse.held,
            f"{_orders(pulse.held)} held, since they may have arrived",
            "syncd uncertain list",
        ),
        (
            reconciled.unexplained,
            f"{_orders(reconciled.unexplained)} unexplained",
            "syncd reconcile",
        ),
    ]
    waiting = pulse.pending + pulse.sending + pulse.pending_backfill
    told = f"{_orders(waiting)} on the way" if waiting else "no order waits"
    return Verdict([Need(t, command) for holds, t, command in found if holds], told)


def _orders(count: int) -> str:
    return f"{number(count)} order{'' if count == 1 else 's'}"
