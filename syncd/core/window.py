"""When a window of time is complete: after a grace period, as in RCU.

An order's `confirmed_at` is fixed before its transaction commits, so a window may
be closed only when nothing that ran at its upper end runs any more (ADR-0003).
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import NewType

Vxid = NewType("Vxid", str)
"""A running transaction (`pg_locks.virtualxid`); unique until the server restarts."""

Xid = NewType("Xid", str)
"""A prepared transaction (`pg_prepared_xacts.transaction`)."""


@dataclass(frozen=True, slots=True)
class Window:
    """The span from the watermark (excluded) up to `upper` (included), not yet closed.

    Attributes:
        upper: Where the watermark goes when the window closes; aware.
        running: Those that ran after `upper`'s clock was read, and still do.
        prepared: None until `running` was seen empty; then those that were prepared
            at that moment and still are. Reading them earlier loses orders: a running
            transaction may turn into a prepared one.
    """

    upper: datetime
    running: frozenset[Vxid]
    prepared: frozenset[Xid] | None = None

    @property
    def is_ready_for_prepared(self) -> bool:
        """Whether the prepared transactions may be read now."""
        return not self.running and self.prepared is None

    @property
    def is_closable(self) -> bool:
        """Whether every transaction that could still add to the window has ended."""
        return not self.running and self.prepared is not None and not self.prepared


def without_ended(window: Window, running: frozenset[Vxid]) -> Window:
    """Forget the transactions of `window` that are not among those `running` now."""
    return replace(window, running=window.running & running)


def with_prepared(window: Window, prepared: frozenset[Xid]) -> Window:
    """Take the prepared transactions of now: all at first, later what is left.

    Changes nothing while some of the window still run: that reading is too early.
    """
    if window.running:
        return window
    still = prepared if window.prepared is None else window.prepared & prepared
    return replace(window, prepared=still)
