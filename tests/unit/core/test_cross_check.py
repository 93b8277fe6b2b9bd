from syncd.core.cross_check import HEARD_SECONDS, MOST_HEARD, CrossCheck


def test_what_only_the_poll_found_is_told_once_the_patience_ends() -> None:
    """Once, and not before."""
    doubt = CrossCheck(10)
    doubt.found(["1", "2"], 100)
    assert doubt.overdue(110) == []
    assert doubt.overdue(111) == ["1", "2"]
    assert doubt.overdue(200) == []


def test_what_the_follower_hears_of_is_no_doubt() -> None:
    """Whether it hears of it after the poll or had heard of it before."""
    doubt = CrossCheck(10)
    doubt.heard(["1"], 99)
    doubt.found(["1", "2"], 100)
    doubt.heard(["2"], 105)
    assert doubt.overdue(200) == []


def test_what_was_heard_long_ago_counts_no_more() -> None:
    """So that memory does not grow, and a later confirmation is looked at anew."""
    doubt = CrossCheck(10)
    doubt.heard(["1"], 0)
    doubt.found(["1"], HEARD_SECONDS)
    assert doubt.overdue(HEARD_SECONDS + 12) == ["1"]


def test_of_very_many_that_were_heard_of_the_latest_are_remembered() -> None:
    """A transaction of a million orders is not held in memory."""
    doubt = CrossCheck(10)
    doubt.heard(map(str, range(MOST_HEARD)), 100)
    doubt.found(["0"], 100)
    assert doubt.overdue(200) == []
    doubt.heard([str(MOST_HEARD)], 100)
    half = MOST_HEARD // 2
    doubt.found(["0", str(half), str(half + 1), str(MOST_HEARD)], 100)
    assert doubt.overdue(200) == ["0", str(half)]
