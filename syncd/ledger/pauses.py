"""Pauses: a person stops sending or capture, for every instance, until it is lifted.

They stand where claims and admissions look anyway, so nobody can send or capture
against them, and nobody asks the database once more because of them.
"""

from datetime import datetime
from typing import Literal, cast

from syncd.core.errors import PausedError
from syncd.core.health_inputs import Pause
from syncd.postgres.database import Database
from syncd.postgres.statements import query

What = Literal["sending", "capture"]


class PauseStore:
    """The pauses of one feed."""

    def __init__(self, database: Database, feed_id: int) -> None:
        self._database = database
        self._feed_id = feed_id

    def begin(self, what: What, why: str | None) -> tuple[Pause, bool]:
        """Pause; one that is on goes on, with the new reason if there is one.

        Waits for an admission that is under way, so that none is when this returns.

        Returns:
            The pause, and whether it begins only now.
        """
        sending = what == "sending"
        pausing = query("pause_sending") if sending else query("pause_capture")
        row = self._database.one(pausing, feed=self._feed_id, reason=why)
        since, told, began = row
        pause = Pause(what, cast("datetime", since), cast("str | None", told))
        return pause, cast("bool", began)

    def end(self, what: What) -> datetime | None:
        """Lift a pause; tell since when it was on, None when it was not."""
        sending = what == "sending"
        lifting = query("resume_sending") if sending else query("resume_capture")
        rows = self._database.all(lifting, feed=self._feed_id)
        return cast("datetime", rows[0][0]) if rows else None


def refuse_paused(what: str, since: datetime | None, why: str | None) -> None:
    """Refuse what is paused.

    Raises:
        PausedError: It is, since then.
    """
    if since is not None:
        raise PausedError(what, since, why)
