import json
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from syncd.demo.sandbox import FAULTS, FaultError, Sandbox, Totals

HEADERS = {"X-AUTH-ACCOUNT": "SQ-SANDBOX", "X-AUTH-APIKEY": "sandbox-key"}
THREE = ["W-1", "W-2", "W-3"]

# Status (None: no answer that a client can use) and orderids taken, of one POST of
# three events under the fault with its own defaults.
DEFAULTS: dict[str, tuple[int | None, list[str]]] = {
    "wordy-success": (201, THREE),
    "server-error": (500, []),
    "accept-then-drop": (None, THREE),
    "drop-before-reading": (None, []),
    "hang": (None, []),
    "latency": (200, THREE),
    "slow-drip": (200, THREE),
    "not-json": (200, THREE),
    "html": (200, THREE),
    "empty": (200, THREE),
    "huge": (200, THREE),
    "truncated": (None, THREE),
    "understated-length": (200, THREE),
    "broken-encoding": (None, THREE),
    "count-short": (200, ["W-1", "W-2"]),
    "canned": (200, []),
    "credentials": (401, []),
    "forbidden": (403, []),
    "refused": (400, []),
    "firewall": (200, THREE),
    "duplicates-refused": (200, THREE),
    "refused-in-200": (200, []),
    "timestamp-error": (400, []),
    "partly-accepted": (400, ["W-1", "W-2"]),
    "too-many-requests": (429, []),
    "redirect": (302, []),
    "not-found": (404, []),
    "method-not-allowed": (405, []),
    "too-large": (413, []),
    "body-form-refused": (400, []),
}

# What makes a slow or a selective fault take effect in a short test.
QUICKER: dict[str, dict[str, float]] = {
    "hang": {"seconds": 0.05},
    "latency": {"seconds": 0.05},
    "slow-drip": {"bytes_per_second": 1000},
    "too-large": {"limit_bytes": 100},
}


def event(orderid: str = "W-1") -> dict[str, Any]:
    return {
        "event": "Purchase",
        "email": "a@example.com",
        "orderid": orderid,
        "products": [{"id": "X1", "quantity": 1}],
    }


def post(sandbox: Sandbox, *orderids: str, timeout: float = 10) -> requests.Response:
    """Send a list of events, or one bare event without any orderid."""
    events = [event(orderid) for orderid in orderids]
    return requests.post(
        sandbox.endpoint,
        json={"events": events} if events else event(),
        headers=HEADERS,
        timeout=timeout,
        allow_redirects=False,
    )


def accepted_orders(sandbox: Sandbox) -> list[str]:
    return [p.orderid for p in sandbox.received.purchases() if p.posts]


def raw_response(sandbox: Sandbox) -> bytes:
    """Send one event over a bare socket, and read the response until the end."""
    host, port = sandbox.url.removeprefix("http://").split(":")
    body = json.dumps(event()).encode()
    lines = [
        "POST /v1/track HTTP/1.1",
        "Content-Type: application/json",
        "Connection: close",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in HEADERS.items()),
    ]
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


def test_every_fault_has_its_expectation() -> None:
    """A new fault cannot be left out here."""
    assert set(DEFAULTS) == set(FAULTS)


@pytest.mark.parametrize("fault", DEFAULTS)
def test_each_fault_responds_and_accepts_as_its_table_says(
    sandbox: Sandbox, fault: str
) -> None:
    """Status and accepted orders are exact; one request is affected."""
    status, orderids = DEFAULTS[fault]
    sandbox.fail(fault, 1, **QUICKER.get(fault, {}))
    if status is None:
        with pytest.raises(requests.RequestException):
            post(sandbox, *THREE)
    else:
        assert post(sandbox, *THREE).status_code == status
    assert accepted_orders(sandbox) == orderids
    assert sandbox.received.totals.requests == 1
    assert sandbox.received.totals.events == len(orderids)
    if fault in {"firewall", "duplicates-refused"}:
        return  # they wait for a request that they concern
    assert sandbox.queued_faults() == []
    assert post(sandbox, *THREE).json() == {"success": True}
    assert accepted_orders(sandbox) == THREE


@pytest.mark.parametrize("fault", DEFAULTS)
def test_no_fault_accepts_what_the_contract_refuses(
    sandbox: Sandbox, fault: str
) -> None:
    """A wrong key or an invalid event adds nothing, whatever the response is."""
    sandbox.fail(fault, None, **QUICKER.get(fault, {}))
    for headers, email in (({}, "a@example.com"), (HEADERS, None)):
        events = [{**event(orderid), "email": email} for orderid in THREE]
        try:
            requests.post(
                sandbox.endpoint,
                json={"events": events},
                headers=headers,
                timeout=10,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            assert DEFAULTS[fault][0] is None, error  # noqa: PT017 - either way is fine, but only these may raise
    assert sandbox.received.totals == Totals(requests=2)


def test_verbose_success_counts_what_it_accepted(sandbox: Sandbox) -> None:
    """Created and updated add up to what was sent."""
    sandbox.fail("wordy-success", updated=1)
    answer = {"success": True, "created": 2, "updated": 1, "errors": []}
    assert post(sandbox, *THREE).json() == answer


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [
        ("refused", 400, "orderid is not accepted"),
        ("refused-in-200", 200, "orderid is missing"),
        ("timestamp-error", 400, "TIMESTAMP_ERROR"),
    ],
)
def test_a_refusal_waits_for_its_orders(
    sandbox: Sandbox, fault: str, status: int, error: str
) -> None:
    """Requests without the chosen orders pass, and do not use it up."""
    sandbox.fail(fault, orderids=["W-2", "W-9"])
    assert post(sandbox, "W-1", "W-3").json() == {"success": True}
    answer = post(sandbox, *THREE)
    assert answer.status_code == status
    assert answer.json() == {"success": False, "errors": [error]}
    assert accepted_orders(sandbox) == ["W-1", "W-3"]
    assert post(sandbox, "W-2").json() == {"success": True}


def test_refused_orders_can_be_found_by_bisection(sandbox: Sandbox) -> None:
    """Until it is cleared, exactly the requests with a chosen order are refused."""
    sandbox.fail("refused", None, orderids=["W-2"], message="no such product")
    assert post(sandbox, "W-1", "W-2").json()["errors"] == ["no such product"]
    assert post(sandbox, "W-2").status_code == 400
    assert post(sandbox, "W-1").status_code == 200
    sandbox.clear_faults()
    assert post(sandbox, "W-2").status_code == 200


@pytest.mark.parametrize(
    "fault", ["refused", "refused-in-200", "timestamp-error", "partly-accepted"]
)
def test_errors_may_be_objects(sandbox: Sandbox, fault: str) -> None:
    """Such an object has a code and a message."""
    sandbox.fail(fault, style="object")
    (error,) = post(sandbox, *THREE).json()["errors"]
    assert set(error) == {"code", "message"}


def test_partly_accepted_accepts_all_but_the_chosen(sandbox: Sandbox) -> None:
    """`created` counts exactly those, also in a 200."""
    sandbox.fail("partly-accepted", orderids=["W-1", "W-3"], status=200)
    answer = post(sandbox, *THREE)
    assert answer.status_code == 200
    assert answer.json() == {
        "success": False,
        "created": 1,
        "errors": ["event 0: email is missing", "event 2: email is missing"],
    }
    assert accepted_orders(sandbox) == ["W-2"]


def test_too_many_requests_names_seconds_a_date_or_nothing(sandbox: Sandbox) -> None:
    """Retry-After comes in both forms of HTTP, or not at all."""
    sandbox.fail("too-many-requests", retry_after_seconds=7)
    assert post(sandbox).headers["Retry-After"] == "7"
    sandbox.fail("too-many-requests", retry_after_seconds=90, form="http-date")
    before = datetime.now(UTC)
    moment = parsedate_to_datetime(post(sandbox).headers["Retry-After"])
    assert timedelta(seconds=88) < moment - before < timedelta(seconds=100)
    sandbox.fail("too-many-requests", form="none")
    assert "Retry-After" not in post(sandbox).headers


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_server_errors_are_empty_or_html(sandbox: Sandbox, status: int) -> None:
    """Neither form is JSON."""
    sandbox.fail("server-error", status=status)
    assert post(sandbox).content == b""
    sandbox.fail("server-error", status=status, body="html", takes=True)
    answer = post(sandbox)
    assert answer.status_code == status
    assert answer.content.startswith(b"<!doctype html>")
    assert accepted_orders(sandbox) == ["W-1"]


@pytest.mark.parametrize("fault", ["accept-then-drop", "drop-before-reading"])
def test_a_drop_is_a_close_or_a_reset(sandbox: Sandbox, fault: str) -> None:
    """The client sees an end of the stream, or a reset."""
    sandbox.fail(fault)
    assert raw_response(sandbox) == b""
    sandbox.fail(fault, reset=True)
    with pytest.raises(ConnectionResetError):
        raw_response(sandbox)
    assert sandbox.received.posts("W-1") == (2 if fault == "accept-then-drop" else 0)


def test_a_dropped_body_is_not_read(sandbox: Sandbox) -> None:
    """The connection ends though most of the body was never sent."""
    sandbox.fail("drop-before-reading")
    host, port = sandbox.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"POST /v1/track HTTP/1.1\r\nContent-Length: 999999\r\n\r\n")
        assert connection.recv(1) == b""
    assert sandbox.received.totals == Totals(requests=1)


@pytest.mark.parametrize("takes", [True, False])
def test_a_hang_outlasts_the_client(sandbox: Sandbox, *, takes: bool) -> None:
    """The client gives up; whether the events were accepted is an option."""
    sandbox.fail("hang", seconds=600, takes=takes)
    with pytest.raises(requests.ReadTimeout):
        post(sandbox, timeout=0.2)
    assert sandbox.received.posts("W-1") == int(takes)


def test_latency_delays_the_response_and_not_the_receipt(sandbox: Sandbox) -> None:
    """The event of a client that gives up early is received."""
    sandbox.fail("latency", times=2, seconds=0.3)
    began = time.monotonic()
    assert post(sandbox).json() == {"success": True}
    assert time.monotonic() - began >= 0.3
    with pytest.raises(requests.ReadTimeout):
        post(sandbox, timeout=0.1)
    assert sandbox.received.posts("W-1") == 2


def test_a_dripping_response_is_slow_and_complete(sandbox: Sandbox) -> None:
    """No single read waits long, but the whole does."""
    sandbox.fail("slow-drip", bytes_per_second=400)
    began = time.monotonic()
    answer = raw_response(sandbox)
    assert answer.endswith(b'\r\n\r\n{"success": true}')
    assert time.monotonic() - began >= (len(answer) - 8) / 400


@pytest.mark.parametrize(
    ("fault", "options", "body"),
    [
        ("not-json", {}, b"OK"),
        ("not-json", {"body": '{"success": tru'}, b'{"success": tru'),
        ("empty", {}, b""),
        ("empty", {"status": 204}, b""),
        ("canned", {"status": 418, "body": "[]"}, b"[]"),
    ],
)
def test_an_odd_body_is_sent_as_configured(
    sandbox: Sandbox, fault: str, options: dict[str, object], body: bytes
) -> None:
    """The body is exactly that of the option."""
    sandbox.fail(fault, 1, **options)
    answer = post(sandbox)
    assert answer.content == body
    assert answer.status_code == options.get("status", 200)


@pytest.mark.parametrize(
    "fault",
    [
        "server-error",
        "not-json",
        "html",
        "empty",
        "huge",
        "truncated",
        "understated-length",
        "broken-encoding",
        "canned",
    ],
)
@pytest.mark.parametrize("takes", [True, False])
def test_an_ambiguous_response_may_accept_or_not(
    sandbox: Sandbox, fault: str, *, takes: bool
) -> None:
    """What the response does not show is an option."""
    sandbox.fail(fault, takes=takes)
    try:
        post(sandbox)
    except requests.RequestException:
        assert fault in {"truncated", "broken-encoding"}
    assert sandbox.received.posts("W-1") == int(takes)


def test_html_is_declared_as_html(sandbox: Sandbox) -> None:
    """A 200 can be a proxy's page."""
    sandbox.fail("html")
    assert post(sandbox).headers["Content-Type"] == "text/html"


def test_a_huge_response_is_a_valid_success(sandbox: Sandbox) -> None:
    """It is valid JSON of exactly the requested size."""
    sandbox.fail("huge", size_bytes=300_000)
    answer = post(sandbox)
    assert len(answer.content) == 300_000
    assert answer.json()["success"] is True


def test_a_truncated_response_ends_too_soon(sandbox: Sandbox) -> None:
    """Content-Length exceeds what is sent."""
    sandbox.fail("truncated", missing_bytes=3)
    head, _, body = raw_response(sandbox).partition(b"\r\n\r\n")
    assert b"Content-Length: 17" in head
    assert body == b'{"success": tr'


def test_an_understated_length_leaves_bytes_unread(sandbox: Sandbox) -> None:
    """More bytes follow than Content-Length."""
    sandbox.fail("understated-length", surplus_bytes=3)
    head, _, body = raw_response(sandbox).partition(b"\r\n\r\n")
    assert b"Content-Length: 14" in head
    assert body == b'{"success": true}'


def test_a_followed_redirect_would_look_like_success(sandbox: Sandbox) -> None:
    """Its target responds 200 with JSON, so that a client that follows is detected."""
    sandbox.fail("redirect")
    answer = requests.post(sandbox.endpoint, json=event(), headers=HEADERS, timeout=10)
    assert answer.status_code == 200
    assert "success" not in answer.json()
    assert sandbox.received.totals.events == 0
    sandbox.fail("redirect", status=307, location="/v1/elsewhere")
    again = post(sandbox)
    assert (again.status_code, again.headers["Location"]) == (307, "/v1/elsewhere")


def test_too_large_accepts_small_batches(sandbox: Sandbox) -> None:
    """A batch cut in half may pass."""
    sandbox.fail("too-large", None, limit_bytes=250)
    assert post(sandbox, *THREE).status_code == 413
    assert post(sandbox, "W-1").status_code == 200


@pytest.mark.parametrize("form", ["events", "single"])
def test_one_payload_can_be_refused(sandbox: Sandbox, form: str) -> None:
    """The other one passes."""
    sandbox.fail("body-form-refused", None, form=form)
    assert post(sandbox, "W-1").status_code == (400 if form == "events" else 200)
    assert post(sandbox).status_code == (400 if form == "single" else 200)


def test_a_short_count_is_a_true_count(sandbox: Sandbox) -> None:
    """A success whose `created` is low has accepted exactly that many."""
    sandbox.fail("count-short", missing=2)
    answer = {"success": True, "created": 1, "updated": 0, "errors": []}
    assert post(sandbox, *THREE).json() == answer
    assert accepted_orders(sandbox) == ["W-1"]


def test_method_not_allowed_names_the_allowed_methods(sandbox: Sandbox) -> None:
    """405 has its Allow header here too."""
    sandbox.fail("method-not-allowed")
    assert post(sandbox).headers["Allow"] == "GET"


def test_faults_are_used_in_order_and_as_often_as_configured(sandbox: Sandbox) -> None:
    """First in, first used; permanent ones wait for those that end."""
    sandbox.fail("forbidden", None)
    sandbox.fail("server-error", 2)
    sandbox.fail("drop-before-reading")
    sandbox.fail("credentials")
    assert [post(sandbox).status_code for _ in range(2)] == [500, 500]
    with pytest.raises(requests.ConnectionError):
        post(sandbox)
    assert [post(sandbox).status_code for _ in range(3)] == [401, 403, 403]
    assert sandbox.queued_faults() == [{"fault": "forbidden", "times": None}]


def test_a_fault_outlives_an_outage(sandbox: Sandbox) -> None:
    """Stopping does not clear the queue."""
    sandbox.fail("forbidden")
    sandbox.stop()
    sandbox.start()
    assert post(sandbox).status_code == 403


@pytest.mark.parametrize(
    ("fault", "times", "options"),
    [
        ("earthquake", 1, {}),
        ("refused", 0, {}),
        ("refused", -1, {}),
        ("refused", 1, {"orderids": "W-1"}),
        ("refused", 1, {"orderids": [1]}),
        ("refused", 1, {"style": "loud"}),
        ("refused", 1, {"message": 1}),
        ("server-error", 1, {"status": 200}),
        ("server-error", 1, {"status": 500.5}),
        ("server-error", 1, {"takes": 1}),
        ("too-many-requests", 1, {"retry_after_seconds": -1}),
        ("too-many-requests", 1, {"retry_after_seconds": 10**10}),
        ("too-many-requests", 1, {"retry_after_seconds": True}),
        ("hang", 1, {"seconds": 0}),
        ("hang", 1, {"seconds": float("nan")}),
        ("hang", 1, {"seconds": float("inf")}),
        ("credentials", 1, {"seconds": 1}),
    ],
)
def test_an_impossible_fault_is_refused_when_queued(
    sandbox: Sandbox, fault: str, times: int, options: dict[str, object]
) -> None:
    """The error is raised at once, not by a later request."""
    with pytest.raises(FaultError):
        sandbox.fail(fault, times, **options)
    assert sandbox.queued_faults() == []
