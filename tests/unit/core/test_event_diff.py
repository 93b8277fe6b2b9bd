"""Differences between two events, and between an event and a fingerprint."""

from collections.abc import Mapping
from decimal import Decimal
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.event_diff import (
    FieldPath,
    FingerprintKey,
    against_fingerprints,
    compare,
    pack,
    places,
    unpack,
)

MUG = {"id": "MUG", "quantity": 2, "price": Decimal("12.50")}
TEA = {"id": "TEA", "quantity": 1}
EVENT = {"event": "Purchase", "email": "mila@example.com", "products": [MUG, TEA]}
SEAL = FingerprintKey.of("secret")


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    changes = compare(places(before), places(after))
    return [f"{c.kind} {c.place.field} {c.place.product}".strip() for c in changes]


CASES = [
    (EVENT, []),
    (EVENT | {"email": "x@example.com"}, ["changed email"]),
    (EVENT | {"country": "NL"}, ["added country"]),
    ({"event": "Purchase", "products": [MUG, TEA]}, ["removed email"]),
    (EVENT | {"products": [TEA, MUG]}, []),
    (EVENT | {"products": [TEA]}, ["removed products MUG"]),
    (EVENT | {"products": [MUG, TEA, {**TEA, "id": "X"}]}, ["added products X"]),
    (
        EVENT | {"products": [{**MUG, "price": 12}, TEA]},
        ["changed products.price MUG"],
    ),
    (
        EVENT | {"products": [{**MUG, "name": "Mug"}, TEA]},
        ["added products.name MUG"],
    ),
    (EVENT | {"products": [MUG, TEA, TEA]}, ["added products TEA#2"]),
    (EVENT | {"email": 7}, ["changed email"]),
    (EVENT | {"email": 7, "country": "NL"}, ["added country", "changed email"]),
    (EVENT | {"products": [TEA], "zip": 1}, ["removed products MUG", "added zip"]),
    (
        EVENT | {"products": [MUG, TEA, *({**TEA, "id": name} for name in "DACB")]},
        [f"added products {name}" for name in "ABCD"],
    ),
]


@pytest.mark.parametrize(("after", "expected"), CASES)
def test_events_are_compared_field_by_field(
    after: dict[str, object], expected: list[str]
) -> None:
    """Products by id, in any order; an added or removed line is one change."""
    assert differences(EVENT, after) == expected


@pytest.mark.parametrize(("after", "expected"), CASES)
def test_a_fingerprint_shows_the_same_differences_without_values(
    after: dict[str, object], expected: list[str]
) -> None:
    """Only the product of a removed line is unknown."""
    sent = unpack(pack(SEAL.take("7", places(EVENT))))
    changes = against_fingerprints(SEAL, "7", sent, places(after))
    found = [f"{c.kind} {c.place.field} {c.place.product}".strip() for c in changes]
    gone = [
        text.replace("removed products MUG", "removed products ?") for text in expected
    ]
    assert found == gone
    assert all(change.before is None for change in changes)
    values = places(after)
    assert [change.after for change in changes] == [
        values.get(change.place) for change in changes
    ]


def test_a_change_has_both_values() -> None:
    """A change has the old and the new value."""
    (change,) = compare(places(EVENT), places(EVENT | {"email": "x@example.com"}))
    assert (change.before, change.after) == ("mila@example.com", "x@example.com")
    added, removed = compare({FieldPath("zip"): 7}, {FieldPath("city"): 8})
    assert (added.before, added.after) == (None, 8)
    assert (removed.before, removed.after) == (7, None)


def test_an_event_is_split_into_field_paths() -> None:
    """A line is its product's id; each of its other fields has a path of its own."""
    assert places({"products": [{"id": 7, "quantity": 2}]}) == {
        FieldPath("products", "7"): "7",
        FieldPath("products.quantity", "7"): 2,
    }


@pytest.mark.parametrize(("one", "other"), [("12", 12), (Decimal(12), "12")])
def test_a_number_differs_from_its_text(one: object, other: object) -> None:
    """Squeezely reads them differently."""
    assert differences({"custom_x": one}, {"custom_x": other}) == ["changed custom_x"]
    sent = SEAL.take("7", {FieldPath("custom_x"): one})
    assert against_fingerprints(SEAL, "7", sent, {FieldPath("custom_x"): other})


def test_fingerprints_are_stable() -> None:
    """The ledger has those of orders that earlier versions sent."""
    assert SEAL.take("7", {FieldPath("a"): "x"}) == {FieldPath("a"): "5906f2bf"}
    assert SEAL.key_id == b"t\xa8G1"


def test_a_fingerprint_reveals_nothing() -> None:
    """It cannot be made without the key; equal values of two orders differ."""
    found = places(EVENT)
    prints = [
        set(pack(SEAL.take("7", found)).values()),
        set(pack(SEAL.take("8", found)).values()),
        set(pack(FingerprintKey.of("rotated").take("7", found)).values()),
    ]
    assert not any(one & other for one, other in combinations(prints, 2))
    assert len({len(text) for one in prints for text in one}) == 1
    assert "MUG" not in str(pack(SEAL.take("7", found)))
    assert SEAL.cover("7", "MUG") != SEAL.cover("8", "MUG")
    same = dict.fromkeys(map(FieldPath, "aab", ("", "MUG", "")), "x")
    assert len(set(SEAL.take("7", same).values())) == len(same)
    assert SEAL.key_id != FingerprintKey.of("rotated").key_id
    assert SEAL.key_id == FingerprintKey.of("secret").key_id


@given(
    st.dictionaries(
        st.tuples(st.text(), st.sampled_from(["", "0a1b2c3d", "ffffffff"])), st.text()
    )
)
def test_packed_fingerprints_are_unpacked_unchanged(
    prints: dict[tuple[str, str], str],
) -> None:
    """This holds for any name of a custom field."""
    prints |= {("custom_a/b", "0a1b2c3d"): "with a slash"}
    taken = {FieldPath(*place): text for place, text in prints.items()}
    assert unpack(pack(taken)) == taken
