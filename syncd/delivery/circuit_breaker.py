"""The circuit breaker: the endpoint's state, one row for all instances.

It survives restarts. After trouble a claim probes the endpoint alone, whatever the
number of instances and workers (see the statement `claim`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from syncd.core.settlement import RECENT_ORDERS
from syncd.postgres.database import Database
from syncd.postgres.statements import query


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """How the endpoint took orders lately: the fields of `EndpointHistory`."""

    failures: int
    refusals: int
    accepted_at: datetime | None
    recent_accepted: float
    recent_rejected: float


class CircuitBreaker:
    """The state of a feed's endpoint, and whether to back off from it."""

    def __init__(self, database: Database, feed_id: int) -> None:
        self._database = database
        self._feed_id = feed_id

    def back_off(
        self,
        state: Literal["backing_off", "held"],
        wait: timedelta,
        reason: str,
        *,
        suspect: int | None = None,
    ) -> None:
        """Leave the endpoint alone for a while; then probe it.

        Held, it is probed with the batch that was refused longest ago; `suspect` is the
        number of the one whose refusal led to the hold.
        """
        self._database.run(
            query("endpoint_failed"),
            feed=self._feed_id,
            state=state,
            wait=wait,
            reason=reason,
            suspect=suspect,
        )

    def await_explanation(self, shape: str, reason: str, batch: int) -> None:
        """Send nothing until an operator decides what an answer of this shape means."""
        self._database.run(
            query("answer_unknown"),
            feed=self._feed_id,
            shape=shape,
            reason=reason,
            batch=batch,
        )

    def record(self) -> EndpointRecord:
        """Return how the endpoint took orders lately."""
        return self._database.row(
            EndpointRecord, query("endpoint_history"), feed=self._feed_id
        )

    def count_refusals(self, refusals: int) -> EndpointRecord:
        """Count refusals; return how the endpoint took orders lately."""
        return self._database.row(
            EndpointRecord,
            query("endpoint_refused"),
            feed=self._feed_id,
            refusals=refusals,
        )

    def count_rejected(self) -> None:
        """Count an order that was rejected while others were accepted."""
        self._database.run(
            query("endpoint_blamed"), feed=self._feed_id, recent=RECENT_ORDERS
        )

    def note_spike(self) -> bool:
        """Note that too many orders were rejected; False when that is known."""
        return self._database.run(query("rejections_spiked"), feed=self._feed_id) > 0

    def end_probe(self) -> None:
        """Make another batch probe the endpoint: this one sent nothing."""
        self._database.run(query("end_probe"), feed=self._feed_id)

    def release(self) -> bool:
        """Try the endpoint again at once; False when it was not left alone."""
        return self._database.run(query("release_endpoint"), feed=self._feed_id) > 0
