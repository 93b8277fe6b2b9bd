from syncd.core.cross_check import FOLLOWED_SECONDS, MOST_FOLLOWED, CrossCheck


def test_what_only_the_poll_found_is_told_once_the_patience_ends() -> None:
    """Once, and not before."""
    cross_check = CrossCheck(10)
    cross_check.found(["1", "2"], 100)
    assert cross_check.overdue(110) == []
    assert cross_check.overdue(111) == ["1", "2"]
    assert cross_check.overdue(200) == []


def test_what_the_follower_hears_of_is_no_doubt() -> None:
    """Whether it hears of it after the poll or had heard of it before."""
    cross_check = CrossCheck(10)
    cross_check.followed(["1"], 99)
    cross_check.found(["1", "2"], 100)
    cross_check.followed(["2"], 105)
    assert cross_check.overdue(200) == []


def test_what_was_heard_long_ago_counts_no_more() -> None:
    """So that memory does not grow, and a later confirmation is looked at anew."""
    cross_check = CrossCheck(10)
    cross_check.followed(["1"], 0)
    cross_check.found(["1"], FOLLOWED_SECONDS)
    assert cross_check.overdue(FOLLOWED_SECONDS + 12) == ["1"]


def test_of_very_many_that_were_heard_of_the_latest_are_remembered() -> None:
    """A transaction of a million orders is not held in memory."""
    cross_check = CrossCheck(10)
    cross_check.followed(map(str, range(MOST_FOLLOWED)), 100)
    cross_check.found(["0"], 100)
    assert cross_check.overdue(200) == []
    cross_check.followed([str(MOST_FOLLOWED)], 100)
    half = MOST_FOLLOWED // 2
    cross_check.found(["0", str(half), str(half + 1), str(MOST_FOLLOWED)], 100)
    assert cross_check.overdue(200) == ["0", str(half)]
