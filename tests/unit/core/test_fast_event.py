"""Plain rows are rendered fast, and never differently from `core.purchase`."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.event import (
    OWN_FIELDS,
    PRODUCT_FIELDS,
    Event,
    EventRules,
    render,
    without_profile,
)
from syncd.core.event_text import TEXT_FIELDS
from syncd.core.fast_event import FastRenderer

CUSTOM = ["custom_gift", "custom_points"]
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
AT = datetime(2026, 11, 20, 13, 3, 7, 123456, tzinfo=UTC)
DECODER = msgspec.json.Decoder(dict[str, object], float_hook=Decimal)
LINE = {"id": "MUG-1", "name": "Mug", "quantity": 2, "price": 12.5}
ROW: dict[str, Any] = {
    "order_key": 17,
    "orderid": "W-17",
    "email": "mila@example.com",
    "currency": "EUR",
    "totalvalue": 25,
    "products": [LINE],
}


def render_both(
    text: str, rules: EventRules | None = None, *, with_profile: bool = True
) -> tuple[Event | None, object]:
    """Render an event in the fast way and in the full one."""
    rules = rules or EventRules(zone=ZoneInfo("Europe/Amsterdam"))
    row = DECODER.decode(text)
    plain = FastRenderer(row.keys(), rules, with_profile=with_profile)
    row = row if with_profile else without_profile(row)
    return plain.purchase(text, AT, NOW), render(row, AT, rules, NOW)


numbers = st.one_of(
    st.integers(-3, 2000),
    st.integers(-(10**20), 10**20),
    st.decimals(-10, 10**7, places=2),
    st.decimals(-10, 2 * 10**12, places=4),
    st.floats(allow_nan=False, allow_infinity=False),
).map(lambda number: float(number) if isinstance(number, Decimal) else number)
texts = st.one_of(
    st.sampled_from(["", " ", "NL", "nl", "nl-NL", "EUR", "Zoë", "yes", "no", "M"]),
    st.sampled_from(["a@b.nl", "A" * 64, "f" * 64, "1980-12-31", "tab\there", '"']),
    st.sampled_from(
        ["2026-11-20T14:03:07+01:00", "2026-11-20", "x" * 1000, "x" * 1001]
    ),
    st.text(max_size=8),
)
values = st.one_of(st.none(), st.booleans(), texts, numbers, st.just([]), st.just({}))
lines = st.dictionaries(
    st.sampled_from([*sorted(PRODUCT_FIELDS), "sku"]),
    st.one_of(values, st.lists(texts, max_size=2)),
    max_size=6,
).flatmap(lambda given: st.sampled_from([LINE, LINE | given, given]))
rows = st.builds(
    lambda given, products, base: {**base, **given, "products": products},
    st.dictionaries(
        st.sampled_from([*sorted(TEXT_FIELDS | OWN_FIELDS - {"products"}), *CUSTOM]),
        values,
        max_size=6,
    ),
    st.one_of(st.lists(lines, max_size=3), values),
    st.sampled_from([ROW, ROW, {}]),
)


@given(
    rows,
    st.booleans(),
    st.builds(
        EventRules,
        st.booleans(),
        st.booleans(),
        st.just(ZoneInfo("Europe/Amsterdam")),
    ),
)
def test_a_plain_row_has_the_same_event(
    row: dict[str, Any],
    with_profile: bool,  # noqa: FBT001  # Hypothesis draws it
    rules: EventRules,
) -> None:
    """For any row: the same event, byte for byte, or the row is not plain."""
    quick, long = render_both(json.dumps(row), rules, with_profile=with_profile)
    if quick is not None:
        assert isinstance(long, Event), (row, long)
        assert (quick.orderid, quick.event) == (long.orderid, long.event)
        kinds = [type(value) for value in quick.event.values()]
        assert kinds == [type(long.event[name]) for name in quick.event]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"totalvalue": 12.5},
        {"totalvalue": 25.0},
        {"totalvalue": None, "currency": None},
        {"orderid": 17, "userid": 4, "phone": 31612345678},
        {"userid": "m-17", "phone": None, "postcode": "1012 AB"},
        {"firstname": "Zoë", "city": "", "country": "NL", "gender": "F"},
        {"custom_gift": True, "custom_points": 12.25, "custom_note": "none"},
        {"custom_points": -12.25},
        {"timestamp": "2026-11-20T14:03:07+01:00"},
        {"timestamp": "2026-11-20 14:03:07"},
        {"email": "f" * 64, "language": "nl-NL"},
        {"products": [{"id": 7, "quantity": 2.0}]},
        {"products": [LINE | {"name": "", "category_ids": ["a"], "language": "nl"}]},
    ],
)
def test_usual_rows_are_plain(given: dict[str, Any]) -> None:
    """Usual rows are therefore rendered fast."""
    quick, long = render_both(json.dumps(ROW | given))
    assert quick is not None
    assert isinstance(long, Event)
    assert (quick.orderid, quick.event) == (long.orderid, long.event)


def test_whole_amounts_are_written_without_a_decimal_point() -> None:
    """As in `core.event`, this applies to fields, lines and custom fields."""
    row = ROW | {"totalvalue": 25.0, "custom_points": 3.0}
    row |= {"products": [LINE | {"price": 12.0, "quantity": 2.0}]}
    quick, _ = render_both(json.dumps(row))
    assert quick is not None
    assert b'"totalvalue":25,' in quick.body
    assert b'"custom_points":3' in quick.body
    assert b'"price":12,' in quick.body or b'"price":12}' in quick.body


@pytest.mark.parametrize(
    "given",
    [
        {"totalvalue": 12.505},
        {"totalvalue": -1},
        {"totalvalue": "25"},
        {"totalvalue": True},
        {"totalvalue": 10**12 + 1},
        {"currency": "eur"},
        {"email": "nobody"},
        {"email": "\u200bmila@example.com"},
        {"email": "mila@example.com\u200b"},
        {"orderid": ""},
        {"orderid": "Zoë"},
        {"country": "nl"},
        {"language": "Dutch"},
        {"custom_gift": []},
        {"custom_points": 10**13},
        {"custom_points": 12.505},
        {"custom_gift": " gift"},
        {"firstname": "Mila "},
        {"products": [LINE | {"name": " Mug"}]},
        {"products": [LINE | {"category_ids": ["a", "b "]}]},
        {"products": [LINE | {"price": 12.505}]},
        {"timestamp": "soon"},
        {"products": []},
        {"products": [LINE | {"quantity": 0}]},
        {"products": [LINE | {"quantity": 1.5}]},
        {"products": [LINE | {"sku": "MUG-1"}]},
        {"products": [LINE | {"language": "Dutch"}]},
    ],
)
def test_a_row_that_needs_a_note_is_not_plain(given: dict[str, Any]) -> None:
    """It is rendered in full, and then sent, postponed or rejected."""
    quick, _ = render_both(json.dumps(ROW | given))
    assert quick is None


@pytest.mark.parametrize(
    ("rules", "given"),
    [
        (EventRules(require_language=True), {}),
        (EventRules(require_currency=True), {"currency": None}),
    ],
)
def test_a_shops_requirements_apply(rules: EventRules, given: dict[str, Any]) -> None:
    """A row that lacks a required field is not plain."""
    assert render_both(json.dumps(ROW | given), rules)[0] is None


def test_a_future_time_is_sent_as_now() -> None:
    """The fast way does as `core.purchase` does."""
    plain = FastRenderer(ROW, EventRules(), with_profile=True)
    made = plain.purchase(json.dumps(ROW), NOW + timedelta(hours=1), NOW)
    assert made is not None
    assert made.event["timestamp"] == "2026-11-25T13:00:00+01:00"


def test_a_past_order_omits_the_customers_fields() -> None:
    """Neither known fields nor custom ones; invalid ones make no difference."""
    row = ROW | {"firstname": 7, "country": "nowhere", "custom_gift": {}}
    quick, long = render_both(json.dumps(row), with_profile=False)
    assert isinstance(long, Event)
    assert quick is not None
    assert quick.event == long.event
    assert quick.event.keys() == ROW.keys() - {"order_key"} | {"event", "timestamp"}


AT_ONCE = """
import sys, threading
from datetime import UTC, datetime
from syncd.core.fast_event import FastRenderer
from syncd.core.event import EventRules

now, made, begin = datetime.now(UTC), [], threading.Barrier(8)
columns = ["orderid", "email", "products", *sys.argv[1:]]
lines = '[{"id": 1, "quantity": 1}]'
row = f'{{"orderid": "W-1", "email": "a@example.com", "products": {lines}}}'

def work():
    begin.wait()
    rules = EventRules(False, False, UTC)
    plain = FastRenderer(columns, rules, with_profile=bool(sys.argv[1:]))
    made.append(plain.purchase(row, now, now))

sys.setswitchinterval(1e-5)
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(made) == 8 and all(made)
"""


@pytest.mark.parametrize("more", [(), ("city",), ("city", "custom_size")])
def test_several_threads_may_start_at_once(more: tuple[str, ...]) -> None:
    """A daemon's workers do; a half-initialised type would crash the process."""
    command = [sys.executable, "-c", AT_ONCE, *more]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(30) for process in processes] == [0] * 4
