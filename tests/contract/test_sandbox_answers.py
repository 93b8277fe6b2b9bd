import json
from typing import Any, Literal

import pytest
import requests

from syncd.demo.sandbox import Sandbox, Totals

HEADERS = {"X-AUTH-ACCOUNT": "SQ-SANDBOX", "X-AUTH-APIKEY": "sandbox-key"}
MINIMUM = {
    "event": "Purchase",
    "email": "a@example.com",
    "orderid": "W-1",
    "products": [{"id": "X1", "quantity": 1}],
}


def post(sandbox: Sandbox, document: object) -> requests.Response:
    return requests.post(sandbox.endpoint, json=document, headers=HEADERS, timeout=10)


def without(field: str) -> dict[str, Any]:
    return {key: value for key, value in MINIMUM.items() if key != field}


@pytest.mark.parametrize("document", [MINIMUM, {"events": [MINIMUM]}])
def test_the_minimum_is_accepted_in_either_payload(
    sandbox: Sandbox, document: object
) -> None:
    """A bare event and a list of one mean the same."""
    answer = post(sandbox, document)
    assert answer.status_code == 200
    assert answer.content == b'{"success": true}'
    assert answer.headers["Content-Type"] == "application/json"
    assert sandbox.received.posts("W-1") == 1


def test_a_thousand_events_are_accepted_at_once(sandbox: Sandbox) -> None:
    """A batch keeps its order."""
    orderids = [f"W-{number}" for number in range(1000)]
    events = [{**MINIMUM, "orderid": orderid} for orderid in orderids]
    assert post(sandbox, {"events": events}).json() == {"success": True}
    assert [p.orderid for p in sandbox.received.purchases()] == orderids
    assert sandbox.received.totals == Totals(
        requests=1, events=1000, orderids=1000, inserted=1000
    )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-AUTH-ACCOUNT": "SQ-SANDBOX"},
        {**HEADERS, "X-AUTH-APIKEY": "wrong"},
        {**HEADERS, "X-AUTH-ACCOUNT": "SQ-OTHER"},
        {**HEADERS, "X-AUTH-APIKEY": "sandbox-key2"},
        {**HEADERS, "X-AUTH-APIKEY": b"\xff\xfe"},
    ],
)
def test_wrong_credentials_are_refused(
    sandbox: Sandbox, headers: dict[str, str | bytes]
) -> None:
    """Nothing is accepted, and the body is not mentioned."""
    answer = requests.post(sandbox.endpoint, json=MINIMUM, headers=headers, timeout=10)
    assert answer.status_code == 401
    assert answer.json() == {"success": False, "errors": ["Invalid credentials"]}
    assert sandbox.received.totals == Totals(requests=1)


def test_the_account_and_key_are_settings() -> None:
    """The constructor's values are accepted."""
    with Sandbox(account="SQ-9", api_key="other") as sandbox:
        assert post(sandbox, MINIMUM).status_code == 401
        headers = {"X-AUTH-ACCOUNT": "SQ-9", "X-AUTH-APIKEY": "other"}
        answer = requests.post(
            sandbox.endpoint, json=MINIMUM, headers=headers, timeout=10
        )
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("document", "error"),
    [
        (without("event"), "event is missing"),
        ({**MINIMUM, "event": "purchase"}, "event is not Purchase"),
        (without("email"), "email is missing"),
        ({**MINIMUM, "email": ""}, "email is missing"),
        (without("orderid"), "orderid is missing"),
        ({**MINIMUM, "orderid": 1}, "orderid is not text"),
        (without("products"), "products is missing"),
        ({**MINIMUM, "products": []}, "products is missing"),
        ({**MINIMUM, "products": {"id": "X1"}}, "products is not a list"),
        ({**MINIMUM, "products": [{"quantity": 1}]}, "product id is missing"),
        ({**MINIMUM, "products": ["X1"]}, "product id is missing"),
        ({**MINIMUM, "products": [{"id": 7}]}, "product id is not text"),
        ({**MINIMUM, "timestamp": "20-11-2026 14:03"}, "TIMESTAMP_ERROR"),
        ({**MINIMUM, "timestamp": None}, "TIMESTAMP_ERROR"),
    ],
)
def test_an_invalid_event_is_refused_with_its_error(
    sandbox: Sandbox, document: dict[str, Any], error: str
) -> None:
    """The first error is named, and nothing is accepted."""
    answer = post(sandbox, document)
    assert answer.status_code == 400
    assert answer.json() == {"success": False, "errors": [error]}
    assert sandbox.received.totals == Totals(requests=1)


@pytest.mark.parametrize(
    ("body", "content_type", "error"),
    [
        (b"{", "application/json", "body is not valid JSON"),
        (b"", "application/json", "body is not valid JSON"),
        (b"\xff", "application/json", "body is not valid JSON"),
        (b"[" * 100_000, "application/json", "body is not valid JSON"),
        (b'{"totalvalue": NaN}', "application/json", "body is not valid JSON"),
        (b'{"totalvalue": 1e999}', "application/json", "body is not valid JSON"),
        (
            b'{"totalvalue": ' + b"9" * 5000 + b"}",
            "application/json",
            "body is not valid JSON",
        ),
        (b"[]", "application/json", "body is not a JSON object"),
        (b'{"events": []}', "application/json", "events is not a list of events"),
        (b'{"events": {}}', "application/json", "events is not a list of events"),
        (b"{}", "text/plain", "content type is not application/json"),
        (b"{}", "", "content type is not application/json"),
    ],
)
def test_an_unreadable_body_is_refused(
    sandbox: Sandbox, body: bytes, content_type: str, error: str
) -> None:
    """A body without an event is a 400 with the reason."""
    headers = {**HEADERS, "Content-Type": content_type}
    answer = requests.post(sandbox.endpoint, data=body, headers=headers, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["errors"] == [error]


def test_a_content_type_may_name_its_character_set(sandbox: Sandbox) -> None:
    """Parameters and case of the content type do not matter."""
    headers = {**HEADERS, "Content-Type": "Application/JSON; charset=utf-8"}
    body = json.dumps({**MINIMUM, "firstname": "Zoë"}, ensure_ascii=False).encode()
    answer = requests.post(sandbox.endpoint, data=body, headers=headers, timeout=10)
    assert answer.status_code == 200
    purchase = sandbox.received.purchase("W-1")
    assert purchase is not None
    assert purchase.body is not None
    assert purchase.body["firstname"] == "Zoë"


def test_the_valid_events_of_a_list_are_accepted(sandbox: Sandbox) -> None:
    """Positions count from 0, and exactly the valid ones are counted."""
    events = [MINIMUM, without("email"), {**MINIMUM, "orderid": "W-3"}, 7]
    answer = post(sandbox, {"events": events})
    assert answer.status_code == 400
    assert answer.json() == {
        "success": False,
        "created": 2,
        "errors": ["event 1: email is missing", "event 3: event is not an object"],
    }
    assert [p.orderid for p in sandbox.received.purchases()] == ["W-1", "W-3"]
    assert sandbox.received.totals.events == 2


@pytest.mark.parametrize(
    ("accepted", "good", "bad"),
    [
        ("single", MINIMUM, {"events": [MINIMUM]}),
        ("events", {"events": [MINIMUM]}, MINIMUM),
    ],
)
def test_an_account_may_accept_one_payload_only(
    accepted: Literal["single", "events"], good: object, bad: object
) -> None:
    """The other one is refused, and nothing of it is accepted."""
    with Sandbox(body=accepted) as sandbox:
        answer = post(sandbox, bad)
        assert answer.status_code == 400
        assert answer.json()["errors"][0].endswith("is missing")
        assert sandbox.received.totals.events == 0
        assert post(sandbox, good).status_code == 200
        assert sandbox.received.totals.events == 1


def test_a_repeat_is_accepted_and_counted(sandbox: Sandbox) -> None:
    """The same orderid twice is one purchase with two posts."""
    post(sandbox, MINIMUM)
    assert post(sandbox, {"events": [MINIMUM, MINIMUM]}).status_code == 200
    assert sandbox.received.posts("W-1") == 3
    assert sandbox.received.totals.repeats == 2
