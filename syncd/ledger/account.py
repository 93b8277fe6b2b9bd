"""What is known of an account: which form of body it takes, and whether lists.

It is kept for the feed, as long as account and endpoint stay the same.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from syncd.config.settings import Settings
from syncd.postgres.database import Database, query

Body = Literal["events", "single"]


@dataclass(frozen=True, slots=True)
class AccountCapabilities:
    """What is known of an account; without `accepts_lists` only a person can say."""

    body: Body
    accepts_lists: bool | None
    said_by: Literal["answer", "person"]
    at: datetime | None = None


def save(database: Database, settings: Settings, verified: AccountCapabilities) -> None:
    """Store what was found, in place of what was known before."""
    database.run(
        query("keep_verification"),
        feed=settings.feed,
        account=settings.squeezely.account,
        endpoint=settings.squeezely.endpoint,
        body=verified.body,
        accepts_lists=verified.accepts_lists,
        said_by=verified.said_by,
    )


def load(database: Database, settings: Settings) -> AccountCapabilities | None:
    """Read what is known of the configured account at the configured endpoint."""
    rows = database.all(
        query("verification"),
        feed=settings.feed,
        account=settings.squeezely.account,
        endpoint=settings.squeezely.endpoint,
    )
    if not rows:
        return None
    body, accepts_lists, said_by, at = rows[0]
    return AccountCapabilities(
        cast("Body", body),
        cast("bool | None", accepts_lists),
        cast("Literal['answer', 'person']", said_by),
        cast("datetime", at),
    )


def is_proven(settings: Settings, verified: AccountCapabilities | None) -> bool:
    """Tell whether the configured form is known to be taken whole."""
    sends_lists = settings.squeezely.orders_per_batch > 1
    if verified is None or verified.body != settings.squeezely.body:
        return False
    return not sends_lists or verified.accepts_lists is True
