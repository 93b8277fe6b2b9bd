"""Which order a key denotes, and which table a name denotes: the rules."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.identity import (
    Identity,
    Keys,
    Rule,
    Table,
    are_alike,
    are_elsewhere,
    are_most,
    are_newest,
    compare_keys,
    replaced,
    shared_number,
)
from syncd.core.known import FAR, KnownOrder, ListedOrder, is_another

NOW = datetime(2026, 11, 28, 12, 0, 0, 123456, UTC)
COARSE = NOW.replace(microsecond=0)


def order(key: str, *, number: str | None = None, **later: float) -> KnownOrder:
    return KnownOrder(key, NOW + timedelta(**later), number)


def listing(key: str, *, number: str | None = None, **later: float) -> ListedOrder:
    return ListedOrder(key, NOW + timedelta(**later), number)


@pytest.mark.parametrize(
    ("known", "listed", "another"),
    [
        (order("2"), listing("2"), False),
        (order("2"), listing("2", minutes=15), False),
        (order("2"), listing("2", minutes=15, seconds=1), True),
        (order("2"), listing("2", minutes=-16), True),
        (order("2"), listing("2", hours=1), False),  # a zone was corrected
        (order("2"), listing("2", hours=-15), False),
        (order("2"), listing("2", hours=16), True),
        (order("2"), listing("2", days=1), True),
        (order("2", number="A"), listing("2", number="A", seconds=3), False),
        (order("2", number="A"), listing("2", number="B", seconds=3), True),
        (order("2", number="A"), listing("2", number="B", hours=1), True),
        (order("2", number="A"), listing("2", number="A", days=3, seconds=1), True),
        (order("2", number="A"), listing("2", number="B"), False),  # written again
        (order("2", number="A"), listing("2", seconds=3), False),
    ],
)
def test_a_key_denotes_another_order_by_number_or_time(
    known: KnownOrder, listed: ListedOrder, *, another: bool
) -> None:
    """The number proves it; without one, a distant time that is no zone's offset."""
    assert is_another(known, listed) is another


def test_a_time_without_fractions_proves_nothing() -> None:
    """A date, or whole seconds: two orders may share them, and numbers then differ."""
    known = KnownOrder("2", COARSE, "A")
    assert is_another(known, ListedOrder("2", COARSE, "B"))
    assert not is_another(known, ListedOrder("2", COARSE, "A"))


@given(st.timedeltas(min_value=-FAR, max_value=FAR))
def test_a_small_shift_of_a_time_is_the_same_order(moved: timedelta) -> None:
    """This holds in both directions."""
    known = KnownOrder("2", NOW, "A")
    assert not is_another(known, ListedOrder("2", NOW + moved, "A"))


KNOWN = [order(str(n), number=f"W-{n}", seconds=10 * n) for n in range(10)]
SAME = {k.key: ListedOrder(k.key, k.confirmed_at, k.orderid) for k in KNOWN}
RENAMED = [ListedOrder(f"u{k.key}", k.confirmed_at) for k in KNOWN]


@pytest.mark.parametrize(
    ("known", "listed", "strangers", "alike", "keys"),
    [
        ([], {}, [], True, Keys.GONE),
        ([], {}, [], False, Keys.OTHER),  # the initial orders would all be new
        (KNOWN, SAME, [], True, Keys.SAME),
        (KNOWN, SAME, [], False, Keys.SAME),  # a number became a text
        (KNOWN, {}, RENAMED, True, Keys.OTHER),
        (KNOWN, {}, [], False, Keys.OTHER),
        (KNOWN, {}, [], True, Keys.GONE),
        (KNOWN, dict(list(SAME.items())[:6]), RENAMED[6:], True, Keys.OTHER),
        (KNOWN, dict(list(SAME.items())[:6]), RENAMED[9:], True, Keys.SAME),
        (KNOWN, dict(list(SAME.items())[:7]), RENAMED[9:], True, Keys.SAME),
        (KNOWN, dict(list(SAME.items())[:8]), RENAMED[9:], True, Keys.OTHER),
        ([order("2")], {}, [listing("x", seconds=1)], True, Keys.OTHER),
        ([order("2")], {}, [listing("x", seconds=1.1)], True, Keys.GONE),
        (KNOWN, {}, [listing("x", number="W-3", days=9)], True, Keys.GONE),
        (
            KNOWN,
            {},
            [listing(f"x{n}", number=f"W-{n}", days=9) for n in range(10)],
            True,
            Keys.OTHER,
        ),
    ],
)
def test_changed_views_are_judged_by_the_orders_that_they_list(
    known: list[KnownOrder],
    listed: dict[str, ListedOrder],
    strangers: list[ListedOrder],
    keys: Keys,
    *,
    alike: bool,
) -> None:
    """Known orders under their keys, under others, or not at all."""
    assert compare_keys(known, listed, strangers, is_alike=alike) is keys


def test_types_are_alike_if_their_values_have_the_same_text() -> None:
    """Numbers, and texts; never a number and a uuid."""
    assert are_alike("integer", "bigint")
    assert are_alike("uuid", "uuid")
    assert not are_alike("bigint", "uuid")
    assert not are_alike("bigint", "text")


def test_all_types_of_one_group_are_alike() -> None:
    """The order of the two types does not matter."""
    assert are_alike("numeric", "smallint")
    assert are_alike("citext", "character")


def identity(*tables: Table, digest: str = "a", key: str = "bigint") -> Identity:
    return Identity(key, [Rule(7, "syncd.purchases", digest)], list(tables))


ORDERS = Table(1, "public.orders", "orders")


def test_a_name_that_another_table_has_is_replaced_until_it_is_read() -> None:
    """Only renamed, read beside it, or unknown: none of these is."""
    known = identity(ORDERS)
    old = Table(1, "public.orders_old", "orders")
    names = {"public.orders": 2}
    (found,) = replaced(known, identity(old), names)
    assert (found.table, found.behind) == ("public.orders", "orders")
    assert list(replaced(known, identity(old), {})) == []
    assert list(replaced(known, known, {"public.orders": 1})) == []
    assert list(replaced(known, identity(old, Table(2, "x", "orders")), names)) == []
    assert list(replaced(known, identity(), names)) == []
    assert found.reason == (
        "public.orders is another table now (oid 2): the view of confirmed orders "
        "reads the one that had this name, which is public.orders_old now (oid 1)"
    )
    assert found.next_step == "create both views again"
    (same,) = replaced(known, known, names)
    assert same.reason == "public.orders is another table now"


def test_each_replaced_name_is_found_once() -> None:
    """Whatever precedes it, and however many views read it."""
    lines = Table(3, "public.lines", "events")
    known = identity(
        Table(9, "public.gone", "orders"),
        Table(8, "public.same", "orders"),
        ORDERS,
        Table(1, "public.orders", "events"),
        lines,
    )
    names = {"public.same": 8, "public.orders": 2, "public.lines": 4}
    found = [each.table for each in replaced(known, known, names)]
    assert found == ["public.orders", "public.lines"]


def test_a_followed_table_is_replaced_also_when_nothing_follows_it() -> None:
    """A dropped table loses its triggers; only the capture in use counts."""
    known = identity(Table(1, "public.orders", "triggers"))
    names = {"public.orders": 2}
    both = ("orders", "events", "triggers")
    (found,) = replaced(known, identity(), names, both)
    assert "no enabled trigger" in found.reason
    assert found.next_step == "`syncd install --listen public.orders:KEYCOLUMN`"
    assert list(replaced(known, identity(), names)) == []
    followed = identity(Table(2, "public.orders", "triggers"))
    assert list(replaced(known, followed, names, both)) == []


def test_a_change_of_the_views_is_described() -> None:
    """The key's type before the views' definitions; a dropped view has no name."""
    assert identity().changed(identity()) is None
    assert identity().changed(identity(digest="b")) == "syncd.purchases was replaced"
    assert identity().changed(Identity("bigint", [], [])) == "a view was replaced"
    both = [Rule(7, "syncd.purchases", "b"), Rule(8, "syncd.confirmed_orders", "b")]
    assert identity().changed(Identity("bigint", both, [])) == (
        "syncd.purchases and syncd.confirmed_orders were replaced"
    )
    change = identity().changed(identity(key="uuid", digest="b"))
    assert change == "order_key is uuid now, and was bigint"


def test_names_are_kept_as_first_seen_until_the_views_are_replaced() -> None:
    """A table renamed first and replaced later is found all the same."""
    followed = Table(3, "public.orders", "triggers")
    renamed = identity(Table(1, "public.orders_old", "orders"), followed)
    kept = identity(ORDERS).then(renamed)
    assert kept.tables == [ORDERS, followed]
    moved = Table(3, "public.orders_old", "triggers")
    assert kept.then(identity(ORDERS, moved)).tables == [ORDERS, followed]
    anew = identity(Table(2, "public.orders", "orders"), digest="b")
    assert kept.then(anew).tables == [*anew.tables, followed]
    assert kept.then(identity(key="uuid")).key_type == "uuid"


def test_most_known_orders_are_lost_from_three_and_a_half_on() -> None:
    """A smaller number may have been cancelled."""
    known = [order(str(n), seconds=n) for n in range(7)]
    assert not are_most(known, known[:3])
    assert are_most(known, known[:4])
    assert are_most(known[:6], known[:3])
    assert not are_most(known[:2], known[:2])
    assert are_most(known[:3], known[:3])


def test_lost_orders_are_elsewhere_if_others_have_exactly_their_times() -> None:
    """An order with a slightly different time is another one."""
    lost = [order(str(n), seconds=n) for n in range(4)]
    others = [listing(f"NL-{n}", seconds=n) for n in range(4)]
    assert are_elsewhere(lost, others)
    assert are_elsewhere(lost, others[:2])
    assert not are_elsewhere(lost, others[:1])
    assert not are_elsewhere(lost[:3], others[:1])
    assert not are_elsewhere(lost, [listing("9", milliseconds=1)] * 4)


def test_the_newest_orders_are_lost_whatever_comes_first() -> None:
    """The three newest by time count, in whichever order they were read."""
    known = [order(str(n), seconds=n) for n in (2, 0, 3, 1)]
    assert are_newest(known, [k for k in known if k.key != "0"])
    assert not are_newest(known, [k for k in known if k.key != "1"])
    assert not are_newest(known[:2], known)


def test_orders_with_one_number_are_named_for_a_day() -> None:
    """One of them is recent; orders without a receipt have no number."""
    old, new = order("7", number="A", days=-9), order("17", number="A")
    rest = [order("2", number="B"), order("3"), order("4")]
    text = "number A belongs to the orders 17 and 7"
    merged = ": Squeezely merges them into one purchase"
    assert shared_number([new, *rest, old], NOW - timedelta(days=1)) == text + merged
    assert shared_number([new, *rest, old], NOW) is None
    assert shared_number([old, *rest], old.confirmed_at - timedelta(days=1)) is None
    third = order("70", number="A")
    assert shared_number([new, old, third], NOW - timedelta(days=1)) == text + merged
    several = [new, *rest, old, order("5", number="B"), order("6", number="B")]
    assert shared_number(several, NOW - timedelta(days=1)) == (
        f"{text}, and 1 more number to several{merged}"
    )
