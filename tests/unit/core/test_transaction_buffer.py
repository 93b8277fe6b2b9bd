import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.transaction_buffer import ReadyKeys, Snapshot, TransactionBuffer

ALL = Snapshot(1000, frozenset())


def filled_buffer(*transactions: tuple[int, str, int | None]) -> TransactionBuffer:
    """Receive transactions: id, keys (a letter each), end."""
    made = TransactionBuffer()
    for xid, keys, end in transactions:
        made.begin(xid)
        for key in keys:
            made.touch(key)
        if end is not None:
            made.commit(end)
    return made


def test_a_snapshot_is_read_from_postgresqls_form() -> None:
    """It may have running transactions; ids include their epoch."""
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
def test_a_transaction_is_visible_when_the_snapshot_includes_it(
    snapshot: str, xid: int, *, shown: bool
) -> None:
    """The 32-bit id may be just after or before a wraparound."""
    assert Snapshot.parse(snapshot).shows(xid) is shown


@given(st.integers(2**31, 2**40), st.integers(-(2**31) + 1, 2**31 - 1))
def test_every_id_near_a_snapshot_is_unambiguous(upper: int, distance: int) -> None:
    """In any epoch: those before it are visible, the others are not."""
    whole = upper + distance
    shown = Snapshot(upper, frozenset()).shows(whole % 2**32)
    assert shown is (whole < upper)


def test_keys_come_once_in_commit_order() -> None:
    """The position is that behind the last of them."""
    buffer = filled_buffer((1, "ba", 10), (2, "ac", 20))
    assert len(buffer) == 4
    assert buffer.take(ALL, 10) == ReadyKeys(["b", "a", "c"], 20)
    assert buffer.is_empty
    assert len(buffer) == 0


def test_a_key_twice_in_a_transaction_is_held_once() -> None:
    """A million updates of one row are one key."""
    buffer = filled_buffer((1, "aaa", 10))
    assert len(buffer) == 1


def test_the_position_waits_for_invisible_transactions() -> None:
    """Visible ones behind it are taken nevertheless."""
    buffer = filled_buffer((1, "a", 10), (2, "b", 20), (3, "c", 30))
    hides_two = Snapshot(1000, frozenset({2}))
    assert buffer.hidden(hides_two) == 1
    assert buffer.take(hides_two, 10) == ReadyKeys(["a", "c"], 10)
    assert buffer.take(hides_two, 10) == ReadyKeys([], None)
    assert not buffer.is_empty
    assert buffer.take(ALL, 10) == ReadyKeys(["b"], 20)


def test_an_unfinished_transaction_is_taken_in_pages() -> None:
    """The position moves only with its last key."""
    buffer = filled_buffer((1, "abc", None))
    assert buffer.is_open
    assert buffer.take(ALL, 2) == ReadyKeys(["a", "b"], None)
    buffer.touch("d")
    assert buffer.take(ALL, 2) == ReadyKeys(["c", "d"], None)
    assert not buffer.is_empty
    buffer.commit(10)
    assert buffer.take(ALL, 2) == ReadyKeys([], 10)


def test_a_transaction_is_open_until_its_commit() -> None:
    """An empty buffer is not open."""
    assert [
        h.is_open for h in (filled_buffer((1, "a", None)), filled_buffer((1, "a", 9)))
    ] == [
        True,
        False,
    ]
    assert not filled_buffer().is_open


def test_a_page_ends_within_a_transaction() -> None:
    """The remaining keys keep their place."""
    buffer = filled_buffer((1, "a", 10), (2, "bc", 20))
    assert buffer.take(ALL, 2) == ReadyKeys(["a", "b"], 10)
    assert buffer.take(ALL, 2) == ReadyKeys(["c"], 20)


def test_an_empty_transaction_moves_the_position() -> None:
    """Older servers send them for tables that are not published."""
    assert filled_buffer((1, "", 10)).take(Snapshot(1, frozenset()), 5) == ReadyKeys(
        [], 10
    )


@given(
    st.lists(st.text("abcdef", max_size=4), max_size=6),
    st.lists(
        st.tuples(st.frozensets(st.integers(0, 5)), st.integers(1, 4)), max_size=8
    ),
)
def test_the_position_passes_no_key_that_was_not_taken(
    transactions: list[str], reads: list[tuple[frozenset[int], int]]
) -> None:
    """Any transactions may be invisible at any time, and pages of any size."""
    buffer = filled_buffer(
        *((xid, keys, 10 * xid + 10) for xid, keys in enumerate(transactions))
    )
    taken: set[str] = set()
    for hidden, limit in [*reads, *[(frozenset[int](), 4)] * 7]:
        found = buffer.take(Snapshot(1000, hidden), limit)
        assert len(found.keys) <= limit
        taken |= set(found.keys)
        for xid, keys in enumerate(transactions):
            if found.position and 10 * xid + 10 <= found.position:
                assert set(keys) <= taken
    assert buffer.is_empty
    assert taken == set("".join(transactions))
