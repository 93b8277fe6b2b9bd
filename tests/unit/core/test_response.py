import time
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core.redaction import Redactor
from syncd.core.response import (
    MAX_REASON,
    Classification,
    Meaning,
    NoResponse,
    Outcome,
    Response,
    classify,
    counted,
    explained,
)
from syncd.core.response_shape import MAX_SHAPE, shape_of
from syncd.core.response_text import MAX_RETRY_AFTER

NOW = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
NO_WAIT = timedelta(0)


def verdict(
    status: int, body: bytes | dict[str, Any] = b"", *, sent: int = 3, **headers: str
) -> Classification:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return classify(Response(status, named, raw), sent, NOW)


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize(
    "body",
    [
        {"success": True},
        {"success": True, "created": 3, "updated": 0, "errors": []},
        {"success": True, "created": 1, "updated": 2},
        {"success": True, "updated": 3},
        {"success": True, "errors": None},
        {"success": True, "errors": {}},
        b'\xef\xbb\xbf {"success": true}\r\n',
    ],
)
def test_a_known_success_is_accepted(status: int, body: bytes | dict[str, Any]) -> None:
    """Literally true, in documented fields only, and all events counted."""
    assert verdict(status, body) == Classification(Outcome.ACCEPTED)


NO_SUCCESS: list[bytes | dict[str, Any]] = [
    {},
    {"ok": False},
    {"ok": True},
    {"success": None},
    {"success": "true"},
    {"success": "false"},
    {"success": 1},
    {"success": 0},
    {"success": [True]},
    {"Success": True},
    {"message": "Unauthorized"},
    {"data": {"success": False}},
    {"data": {"success": True}},
    {"success": True, "data": {"success": False}},
    {"success": True, "failed": 3},
    {"success": True, "failed": 0},
    {"success": True, "status": "failed"},
    {"success": True, "warnings": ["event 1: email is missing"]},
    {"success": True, "created": None},
    {"success": True, "created": "3"},
    {"success": True, "created": True, "updated": 2},
    {"success": True, "created": 3.0},
    {"success": True, "created": 4},
    {"success": True, "created": 4, "updated": -1},
    {"success": True, "created": [1, 2, 3]},
    {"success": True, "created": 2},
    {"success": True, "created": 1, "updated": 1},
    {"success": True, "created": 0, "updated": 0},
    {"created": 3},
    {"status": "success", "tracked": 0, "invalid": 3},
    {"status": "success", "tracked": 3, "invalid": 0},
    {"error": "invalid payload", "status": "failed"},
    {"result": {"errors": ["email is missing"]}, "success": True},
    b"",
    b"   ",
    b"<html><body>502 Bad Gateway</body></html>",
    b"OK",
    b"null",
    b"true",
    b'"success"',
    b"[]",
    b'[{"success": true}]',
    b'{"success": true',
    b'{"success": true}}',
    b'{"success": true} {"success": false}',
    b'{"success": true}\x00',
    b'{"success": NaN}',
    b'{"success": true, "created": NaN}',
    b'{"success": true, "created": 1e999}',
    b'{"success": true, "created": ' + b"9" * 5_000 + b"}",
    b'{"success": false, "success": true}',
    b'{"success": true, "errors": ["no"], "errors": []}',
    b'callback({"success": true})',
    b')]}\',\n{"success": true}',
    b'<br />\n<b>Warning</b>: Undefined index in <b>/srv/a.php</b>\n{"success": true}',
    b'{"success": true}<!-- served by node 3 -->',
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xabV*.MNN-.V\xb2*)*M\xad\x05\x00",
    '{"success": true}'.encode("utf-16"),
    b'{"success": true, "errors": "\xff"}',
    b"\xff\xfe{}",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"[" + b"1," * 100_000 + b"1]",
]


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize(
    "body", NO_SUCCESS, ids=lambda body: str(body)[:40].replace("\\", "/")
)
def test_an_unknown_response_is_no_success(
    status: int, body: bytes | dict[str, Any]
) -> None:
    """It proves neither that the events were accepted nor that they were not."""
    got = verdict(status, body)

    assert got.outcome is Outcome.UNCLEAR
    assert got.is_unknown
    assert got.maybe_taken
    assert got.reason.startswith(f"HTTP {status} is not known to mean success: ")


@pytest.mark.parametrize("status", [202, 203, 204, 205, 206, 207, 208, 226, 250, 299])
@pytest.mark.parametrize("body", [b"", b'{"success": true}', b'{"success": false}'])
def test_another_2xx_is_no_success(status: int, body: bytes) -> None:
    """Queued, partial, from a proxy: whatever its body says."""
    assert verdict(status, body).is_unknown


def test_the_reason_of_an_unknown_response_quotes_all_of_it() -> None:
    """A person has to judge it; addresses and markup are removed."""
    page = b"<p>Taken</p><script>x()</script>, jan@example.nl: {&quot;n&quot;: 3}"
    got = verdict(200, page)

    assert got.reason == (
        'HTTP 200 is not known to mean success: Taken , [address] {"n": 3}'
    )
    assert verdict(200).reason.endswith(": an empty body")


@pytest.mark.parametrize(
    ("meaning", "outcome"),
    [
        (Meaning.SUCCESS, Outcome.ACCEPTED),
        (Meaning.REFUSAL, Outcome.REFUSED),
        (None, Outcome.UNCLEAR),
    ],
)
def test_a_recorded_meaning_decides_about_an_unknown_response(
    meaning: Meaning | None, outcome: Outcome
) -> None:
    """Success, or a refusal of all; without one it stays unknown."""
    unknown = verdict(200, {"status": "success"})
    got = explained(unknown, meaning)

    assert got.reason == ("" if meaning is Meaning.SUCCESS else unknown.reason)
    assert got.outcome is outcome
    assert got.maybe_taken is (meaning is None)
    assert got.is_unknown is (meaning is None)


@pytest.mark.parametrize(
    ("body", "sent", "maybe"),
    [
        ({"success": False}, 1, False),
        ({"success": False, "errors": ["orderid is missing"]}, 1, False),
        ({"success": False, "message": "no"}, 1, False),
        ({"success": True, "errors": ["event 1: email is missing"]}, 3, True),
        ({"success": True, "errors": ["profile is locked"]}, 1, True),
        ({"errors": "no"}, 1, False),
        ({"errors": {"email": ["is missing"]}}, 1, False),
        ({"success": True, "created": 3, "errors": [None]}, 3, True),
    ],
)
def test_a_refusal_in_a_200_does_not_count_as_sent(
    body: dict[str, Any], sent: int, *, maybe: bool
) -> None:
    """The API may refuse with a 2xx status, even while it claims success."""
    got = verdict(200, body, sent=sent)

    assert got.reason.startswith("HTTP 200 ")
    assert got.outcome is Outcome.REFUSED
    assert got.maybe_taken is maybe


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"errors":["email is missing"]}'])
def test_400_and_422_refuse_the_orders(status: int, body: bytes) -> None:
    """Bisecting finds the bad ones; a single event is simply refused."""
    assert verdict(status, body, sent=1) == Classification(
        Outcome.REFUSED,
        f"HTTP {status} email is missing" if b"email" in body else f"HTTP {status}",
    )


@pytest.mark.parametrize(
    ("body", "sent", "maybe"),
    [
        ({"created": 1, "errors": ["event 1: no email"]}, 2, True),
        ({"updated": 1, "errors": ["event 1: no email"]}, 2, True),
        ({"created": 0, "errors": ["event 1: no email"]}, 2, False),
        ({"errors": ["event 1: no email"]}, 2, True),
        ({"errors": ["no email"]}, 1, False),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 422])
def test_a_refusal_shows_whether_some_events_may_be_accepted(
    status: int, body: dict[str, Any], sent: int, *, maybe: bool
) -> None:
    """A 400 for a list can mean "partly"; sending it again is a possible repeat."""
    got = verdict(status, body, sent=sent)

    assert got.outcome is Outcome.REFUSED
    assert got.maybe_taken is maybe


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410, 415, 426, 301, 307, 308])
def test_a_client_refusal_was_not_processed(status: int) -> None:
    """Credentials, address, payload and redirects, with the API's message."""
    body = {"success": False, "errors": ["Invalid credentials"]}

    assert verdict(
        status, body, location="https://elsewhere.example"
    ) == Classification(Outcome.CLIENT_REFUSED, f"HTTP {status} Invalid credentials")


@pytest.mark.parametrize("status", [300, 302, 303, 304, 305, 399, 418, 419, 444, 460])
def test_an_unclear_client_refusal_may_follow_processing(status: int) -> None:
    """A 303 does by its definition; of an unknown status it is unknown."""
    got = verdict(status)
    assert (got.outcome, got.maybe_taken) == (Outcome.CLIENT_REFUSED, True)


@pytest.mark.parametrize("status", [0, 99, 100, 101, 102, 103, 199, 600, 999])
def test_a_response_that_is_not_final_is_unclear(status: int) -> None:
    """An early hint does not show what was accepted."""
    got = verdict(status, b'{"success": true}')
    assert flags(got) == "outcome=UNCLEAR maybe_taken"
    assert got.reason == f'HTTP {status} is no final answer {{"success": true}}'


@pytest.mark.parametrize(
    ("body", "known"),
    [
        ({"errors": ["order already exists"]}, True),
        ({"errors": [{"code": "DUPLICATE_ORDER"}]}, True),
        ({"errors": [{"code": "ORDER_ALREADY_EXISTS"}]}, True),
        ({"message": "W-1 has already been received"}, True),
        ({"message": "W-1 exists already"}, True),
        ({"message": "duplicate entry 'W-1' for key 'PRIMARY'"}, True),
        ({"errors": ["the profile does not exist"]}, False),
        ({"errors": ["the order does not exist already"]}, False),
        ({"errors": ["the order was not already received"]}, False),
        ({"message": "another request is already in progress"}, False),
        ({"message": "a request of this key is already being processed"}, False),
        ({"message": "duplicate requests are locked out"}, False),
        ({"message": "a lock exists"}, False),
        (b"<html><title>409 Conflict</title></html>", False),
    ],
)
def test_409_concerns_the_order(body: bytes | dict[str, Any], *, known: bool) -> None:
    """It may say that the API has the order already."""
    got = verdict(409, body, sent=1)
    assert (got.outcome, got.is_conflict) == (Outcome.REFUSED, True)
    assert got.known_already is known
    assert not got.maybe_taken
    assert not verdict(400, body, sent=1).known_already


def test_a_conflict_of_a_list_is_no_evidence_of_acceptance() -> None:
    """Else each half would count as sent before; a count is evidence."""
    assert not verdict(409, {"message": "already in progress"}).maybe_taken
    assert verdict(409, {"created": 1, "errors": ["W-2"]}).maybe_taken
    assert not verdict(409, {"created": 0, "errors": ["W-2"]}).maybe_taken
    assert verdict(400, {"errors": ["W-2"]}).maybe_taken


def test_only_429_lowers_the_rate() -> None:
    """A transient fault is no reason to send more slowly afterwards."""
    assert verdict(429).throttled
    assert not any(verdict(status).throttled for status in (200, 401, 408, 500, 503))


def test_413_asks_for_fewer_events_at_once() -> None:
    """The body is too large; no order is at fault and none was accepted."""
    assert verdict(413, b"<html>") == Classification(
        Outcome.REFUSED, "HTTP 413", too_large=True
    )


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 520, 599])
@pytest.mark.parametrize("body", [b"<html>down</html>", b'{"success": true}'])
def test_a_transient_status_is_retried_later(status: int, body: bytes) -> None:
    """The body does not matter."""
    got = verdict(status, body)

    assert got.outcome is Outcome.TRANSIENT
    assert got.retry_after == NO_WAIT
    assert str(status) in got.reason


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30),
        (" 30 ", 30),
        ("00", 0),
        ("3600", 3600),
        ("3601", 3600),
        ("999999999999", 3600),
        ("9" * 5_000, 3600),
        ("-5", 0),
        ("", 0),
        ("soon", 0),
        ("nan", 0),
        ("\u00b2", 0),
        ("Fri, 20 Nov 2026 14:00:30 GMT", 30),
        ("Friday, 20-Nov-26 14:00:30 GMT", 30),
        ("Fri Nov 20 14:00:30 2026", 30),
        ("Fri, 20 Nov 2026 15:00:30 +0100", 30),
        ("Fri, 20 Nov 2026 14:00:30 -0000", 30),
        ("Fri, 20 Nov 2026 13:59:00 GMT", 0),
        ("Fri, 20 Nov 2099 14:00:00 GMT", 3600),
        ("Fri, 99 Nov 2026 14:00:30 GMT", 0),
        ("Fri, 20 Nov 99999 14:00:30 GMT", 0),
        ("Fri, 20 Nov 99999999999 14:00:30 GMT", 0),
        ("Fri, 20 Nov 2026 14:00:30 +99999999999", 0),
        ("1.5", 2),
        ("30, 60", 30),
        ("1.5.5", 0),
        ("\u0663\u0660", 30),
        ("2026-11-20T14:00:30Z", 30),
        ("2026-11-20 14:00:30", 30),
        (f"Fri, 20 Nov 2026{'14:00:30':>84}", 30),
        (f"Fri, 20 Nov 2026{'14:00:30':>85}", 3),  # truncated after 100 characters
        ("9999-12-31T23:59:59-23:59", 3600),
        ("0001-01-01T00:00:00+23:59", 0),
        ("0", 0),
        ("000", 0),
        ("0000000030", 30),
        ("9" * 4000, 3600),
        (",", 0),
        (":", 0),
        ("\x00\xff", 0),
    ],
)
def test_retry_after_is_a_bounded_lower_bound(
    status: int, header: str, seconds: int
) -> None:
    """Seconds or a date count; the past, invalid values and over an hour do not."""
    assert verdict(status, retry_after=header).retry_after == timedelta(seconds=seconds)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_retry_after_applies_to_every_transient_status(status: int) -> None:
    """Gateways and maintenance pages send it as well as a 429."""
    assert verdict(status, retry_after="7").retry_after == timedelta(seconds=7)


def test_a_retry_date_without_a_zone_is_utc() -> None:
    """The daemon's own zone does not matter."""
    answer = Response(503, {"retry-after": "Fri Nov 20 14:00:30 2026"}, b"")
    now = NOW.astimezone(timezone(timedelta(hours=5)))

    assert classify(answer, 1, now).retry_after == timedelta(seconds=30)


@pytest.mark.parametrize("status", [*range(500, 531), 598, 599])
def test_every_5xx_may_have_been_accepted(status: int) -> None:
    """A gateway says 503, 520 or 524 after the origin accepted the batch."""
    got = verdict(status, retry_after="30")
    assert (got.outcome, got.maybe_taken) == (Outcome.TRANSIENT, True)
    assert got.concerns_all is (status == 503)


@pytest.mark.parametrize(
    ("status", "whole", "maybe"),
    [(408, True, True), (408, False, False), (425, True, False), (429, True, False)],
)
def test_408_425_and_429_differ_in_what_may_be_accepted(
    status: int, *, whole: bool, maybe: bool
) -> None:
    """A 408 is for an incomplete request, unless it was complete; 425, 429 precede."""
    got = classify(Response(status, {}, b"", request_was_sent=whole), 3, NOW)
    assert (got.outcome, got.maybe_taken) == (Outcome.TRANSIENT, maybe)
    assert got.concerns_all


def test_no_response_before_sending_is_transient() -> None:
    """A refused connection cannot have transported an order: retry freely."""
    assert classify(NoResponse("refused", taken=False), 3, NOW) == Classification(
        Outcome.TRANSIENT, "refused", concerns_all=True
    )


def test_no_response_after_sending_is_unclear() -> None:
    """After a time-out the request may have arrived."""
    assert classify(
        NoResponse("no answer in time", taken=True), 3, NOW
    ) == Classification(Outcome.UNCLEAR, "no answer in time", maybe_taken=True)


@pytest.mark.parametrize(
    ("errors", "text"),
    [
        (["first", "second"], "first"),
        ([{"code": "TIMESTAMP_ERROR", "message": "bad"}], "TIMESTAMP_ERROR bad"),
        ([{"message": "bad date"}], "bad date"),
        ([{"code": "TIMESTAMP_ERROR"}], "TIMESTAMP_ERROR"),
        ([{"field": "email", "code": "E1"}], "E1"),
        ([{"field": "email", "message": "is missing"}], "is missing"),
        ([{"field": "email"}], "email"),
        ({"email": ["is missing"]}, "is missing"),
        ("plain text", "plain text"),
        ([[]], '{"errors":[[]]}'),
        ([None], '{"errors":[null]}'),
        ([17], "17"),
        ([10**40], str(10**18)),
        ([True], '{"errors":[true]}'),
        ([{"code": None, "message": "no"}], "no"),
        (["two\nlines\x00and\ta\x1bstop"], "two lines and a stop"),
    ],
)
def test_the_reason_keeps_the_first_errors_text(errors: object, text: str) -> None:
    """One printable line, for errors given as texts, objects or by field."""
    assert verdict(400, {"errors": errors}).reason == f"HTTP 400 {text}".strip()


@pytest.mark.parametrize(
    "answer",
    [
        Response(400, {}, msgspec.json.encode({"errors": ["x" * 10_000]})),
        NoResponse("x" * 10_000, taken=False),
    ],
)
def test_a_long_reason_is_cut(answer: Response | NoResponse) -> None:
    """A page of text from the API does not fill the ledger."""
    assert len(classify(answer, 1, NOW).reason) == MAX_REASON


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = ["success", "created", "updated", "errors", "error", "message", "code", "x"]
REAL = [
    b'{"success": true, "created": 1, "updated": 0, "errors": []}',
    b'{"success": false, "errors": [{"code": "TIMESTAMP_ERROR", "message": "bad"}]}',
    b'<br />\n<b>Warning</b>: x in <b>/a.php</b>\n{"success": true}',
    b"<!doctype html><title>Blocked</title><script>var a='</script>';</script>",
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real response, truncated, doubled, or with changed bytes."""
    body = bytearray(draw(st.sampled_from(REAL)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(body)


BODIES = (
    st.dictionaries(st.sampled_from(NAMES), JSON).map(msgspec.json.encode)
    | JSON.map(msgspec.json.encode)
    | st.binary()
    | mutated()
)
DATES = st.datetimes().map(str) | st.datetimes().map(format_datetime)


FORGED = [
    (200, b'{"created":1e300,"updated":1}', None),
    (200, b'{"created":' + b"9" * 400 + b"}", None),
    (400, b'{"errors":[' + b"9" * 400 + b"]}", None),
    (400, b'{"errors":[{"code":' + b"9" * 4299 + b"}]}", None),
    (400, b"a" * 262_144, None),
    (400, b"a@" * 131_072, None),
    (400, b"<!--" * 65_536, None),
    (400, b"<script" * 37_449, None),
    (400, b"<a " * 87_381, None),
    (503, b"", "Fri, 20 Nov 99999999999 14:00:30 GMT"),
    (503, b"", "9" * 65_536),
    (503, b"", "," * 65_536),
    (200, b'{"message":"\\ud800"}', None),
]


@pytest.mark.parametrize(("status", "body", "header"), FORGED, ids=range(len(FORGED)))
def test_a_hostile_response_is_classified_quickly(
    status: int, body: bytes, header: str | None
) -> None:
    """A quarter of a megabyte takes a small part of the lease."""
    begun = time.process_time()
    check_meaning(status, body, 1, header, whole=True)
    assert time.process_time() - begun < 2


@given(
    status=st.integers(0, 999),
    body=BODIES,
    sent=st.integers(1, 1_000),
    retry_after=st.none() | st.text() | st.integers().map(str) | DATES,
    whole=st.booleans(),
)
@settings(deadline=None)
def test_every_response_has_one_meaning(
    status: int, body: bytes, sent: int, retry_after: str | None, *, whole: bool
) -> None:
    """Never an exception; bounded and printable; success has few forms."""
    check_meaning(status, body, sent, retry_after, whole=whole)


def check_meaning(
    status: int, body: bytes, sent: int, retry_after: str | None, *, whole: bool
) -> None:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    response = Response(status, headers, body, request_was_sent=whole)
    got = classify(response, sent, NOW)

    assert len(got.reason) <= MAX_REASON
    assert got.reason == "" or got.reason.isprintable()
    assert NO_WAIT <= got.retry_after <= MAX_RETRY_AFTER
    assert (got.outcome is Outcome.ACCEPTED) == (got.reason == "")
    if got.outcome is Outcome.ACCEPTED:
        assert status in {200, 201}
        assert (
            msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))["success"] is True
        )
        assert not got.maybe_taken
    if status >= 500:
        assert got.maybe_taken
    flags = shape_of(response, sent)
    assert len(flags) <= MAX_SHAPE
    assert flags.isprintable()


@pytest.mark.parametrize(
    ("body", "taken"),
    [
        ({"created": 2, "updated": 1}, 3),
        ({"created": "2"}, 2),
        ({"created": 2.0, "updated": -1}, 2),
        ({"created": 10**30}, 10**9),
        ({"created": "9" * 10}, 10**9 - 1),
        ({"created": "two", "updated": None}, None),
        ({"success": True}, None),
    ],
)
def test_a_response_counts_what_was_accepted(
    body: dict[str, Any], taken: int | None
) -> None:
    """Counts may be numbers or text; None means that there is none."""
    assert counted(Response(200, {}, msgspec.json.encode(body))) == taken


def test_a_deeply_nested_response_has_a_shape() -> None:
    """At any depth, also the greatest that can just be parsed."""
    depths = [*range(1, 100), *range(100, 900, 50), *range(900, 1_100, 5), 2_000]
    shapes = set[str]()
    for depth in depths:
        body = b"[" * depth + b"]" * depth
        shapes.add(check_shape(body))
        check_meaning(200, body, 1, None, whole=True)
    assert len(shapes) == len(depths)


def check_shape(body: bytes, sent: int = 5) -> str:
    flags = shape_of(Response(200, {}, body), sent)
    assert flags.isascii()
    assert flags.isprintable()
    assert len(flags) <= MAX_SHAPE
    return flags


@pytest.mark.parametrize(
    ("success", "failure"),
    [
        ('{"code": 200}', '{"code": 403}'),
        ('{"code": "200"}', '{"code": "403"}'),
        ('{"result": 1}', '{"result": -1}'),
        ('{"taken": 1}', '{"taken": -1}'),
        ('{"status": "S200"}', '{"status": "E400"}'),
        ('{"statusCode": 2.0}', '{"statusCode": 4.5}'),
        ('{"error_code": [1]}', '{"error_code": [2]}'),
        ("status: 200", "status: 403"),
        ("<code>200</code>", "<code>403</code>"),
        ("<taken/>", "<refused/>"),
        ('{"taken": 5}', '{"taken": 4}'),
        ('{"left": 0}', '{"left": 2}'),
        ('{"said": "gelukt \u20ac"}', '{"said": "gelukt \u0142"}'),
    ],
)
def test_a_shape_distinguishes_success_from_failure(success: str, failure: str) -> None:
    """A meaning recorded for one never applies to the other."""
    assert check_shape(success.encode()) != check_shape(failure.encode())


def test_a_shape_is_equal_for_other_orders() -> None:
    """Numbers and texts of the orders do not matter."""
    one = check_shape(b'{"status": "ok", "id": 17, "ref": "W-17", "taken": 5}')
    two = check_shape(b'{"status": "ok", "id": 99, "ref": "W-99", "taken": 4}', sent=4)
    assert one == two


@pytest.mark.parametrize(
    "body",
    [
        rb'{"field": "Zo\u00eb M\u00fcller", "mail": "zoe@x.nl", "key": "secret\/key"}',
        rb'{"errors": ["Zo\u00eb\nM\u00fcller zoe@x.nl secret\/key"]}',
        rb'{"n": 1, "n": 2, "field": "Zo\u00eb\nM\u00fcller zoe@x.nl secret\/key',
        rb'{"log": "{\"name\": \"Zo\\u00eb\\nM\\u00fcller secret\\/key\"}"}',
        b"<p>Zo&euml; M&#252;ller zoe&#64;x.nl secret&#x2F;key</p>",
        b"[" * 980 + rb'"Zo\u00eb M\u00fcller secret\/key"' + b"]" * 980,
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_escaped_values_are_hidden_as_well(status: int, body: bytes) -> None:
    """Reasons and shapes have neither the person, the address nor the key."""
    event = {"firstname": "Zoë", "lastname": "Müller", "email": "zoe@x.nl"}
    redactor = Redactor([event], ["secret/key"])
    answer = Response(status, {}, body)
    reason = redactor.redact(classify(answer, 1, NOW).reason)
    for text in (reason, shape_of(answer, 1, redactor.redact)):
        plain = text.replace("\\", "").casefold()
        for word in ("zoë", "u00eb", "xeb", "ller", "zoe", "secret"):
            assert word not in plain, text


def test_a_reason_keeps_no_address_that_the_api_quotes() -> None:
    """The reason goes into the ledger and the log."""
    body = b'{"success": false, "errors": ["email jan.de.vries@example.nl is odd"]}'
    verdict = classify(Response(400, {}, body), 1, datetime.now(UTC))
    assert verdict.reason == "HTTP 400 email [address] is odd"


BEFORE = "outcome=CLIENT_REFUSED"
"""For these statuses the server has not begun."""
AFTER = f"{BEFORE} maybe_taken"
LATER = "outcome=TRANSIENT puts_off"
WORKED = f"{LATER} maybe_taken"

STATUSES = {
    **dict.fromkeys(range(300, 600), AFTER),
    **dict.fromkeys(range(401, 418), BEFORE),
    **dict.fromkeys((301, 307, 308, 421, 426, 428, 431, 451), BEFORE),
    **dict.fromkeys((400, 422), "outcome=REFUSED maybe_taken"),
    409: "outcome=REFUSED is_conflict",
    413: "outcome=REFUSED too_large",
    408: f"{WORKED} concerns_all",
    425: f"{LATER} concerns_all",
    429: f"{LATER} concerns_all throttled",
    **dict.fromkeys(range(500, 600), WORKED),
    503: f"{WORKED} concerns_all",
}


def flags(got: Classification) -> str:
    """Return the outcome and the flags that are set."""
    flags = (
        ("puts_off", got.puts_off),
        ("maybe_taken", got.maybe_taken),
        ("concerns_all", got.concerns_all),
        ("throttled", got.throttled),
        ("is_conflict", got.is_conflict),
        ("too_large", got.too_large),
        ("is_unknown", got.is_unknown),
        ("known_already", got.known_already),
    )
    names = " ".join(name for name, is_set in flags if is_set)
    return f"outcome={got.outcome.name} {names}".strip()


@pytest.mark.parametrize(("status", "means"), STATUSES.items())
def test_each_status_without_a_body_has_its_meaning(status: int, means: str) -> None:
    """Every status from 300 to 599: a status that changes its table is noticed."""
    got = verdict(status)
    assert flags(got) == means
    assert got.reason == f"HTTP {status}"


def test_a_refused_certificate_is_for_a_person_to_fix() -> None:
    """Nothing was sent, and retrying does not help."""
    refused = NoResponse("certificate verify failed", taken=False, untrusted=True)
    got = classify(refused, 3, NOW)
    assert flags(got) == "outcome=CLIENT_REFUSED concerns_all"
    assert got.reason == "certificate verify failed"
