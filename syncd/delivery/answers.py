"""What undocumented answers mean: the operator decides it once.

An answer is known by its shape, for one account at one endpoint (`syncd.answer`).
"""

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from syncd.config.settings import Settings
from syncd.core.errors import SyncdError
from syncd.core.redaction import Redactor
from syncd.core.response import Classification, Meaning, NoResponse, Response, explained
from syncd.core.response_shape import shape_of
from syncd.postgres.database import Database
from syncd.postgres.statements import query


class UnexplainedAnswer(NamedTuple):
    """The shape of unknown answers, and one of them."""

    shape: str
    example: str
    seen_at: datetime


class Answers:
    """The answers of the configured account."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._account = {
            "feed": settings.feed,
            "account": settings.squeezely.account,
            "endpoint": settings.squeezely.endpoint,
        }

    def explain(
        self,
        read: Classification,
        answer: Response | NoResponse,
        sent: int,
        redactor: Redactor,
    ) -> tuple[Classification, str | None]:
        """Return what an answer means, without personal data, by the decisions made.

        While the ledger cannot be read, no meaning is known: the answer was
        read, and is settled as the unknown one that it is.

        Returns:
            The classification, and the shape of an unknown answer.
        """
        read = replace(read, reason=redactor.redact(read.reason))
        if not read.is_unknown or not isinstance(answer, Response):
            return read, None
        shape = shape_of(answer, sent, redactor.over_numbers)
        try:
            meaning = self.meaning(shape)
        except SyncdError:
            meaning = None
        return explained(read, meaning), None if meaning else shape

    def meaning(self, shape: str) -> Meaning | None:
        """Return the meaning that the operator gave a shape; None without one."""
        means = self._database.find_value(
            str, query("answer_means"), shape=shape, **self._account
        )
        return Meaning(means) if means else None

    def apply_meaning(self, shape: str, feed_id: int) -> None:
        """Settle what has just begun to wait, if its meaning was given meanwhile."""
        if meaning := self.meaning(shape):
            self.record_meaning(shape, meaning, feed_id)

    def note(self, shape: str, example: str) -> None:
        """Keep the shape of an unknown answer, with the API's words."""
        self._database.run(
            query("note_answer"), shape=shape, example=example, **self._account
        )

    def unexplained(self) -> list[UnexplainedAnswer]:
        """Return the shapes of unknown answers, each with an example."""
        return self._database.rows(
            UnexplainedAnswer, query("unexplained_answers"), **self._account
        )

    def record_meaning(
        self, shape: str, meaning: Meaning, feed_id: int | None
    ) -> tuple[int, int]:
        """Keep what a noted shape means; settle the batches that wait for it.

        Returns:
            Orders that are delivered by that, and orders that are pending again.
        """
        with self._database.transaction():
            self._database.run(
                query("answer_explained"),
                shape=shape,
                means=meaning.value,
                **self._account,
            )
            if feed_id is None:
                return 0, 0
            asked = {"feed": feed_id, "shape": shape}
            taken = meaning is Meaning.SUCCESS
            settle = query("deliver_explained") if taken else query("send_explained")
            orders = self._database.value(int, settle, **asked)
            self._database.run(query("release_explained"), **asked)
        return (orders, 0) if taken else (0, orders)
