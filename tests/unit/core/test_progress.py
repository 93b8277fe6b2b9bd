"""Progress of a thread, as a watchdog hears of it."""

from syncd.core.progress import STEP_SECONDS, report_progress, watched


def test_each_movement_tells_what_the_next_step_may_take() -> None:
    """As long as any, unless it is said."""
    moves: list[float] = []
    with watched(moves.append):
        report_progress()
        report_progress(600)
    with watched(moves.append, 5):
        report_progress()
    assert moves == [STEP_SECONDS, 600, 5]


def test_outside_of_a_watched_thread_nothing_moves() -> None:
    """Neither before nor afterwards."""
    moves: list[float] = []
    with watched(moves.append):
        pass
    report_progress()
    assert moves == []
