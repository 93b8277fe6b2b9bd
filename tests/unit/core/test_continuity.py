from datetime import UTC, datetime, timedelta

import pytest

from syncd.core.continuity import LOSS_LIMIT, Continuity, Mark, continuity_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HERE = (7_000, 16_384)


def mark(number: int, seconds: float = 0, timeline: int = 1) -> Mark:
    return Mark(HERE, number, NOW + timedelta(seconds=seconds), timeline)


@pytest.mark.parametrize(
    ("remembered", "ledger", "timeline", "descent"),
    [
        (mark(5), mark(5), 1, Continuity.SAME),
        (mark(5), mark(9, 60), 1, Continuity.SAME),  # another daemon continued
        (mark(5), mark(5), 2, Continuity.PROMOTED),
        (mark(5), mark(9, 60), 2, Continuity.PROMOTED),
        (mark(6, 60), mark(5), 1, Continuity.REWOUND),
        (
            mark(6, 60),
            mark(5),
            2,
            Continuity.PROMOTED,
        ),  # the standby lacked the last one
        (
            mark(99, 601),
            mark(5),
            2,
            Continuity.REWOUND,
        ),  # it lacks more than that: a restore
        (mark(6, 60, 2), mark(6, 60, 2), 1, Continuity.REWOUND),
        (mark(6, 60, 2), mark(5, 0, 1), 2, Continuity.REWOUND),
        (Mark((7_001, 16_384), 5, NOW, 1), mark(5), 1, Continuity.REWOUND),
        (Mark((7_000, 16_385), 5, NOW, 1), mark(5), 1, Continuity.REWOUND),
        (None, mark(5), 1, Continuity.SAME),
    ],
)
def test_a_ledger_is_compared_with_its_recorded_mark(
    remembered: Mark | None, ledger: Mark, timeline: int, descent: Continuity
) -> None:
    """The mark, its time and the timeline are compared."""
    assert continuity_of(remembered, ledger, timeline, is_known_host=True) is descent


@pytest.mark.parametrize(
    ("timeline", "is_known_host", "descent"),
    [
        (1, False, Continuity.SAME),  # the daemon moved to another machine
        (2, True, Continuity.PROMOTED),
        (2, False, Continuity.UNKNOWN_HOST),
    ],
)
def test_without_a_mark_a_promotion_on_an_unknown_host_is_suspicious(
    timeline: int,
    is_known_host: bool,  # noqa: FBT001  # a column of the table
    descent: Continuity,
) -> None:
    """It may be a failover, or a clone for staging."""
    assert (
        continuity_of(None, mark(5), timeline, is_known_host=is_known_host) is descent
    )


def test_the_limit_is_the_lag_that_a_standby_may_have() -> None:
    """A lag of exactly the limit is allowed."""
    late = Mark(HERE, 9, NOW + LOSS_LIMIT, 1)
    assert continuity_of(late, mark(5), 2, is_known_host=True) is Continuity.PROMOTED
