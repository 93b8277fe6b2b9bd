from syncd.core.cross_check import FOLLOWED_SECONDS, MOST_FOLLOWED, CrossCheck


def test_an_order_that_only_the_poll_found_is_reported_after_a_delay() -> None:
    """It is reported once, and not before."""
    cross_check = CrossCheck(10)
    cross_check.found(["1", "2"], 100)
    assert cross_check.overdue(110) == []
    assert cross_check.overdue(111) == ["1", "2"]
    assert cross_check.overdue(200) == []


def test_an_order_that_the_follower_received_is_not_reported() -> None:
    """It may have received it before the poll or afterwards."""
    cross_check = CrossCheck(10)
    cross_check.followed(["1"], 99)
    cross_check.found(["1", "2"], 100)
    cross_check.followed(["2"], 105)
    assert cross_check.overdue(200) == []


def test_old_receipts_expire() -> None:
    """So memory stays bounded, and a later confirmation is checked anew."""
    cross_check = CrossCheck(10)
    cross_check.followed(["1"], 0)
    cross_check.found(["1"], FOLLOWED_SECONDS)
    assert cross_check.overdue(FOLLOWED_SECONDS + 12) == ["1"]


def test_of_very_many_receipts_the_latest_are_kept() -> None:
    """A transaction of a million orders is not held in memory."""
    cross_check = CrossCheck(10)
    cross_check.followed(map(str, range(MOST_FOLLOWED)), 100)
    cross_check.found(["0"], 100)
    assert cross_check.overdue(200) == []
    cross_check.followed([str(MOST_FOLLOWED)], 100)
    half = MOST_FOLLOWED // 2
    cross_check.found(["0", str(half), str(half + 1), str(MOST_FOLLOWED)], 100)
    assert cross_check.overdue(200) == ["0", str(half)]
