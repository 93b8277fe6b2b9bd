import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.demo.sandbox import ReceivedEvents, Totals
from syncd.demo.sandbox.contract import TimestampError, shown_time

AT = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def event(orderid: str = "W-1", **fields: object) -> dict[str, Any]:
    products = [{"id": "KAN-0042", "quantity": 2}]
    return {
        "event": "Purchase",
        "email": "maud@example.com",
        "orderid": orderid,
        "products": products,
        **fields,
    }


def test_an_unknown_orderid_has_no_posts() -> None:
    """No method raises for it."""
    received = ReceivedEvents()
    assert received.posts("W-1") == 0
    assert received.purchase("W-1") is None
    assert received.first_received_at("W-1") is None
    assert received.purchases() == []
    assert received.totals == Totals()


def test_a_purchase_from_the_api_alone_is_inserted() -> None:
    """Inserted means that no front-end event was there."""
    received = ReceivedEvents()
    received.receive_backend(event(), AT)
    purchase = received.purchase("W-1")
    assert purchase is not None
    assert purchase.api_inserted
    assert not purchase.api_verified
    assert not purchase.merged
    assert purchase.posts == 1
    assert purchase.body == event()
    assert purchase.products == [{"id": "KAN-0042", "quantity": 2}]
    assert purchase.received_at == AT


def test_a_front_end_purchase_is_verified_by_the_api() -> None:
    """Verified means that the API confirmed what the front end had sent."""
    received = ReceivedEvents()
    received.receive_frontend(event(), AT)
    received.receive_backend(event(), AT + timedelta(seconds=5))
    purchase = received.purchase("W-1")
    assert purchase is not None
    assert purchase.api_verified
    assert not purchase.api_inserted
    assert purchase.merged
    assert purchase.received_at == AT
    assert received.first_received_at("W-1") == AT + timedelta(seconds=5)
    assert received.totals == Totals(
        events=1, orderids=1, front_end=1, verified=1, merged=1
    )


def test_a_late_front_end_event_merges_and_leaves_it_inserted() -> None:
    """A purchase that the API inserted stays inserted, and keeps the API's body."""
    received = ReceivedEvents()
    received.receive_backend(event(timestamp="2026-11-20 14:03:07"), AT)
    received.receive_frontend(event(timestamp=0, email="other@example.com"), AT)
    purchase = received.purchase("W-1")
    assert purchase is not None
    assert purchase.api_inserted
    assert not purchase.api_verified
    assert purchase.merged
    assert purchase.created_at == "2026-11-20 14:03:07"
    assert purchase.body == event(timestamp="2026-11-20 14:03:07")
    assert received.totals.merged == 1


def test_a_front_end_purchase_alone_has_no_posts() -> None:
    """Front-end events do not count as posts."""
    received = ReceivedEvents()
    received.receive_frontend(event(), AT)
    received.receive_frontend(event(), AT)
    purchase = received.purchase("W-1")
    assert purchase is not None
    assert (purchase.posts, purchase.merged) == (0, False)
    assert not purchase.api_inserted
    assert not purchase.api_verified
    assert received.totals == Totals(front_end=2)


def test_repeats_count_up_and_leave_one_purchase() -> None:
    """A repeat is every back-end event beyond the first of its orderid."""
    received = ReceivedEvents()
    for hour in (9, 10, 11):
        received.receive_backend(
            event(timestamp=f"2026-11-20 {hour:02}:00:00"), AT + timedelta(hours=hour)
        )
    received.receive_backend(event("W-2"), AT)
    assert received.posts("W-1") == 3
    assert len(received.purchases()) == 2
    assert received.totals == Totals(events=4, orderids=2, repeats=2, inserted=2)
    purchase = received.purchase("W-1")
    assert purchase is not None
    assert purchase.created_at == "2026-11-20 11:00:00"
    assert received.first_received_at("W-1") == AT + timedelta(hours=9)


def test_purchases_are_in_the_order_of_their_first_receipt() -> None:
    """A repeat does not move a purchase."""
    received = ReceivedEvents()
    for orderid in ("b", "a", "c", "b"):
        received.receive_backend(event(orderid), AT)
    assert [p.orderid for p in received.purchases()] == ["b", "a", "c"]
    count, newest = received.newest(2)
    assert (count, [p.orderid for p in newest]) == (3, ["c", "a"])
    assert [p.orderid for p in received.newest(2, offset=2)[1]] == ["b"]


def test_newest_searches_part_of_an_orderid_in_any_case() -> None:
    """The count is of all matches, not of the page."""
    received = ReceivedEvents()
    for orderid in ("W-100", "W-101", "X-200"):
        received.receive_backend(event(orderid), AT)
    count, found = received.newest(1, containing="w-1")
    assert (count, [p.orderid for p in found]) == (2, ["W-101"])


def test_old_bodies_are_dropped_and_counts_kept() -> None:
    """Memory for bodies is bounded; a repeat counts as the newest."""
    received = ReceivedEvents(keep_bodies=2)
    for orderid in ("a", "b", "a", "c"):
        received.receive_backend(event(orderid), AT)
    bodies = {p.orderid: p.body for p in received.purchases()}
    assert bodies == {"a": event("a"), "b": None, "c": event("c")}
    dropped = received.purchase("b")
    assert dropped is not None
    assert dropped.products == []
    assert received.posts("b") == 1
    assert received.totals.events == 4


def test_no_body_is_kept_with_a_bound_of_zero() -> None:
    """Zero bodies is a valid bound."""
    received = ReceivedEvents(keep_bodies=0)
    received.receive_backend(event(), AT)
    assert received.purchases()[0].body is None


def test_without_a_timestamp_the_time_of_receipt_is_shown() -> None:
    """It is shown in Amsterdam time; the API's replaces a front-end time."""
    received = ReceivedEvents()
    received.receive_frontend(event(), AT)
    first = received.purchase("W-1")
    assert first is not None
    assert first.created_at == "2026-11-23 11:00:00"
    received.receive_backend(event(timestamp="2026-11-22T09:00:00+01:00"), AT)
    second = received.purchase("W-1")
    assert second is not None
    assert second.created_at == "2026-11-22 09:00:00"


def test_an_invalid_timestamp_changes_nothing() -> None:
    """The totals and the purchases agree, also after a refusal."""
    received = ReceivedEvents()
    with pytest.raises(TimestampError):
        received.receive_backend(event(timestamp="20-11-2026 14:03"), AT)
    assert received.purchases() == []
    assert received.totals == Totals()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-20T14:03:07+01:00", "2026-11-20 14:03:07"),
        ("2026-07-20T14:03:07+00:00", "2026-07-20 16:03:07"),
        ("2026-11-20T14:03:07Z", "2026-11-20 15:03:07"),
        ("2026-11-20T23:30:00-05:00", "2026-11-21 05:30:00"),
        ("2026-11-20 14:03:07", "2026-11-20 14:03:07"),
        ("2026-07-20T14:03", "2026-07-20 14:03:00"),
        ("2026-11-20", "2026-11-20 00:00:00"),
        ("2026-11-20T14:03:07.999+01:00", "2026-11-20 14:03:07"),
        (1763643787, "2025-11-20 14:03:07"),
        (0, "1970-01-01 01:00:00"),
    ],
)
def test_a_timestamp_is_shown_in_amsterdam(value: object, expected: str) -> None:
    """A time without zone is Amsterdam time, an offset counts, integers are Unix."""
    assert shown_time(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "20-11-2026 14:03",
        "20261120T140307",
        "2026-13-01",
        "2026-11-20 25:00:00",
        "tomorrow",
        "",
        "1763643787",
        None,
        True,
        1763643787.5,
        1763643787000,
        -(10**30),
        [],
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_a_timestamp_in_another_form_is_an_error(value: object) -> None:
    """Only forms that begin YYYY-mm-dd, and whole Unix seconds, are read."""
    with pytest.raises(TimestampError, match="TIMESTAMP_ERROR"):
        shown_time(value)


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c"]), st.booleans()),
        max_size=30,
    )
)
def test_the_totals_always_agree_with_the_purchases(
    receipts: list[tuple[str, bool]],
) -> None:
    """Whatever events come in which order, both count the same."""
    received = ReceivedEvents(keep_bodies=2)
    for orderid, from_front_end in receipts:
        receive = (
            received.receive_frontend if from_front_end else received.receive_backend
        )
        receive(event(orderid), AT)
    purchases, totals = received.purchases(), received.totals
    assert totals.events == sum(p.posts for p in purchases)
    assert totals.orderids == sum(p.posts > 0 for p in purchases)
    assert totals.repeats == totals.events - totals.orderids
    assert totals.front_end == len(receipts) - totals.events
    assert totals.inserted == sum(p.api_inserted for p in purchases)
    assert totals.verified == sum(p.api_verified for p in purchases)
    assert totals.merged == sum(p.merged for p in purchases)
    assert all(p.api_inserted != p.api_verified for p in purchases if p.posts)
    assert sum(p.body is not None for p in purchases) <= 2


def test_threads_lose_no_event() -> None:
    """Every event of every thread is counted, under its own orderid."""
    received = ReceivedEvents(keep_bodies=5)

    def receive() -> None:
        for number in range(500):
            received.receive_backend(event(str(number)), AT)

    threads = [threading.Thread(target=receive) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert received.totals == Totals(
        events=4000, orderids=500, repeats=3500, inserted=500
    )
    assert {p.posts for p in received.purchases()} == {8}


def test_wait_until_returns_with_the_awaited_event() -> None:
    """A receipt wakes the waiter, without polling; False means a time-out."""
    received = ReceivedEvents()
    assert not received.wait_until(lambda totals: totals.events == 1, 0.01)
    timer = threading.Timer(0.01, received.receive_backend, (event(), AT))
    timer.start()
    assert received.wait_until(lambda totals: totals.events == 1, 60)
    timer.join()
