"""Pauses: a person stops sending or capture, for every instance, until it is lifted.

They are in rows that claims and admissions read anyway, so no instance can send or
capture against them, and they cost no further statement.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from syncd.core.health_inputs import Pause
from syncd.postgres.database import Database
from syncd.postgres.statements import query

What = Literal["sending", "capture"]


@dataclass(frozen=True, slots=True)
class _Paused:
    paused_at: datetime
    paused_reason: str | None
    begins: bool


class PauseStore:
    """The pauses of one feed."""

    def __init__(self, database: Database, feed_id: int) -> None:
        self._database = database
        self._feed_id = feed_id

    def begin(self, what: What, why: str | None) -> tuple[Pause, bool]:
        """Pause; an existing pause stays, with the new reason if there is one.

        Waits for an admission that is under way, so that none is when this returns.

        Returns:
            The pause, and whether it begins only now.
        """
        sending = what == "sending"
        pausing = query("pause_sending") if sending else query("pause_capture")
        paused = self._database.row(_Paused, pausing, feed=self._feed_id, reason=why)
        return Pause(what, paused.paused_at, paused.paused_reason), paused.begins

    def end(self, what: What) -> datetime | None:
        """Lift a pause; return since when it was on, None when it was not."""
        sending = what == "sending"
        lifting = query("resume_sending") if sending else query("resume_capture")
        return self._database.find_value(datetime, lifting, feed=self._feed_id)
