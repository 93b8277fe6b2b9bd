"""Progress of a thread, as reported to a watchdog."""

from syncd.core.progress import STEP_SECONDS, report_progress, watched


def test_each_report_sets_the_time_of_the_next_step() -> None:
    """Without an argument it is the default."""
    moves: list[float] = []
    with watched(moves.append):
        report_progress()
        report_progress(600)
    with watched(moves.append, 5):
        report_progress()
    assert moves == [STEP_SECONDS, 600, 5]


def test_outside_a_watched_thread_nothing_is_reported() -> None:
    """Nothing is reported before or after the thread's work."""
    moves: list[float] = []
    with watched(moves.append):
        pass
    report_progress()
    assert moves == []
