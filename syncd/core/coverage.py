"""Which ranges of time syncd answers for: since the floor, and what was backfilled."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Confirmation times: `lower` excluded, `upper` included; never empty."""

    lower: datetime
    upper: datetime

    def __post_init__(self) -> None:
        if self.lower >= self.upper:
            raise ValueError("an empty span")


def merged(spans: Iterable[Span]) -> list[Span]:
    """Join spans that overlap or touch; in order, with gaps between."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and span.lower <= joined[-1].upper:
            last = joined.pop()
            span = Span(last.lower, max(last.upper, span.upper))  # noqa: PLW2901
        joined.append(span)
    return joined


def common(spans: Sequence[Span], asked: Span) -> list[Span]:
    """Give the parts of `asked` that merged `spans` cover; in order, may be empty."""
    cut = [
        (max(span.lower, asked.lower), min(span.upper, asked.upper)) for span in spans
    ]
    return [Span(lower, upper) for lower, upper in cut if lower < upper]


def gaps(spans: Sequence[Span], asked: Span) -> list[Span]:
    """Give the parts of `asked` that merged `spans` do not cover; in order."""
    inside = common(spans, asked)
    lowers = [asked.lower, *(span.upper for span in inside)]
    uppers = [*(span.lower for span in inside), asked.upper]
    return [
        Span(lower, upper)
        for lower, upper in zip(lowers, uppers, strict=True)
        if lower < upper
    ]
