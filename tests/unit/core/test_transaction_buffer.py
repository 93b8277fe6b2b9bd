import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.transaction_buffer import ReadyKeys, Snapshot, TransactionBuffer

ALL = Snapshot(1000, frozenset())


def backlog(*transactions: tuple[int, str, int | None]) -> TransactionBuffer:
    """Hear of transactions: id, keys (a letter each), end."""
    made = TransactionBuffer()
    for xid, keys, end in transactions:
        made.begin(xid)
        for key in keys:
            made.touch(key)
        if end is not None:
            made.commit(end)
    return made


def test_a_snapshot_is_read_from_postgresqls_form() -> None:
    """With and without running transactions; ids hold their epoch."""
    assert Snapshot.parse("10:14:10,12") == Snapshot(14, frozenset({10, 12}))
    assert Snapshot.parse("10:10:") == Snapshot(10, frozenset())


@pytest.mark.parametrize(
    ("snapshot", "xid", "shown"),
    [
        ("10:14:10,12", 9, True),
        ("10:14:10,12", 10, False),
        ("10:14:10,12", 11, True),
        ("10:14:10,12", 14, False),
        (f"{2**32 + 2}:{2**32 + 5}:{2**32 + 2}", 1, True),
        (f"{2**32 + 2}:{2**32 + 5}:{2**32 + 2}", 2, False),
        (f"{2**32 + 2}:{2**32 + 5}:", 2**32 - 1, True),
        (f"{2**32 - 2}:{2**32 - 1}:", 3, False),
        (f"{2**32 - 2}:{2**32 - 1}:{2**32 - 2}", 2**32 - 2, False),
    ],
)
def test_a_transaction_is_visible_when_the_snapshot_has_it(
    snapshot: str, xid: int, *, shown: bool
) -> None:
    """Also where the 32 bits of the id have just begun anew, or are about to."""
    assert Snapshot.parse(snapshot).shows(xid) is shown


@given(st.integers(2**31, 2**40), st.integers(-(2**31) + 1, 2**31 - 1))
def test_every_id_near_a_snapshot_is_told_apart(upper: int, distance: int) -> None:
    """Whatever the epoch: those before it are visible, the others are not."""
    whole = upper + distance
    shown = Snapshot(upper, frozenset()).shows(whole % 2**32)
    assert shown is (whole < upper)


def test_keys_come_in_the_order_of_the_commits_each_once() -> None:
    """And the position is that behind the last of them."""
    heard = backlog((1, "ba", 10), (2, "ac", 20))
    assert len(heard) == 4
    assert heard.take(ALL, 10) == ReadyKeys(["b", "a", "c"], 20)
    assert heard.is_empty
    assert len(heard) == 0


def test_a_key_twice_in_a_transaction_is_held_once() -> None:
    """A million updates of one row are one key."""
    heard = backlog((1, "aaa", 10))
    assert len(heard) == 1


def test_the_position_waits_for_what_is_not_visible() -> None:
    """What is visible behind it is taken all the same."""
    heard = backlog((1, "a", 10), (2, "b", 20), (3, "c", 30))
    hides_two = Snapshot(1000, frozenset({2}))
    assert heard.hidden(hides_two) == 1
    assert heard.take(hides_two, 10) == ReadyKeys(["a", "c"], 10)
    assert heard.take(hides_two, 10) == ReadyKeys([], None)
    assert not heard.is_empty
    assert heard.take(ALL, 10) == ReadyKeys(["b"], 20)


def test_a_transaction_that_goes_on_is_taken_by_the_page() -> None:
    """The position moves only with its last key."""
    heard = backlog((1, "abc", None))
    assert heard.is_open
    assert heard.take(ALL, 2) == ReadyKeys(["a", "b"], None)
    heard.touch("d")
    assert heard.take(ALL, 2) == ReadyKeys(["c", "d"], None)
    assert not heard.is_empty
    heard.commit(10)
    assert heard.take(ALL, 2) == ReadyKeys([], 10)


def test_a_transaction_is_open_until_its_commit() -> None:
    """And nothing at all is not open."""
    assert [h.is_open for h in (backlog((1, "a", None)), backlog((1, "a", 9)))] == [
        True,
        False,
    ]
    assert not backlog().is_open


def test_a_page_ends_within_a_transaction() -> None:
    """What is left keeps its place."""
    heard = backlog((1, "a", 10), (2, "bc", 20))
    assert heard.take(ALL, 2) == ReadyKeys(["a", "b"], 10)
    assert heard.take(ALL, 2) == ReadyKeys(["c"], 20)


def test_an_empty_transaction_moves_the_position() -> None:
    """As older servers send them for tables that are not published."""
    assert backlog((1, "", 10)).take(Snapshot(1, frozenset()), 5) == ReadyKeys([], 10)


@given(
    st.lists(st.text("abcdef", max_size=4), max_size=6),
    st.lists(
        st.tuples(st.frozensets(st.integers(0, 5)), st.integers(1, 4)), max_size=8
    ),
)
def test_no_key_is_left_behind_by_the_position(
    transactions: list[str], looks: list[tuple[frozenset[int], int]]
) -> None:
    """Whatever is hidden when, in whichever pages: below the position all was taken."""
    heard = backlog(
        *((xid, keys, 10 * xid + 10) for xid, keys in enumerate(transactions))
    )
    taken: set[str] = set()
    for hidden, limit in [*looks, *[(frozenset[int](), 4)] * 7]:
        found = heard.take(Snapshot(1000, hidden), limit)
        assert len(found.keys) <= limit
        taken |= set(found.keys)
        for xid, keys in enumerate(transactions):
            if found.position and 10 * xid + 10 <= found.position:
                assert set(keys) <= taken
    assert heard.is_empty
    assert taken == set("".join(transactions))
