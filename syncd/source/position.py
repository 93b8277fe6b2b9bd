"""How far a range of confirmed orders was read."""

from dataclasses import dataclass
from datetime import datetime, timedelta

INSTANT = timedelta(microseconds=1)
"""The least distance of two times of PostgreSQL's."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a range was read: up to `at`, included.

    Attributes:
        key: Of the orders stamped `at`, only those up to this key; None: all of them.
    """

    at: datetime
    key: str | None = None

    @classmethod
    def after(cls, passed: datetime, key: str | None) -> "Position":
        """Return the position of which `passed` and `key` are kept."""
        return cls(passed) if key is None else cls(passed + INSTANT, key)

    @property
    def passed(self) -> datetime:
        """Up to when, included, every order was read."""
        return self.at if self.key is None else self.at - INSTANT


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a page holds: the orders of a range, or some of those of one instant.

    Attributes:
        lower: Excluded.
        end: Included.
        after: Of the orders of one instant, the last key before them.
        is_tied: Whether it holds orders of one instant, by key.
    """

    lower: datetime
    end: Position
    after: str | None = None
    is_tied: bool = False
