"""What is known of an account: which payload it accepts, and whether lists.

It is kept for the feed, as long as account and endpoint stay the same.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from syncd.config.settings import Settings
from syncd.postgres.database import Database
from syncd.postgres.statements import query

Payload = Literal["events", "single"]


@dataclass(frozen=True, slots=True)
class AccountCapabilities:
    """What is known of an account; without `accepts_lists` it is unverified."""

    payload: Payload
    accepts_lists: bool | None
    evidence: Literal["answer", "person"]
    at: datetime | None = None


def save(database: Database, settings: Settings, verified: AccountCapabilities) -> None:
    """Store what was found, in place of what was known before."""
    database.run(
        query("keep_verification"),
        feed=settings.feed,
        account=settings.squeezely.account,
        endpoint=settings.squeezely.endpoint,
        payload=verified.payload,
        accepts_lists=verified.accepts_lists,
        evidence=verified.evidence,
    )


def load(database: Database, settings: Settings) -> AccountCapabilities | None:
    """Read what is known of the configured account at the configured endpoint."""
    return database.find(
        AccountCapabilities,
        query("verification"),
        feed=settings.feed,
        account=settings.squeezely.account,
        endpoint=settings.squeezely.endpoint,
    )


def is_proven(settings: Settings, verified: AccountCapabilities | None) -> bool:
    """Return whether the configured form is known to be taken whole."""
    sends_lists = settings.squeezely.orders_per_batch > 1
    if verified is None or verified.payload != settings.squeezely.payload:
        return False
    return not sends_lists or verified.accepts_lists is True
