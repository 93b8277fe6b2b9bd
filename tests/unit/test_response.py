from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncd.core.response import (
    MAX_REASON,
    MAX_RETRY_AFTER,
    Classification,
    NoResponse,
    Outcome,
    Response,
    classify,
)

NOW = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
NO_WAIT = timedelta(0)


def verdict(
    status: int, body: bytes | dict[str, Any] = b"", *, sent: int = 3, **headers: str
) -> Classification:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return classify(Response(status, named, raw), sent, NOW)


@pytest.mark.parametrize("status", [200, 201, 299])
@pytest.mark.parametrize(
    "body",
    [
        {"success": True},
        {"success": True, "created": 3, "updated": 0, "errors": []},
        {"success": True, "created": 1, "updated": 2},
        {"created": 7},
        {"success": True, "errors": None},
        {"success": True, "errors": {}},
        {"success": True, "created": None, "updated": "?"},
        {},
    ],
)
def test_a_clean_2xx_is_accepted(status: int, body: dict[str, Any]) -> None:
    """A JSON object without errors, not false, and counting no fewer than sent."""
    assert verdict(status, body) == Classification(Outcome.ACCEPTED)


@pytest.mark.parametrize(
    "body",
    [
        {"success": False},
        {"success": False, "errors": ["orderid is missing"]},
        {"success": True, "errors": ["event 1: email is missing"]},
        {"success": "false"},
        {"success": 0},
        {"errors": "no"},
        {"errors": {"email": ["is missing"]}},
        {"success": True, "created": 3, "errors": [None]},
    ],
)
def test_a_refusal_inside_a_200_does_not_count_as_sent(body: dict[str, Any]) -> None:
    """The API may say no with a good status; then the orders are refused."""
    assert verdict(200, body).outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"created": 2}, "2 of 3"),
        ({"created": 1, "updated": 1}, "2 of 3"),
        ({"created": 0, "updated": 0}, "0 of 3"),
        ({"updated": 2.0}, "2 of 3"),
        ({"created": "2"}, "2 of 3"),
        ({"created": -5}, "0 of 3"),
    ],
)
def test_a_count_below_what_was_sent_is_unclear(
    counts: dict[str, Any], said: str
) -> None:
    """An account that takes only the first event of a list must not look healthy."""
    got = verdict(200, {"success": True} | counts)

    assert got.outcome is Outcome.UNCLEAR
    assert got.maybe_taken
    assert said in got.reason


@pytest.mark.parametrize(
    "body",
    [
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
        b'{"success": NaN}',
        b"\xff\xfe{}",
        b"[" * 100_000,
        b"[" + b"1," * 100_000 + b"1]",
    ],
    ids=lambda body: body[:12].decode("latin-1"),
)
def test_a_2xx_without_a_json_object_is_unclear(body: bytes) -> None:
    """Nothing proves that the events were taken, and nothing that they were not."""
    got = verdict(200, body)

    assert got.outcome is Outcome.UNCLEAR
    assert got.maybe_taken
    assert "200" in got.reason


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"errors":["email is missing"]}'])
def test_400_and_422_refuse_the_orders(status: int, body: bytes) -> None:
    """Bisecting finds the guilty ones; a single event is simply refused."""
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
def test_a_refusal_tells_whether_some_events_may_have_been_taken(
    status: int, body: dict[str, Any], sent: int, *, maybe: bool
) -> None:
    """A 400 for a list can mean "partly"; sending it again is a possible repeat."""
    got = verdict(status, body, sent=sent)

    assert got.outcome is Outcome.REFUSED
    assert got.maybe_taken is maybe


@pytest.mark.parametrize(
    "status",
    [401, 403, 404, 405, 410, 415, 426, 300, 301, 302, 303, 304, 307, 308],
)
def test_what_concerns_us_blames_no_order(status: int) -> None:
    """Credentials, address, form and redirects stop sending, with the API's words."""
    body = {"success": False, "errors": ["Invalid credentials"]}

    assert verdict(
        status, body, location="https://elsewhere.example"
    ) == Classification(Outcome.CLIENT_REFUSED, f"HTTP {status} Invalid credentials")


@pytest.mark.parametrize("status", [100, 101, 102, 103])
def test_what_is_no_final_answer_is_unclear(status: int) -> None:
    """An early hint says nothing about what was taken."""
    got = verdict(status)
    assert (got.outcome, got.maybe_taken) == (Outcome.UNCLEAR, True)


def test_only_429_asks_for_a_slower_pace() -> None:
    """Trouble that passes is no reason to slow down once it has passed."""
    assert verdict(429).throttled
    assert not any(verdict(status).throttled for status in (200, 401, 408, 500, 503))


def test_413_asks_for_fewer_events_at_once() -> None:
    """The body is too large; no order is at fault and none was taken."""
    assert verdict(413, b"<html>") == Classification(
        Outcome.REFUSED, "HTTP 413", too_large=True
    )


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 520, 599])
@pytest.mark.parametrize("body", [b"<html>down</html>", b'{"success": true}'])
def test_trouble_that_passes_is_transient(status: int, body: bytes) -> None:
    """Whatever the body says, these are tried again later."""
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
        ("0", 0),
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
    ],
)
def test_retry_after_is_a_bounded_lower_bound(
    status: int, header: str, seconds: int
) -> None:
    """Seconds or a date count; the past, garbage and more than an hour do not."""
    assert verdict(status, retry_after=header).retry_after == timedelta(seconds=seconds)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_retry_after_counts_with_every_transient_status(status: int) -> None:
    """Not only 429: gateways and maintenance pages send it as well."""
    assert verdict(status, retry_after="7").retry_after == timedelta(seconds=7)


def test_a_retry_date_without_a_zone_is_utc() -> None:
    """Whatever zone the daemon's own clock is shown in."""
    answer = Response(503, {"retry-after": "Fri Nov 20 14:00:30 2026"}, b"")
    now = NOW.astimezone(timezone(timedelta(hours=5)))

    assert classify(answer, 1, now).retry_after == timedelta(seconds=30)


@pytest.mark.parametrize(("status", "maybe"), [(500, True), (503, False), (429, False)])
def test_trouble_behind_a_gateway_may_have_been_taken(
    status: int, *, maybe: bool
) -> None:
    """A 500, 502 or 504 can follow the work; a 429 or 503 says it was not begun."""
    assert verdict(status).maybe_taken is maybe


def test_nothing_taken_in_silence_is_transient() -> None:
    """A refused connection cannot have carried an order: try again freely."""
    assert classify(NoResponse("refused", taken=False), 3, NOW) == Classification(
        Outcome.TRANSIENT, "refused"
    )


def test_silence_after_sending_is_unclear() -> None:
    """A time-out after the bytes went out may have arrived."""
    assert classify(
        NoResponse("no answer in time", taken=True), 3, NOW
    ) == Classification(Outcome.UNCLEAR, "no answer in time", maybe_taken=True)


@pytest.mark.parametrize(
    ("errors", "text"),
    [
        (["first", "second"], "first"),
        ([{"code": "TIMESTAMP_ERROR", "message": "bad"}], "TIMESTAMP_ERROR bad"),
        ([{"message": "bad date"}], "bad date"),
        ([{"field": "email"}], "email"),
        ({"email": ["is missing"]}, "is missing"),
        ("plain text", "plain text"),
        ([[]], ""),
        ([None], ""),
        ([17], "17"),
        (["two\nlines\x00and\ta\x1bstop"], "two lines and a stop"),
    ],
)
def test_the_reason_keeps_the_first_error_s_text(errors: object, text: str) -> None:
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
BODIES = (
    st.dictionaries(
        st.sampled_from(["success", "created", "updated", "errors", "x"]), JSON
    ).map(msgspec.json.encode)
    | JSON.map(msgspec.json.encode)
    | st.binary()
)


@given(
    status=st.integers(100, 599),
    body=BODIES,
    sent=st.integers(1, 1_000),
    retry_after=st.none() | st.text() | st.integers().map(str),
)
@example(status=200, body=b'{"created":1e300,"updated":1}', sent=1, retry_after=None)
@example(status=200, body=b'{"created":' + b"9" * 400 + b"}", sent=1, retry_after=None)
def test_every_answer_has_one_meaning(
    status: int, body: bytes, sent: int, retry_after: str | None
) -> None:
    """Never an exception; bounded and printable; only a 2xx is ever accepted."""
    headers = {} if retry_after is None else {"retry-after": retry_after}
    got = classify(Response(status, headers, body), sent, NOW)

    assert len(got.reason) <= MAX_REASON
    assert got.reason == "" or got.reason.isprintable()
    assert NO_WAIT <= got.retry_after <= MAX_RETRY_AFTER
    assert (got.outcome is Outcome.ACCEPTED) == (got.reason == "")
    if got.outcome is Outcome.ACCEPTED:
        assert 200 <= status < 300
        assert not got.maybe_taken


def test_a_reason_keeps_no_address_that_the_api_quotes() -> None:
    """What an answer says goes into the ledger and the log."""
    body = b'{"success": false, "errors": ["email jan.de.vries@example.nl is odd"]}'
    verdict = classify(Response(400, {}, body), 1, datetime.now(UTC))
    assert verdict.reason == "HTTP 400 email [address] is odd"
