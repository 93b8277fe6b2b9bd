"""Ranges of confirmation times."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """Confirmation times: `lower` excluded, `upper` included; never empty."""

    lower: datetime
    upper: datetime

    def __post_init__(self) -> None:
        if self.lower >= self.upper:
            raise ValueError("an empty span")
