import re
from typing import Any
from urllib.parse import quote

import pytest
import requests

from syncd.demo.sandbox import FAULTS, Sandbox

HEADERS = {"X-AUTH-ACCOUNT": "SQ-SANDBOX", "X-AUTH-APIKEY": "sandbox-key"}
EVENT: dict[str, Any] = {
    "event": "Purchase",
    "email": "maud.kersten@example.com",
    "orderid": "W-100417",
    "timestamp": "2026-11-20T14:03:07+01:00",
    "currency": "EUR",
    "totalvalue": 84.85,
    "products": [
        {"id": "KAN-0042", "price": 24.95, "quantity": 2, "language": "nl-NL"},
        {"id": "THEE-07", "price": 29.00, "quantity": 1, "language": "nl-NL"},
    ],
}
HOSTILE = "<script>alert(1)</script>"


def send(sandbox: Sandbox, **fields: object) -> None:
    answer = requests.post(
        sandbox.endpoint, json={**EVENT, **fields}, headers=HEADERS, timeout=10
    )
    assert answer.status_code == 200


def get(sandbox: Sandbox, path: str) -> dict[str, Any]:
    answer = requests.get(sandbox.url + path, timeout=10)
    assert answer.headers["Content-Type"] == "application/json"
    document: dict[str, Any] = answer.json()
    return document


def front_end(sandbox: Sandbox, document: object) -> requests.Response:
    return requests.post(sandbox.url + "/sandbox/front-end", json=document, timeout=10)


def test_the_page_identifies_itself_as_a_fake(sandbox: Sandbox) -> None:
    """It must not be mistaken for Squeezely."""
    answer = requests.get(sandbox.url, timeout=10)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "fake Squeezely API on this machine" in answer.text


def test_the_page_loads_nothing_from_elsewhere(sandbox: Sandbox) -> None:
    """Every resource is served here, and its policy allows no other."""
    page = requests.get(sandbox.url, timeout=10)
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    parts = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert sorted(parts) == ["/page.css", "/page.js", "data:,"]
    for part in ("/page.css", "/page.js"):
        answer = requests.get(sandbox.url + part, timeout=10)
        assert answer.status_code == 200
        assert "//" not in re.sub(r"(?m)^\s*//.*| // .*", "", answer.text)


def test_the_page_never_writes_markup(sandbox: Sandbox) -> None:
    """Order data is hostile, so the script never inserts it as HTML."""
    script = requests.get(sandbox.url + "/page.js", timeout=10).text
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"):
        assert way not in script


def test_head_is_answered_without_a_body(sandbox: Sandbox) -> None:
    """Content-Length is that of a GET."""
    with requests.Session() as session:
        head = session.head(sandbox.url, timeout=10)
        page = session.get(sandbox.url, timeout=10)
    assert head.content == b""
    assert head.headers["Content-Length"] == str(len(page.content))


def test_the_totals_are_served(sandbox: Sandbox) -> None:
    """They include the account, never the key."""
    send(sandbox)
    send(sandbox)
    assert get(sandbox, "/sandbox/totals") == {
        "account": "SQ-SANDBOX",
        "requests": 2,
        "events": 2,
        "orderids": 1,
        "repeats": 1,
        "front_end": 0,
        "inserted": 1,
        "verified": 0,
        "merged": 0,
    }


def test_a_purchase_is_shown_as_at_squeezely(sandbox: Sandbox) -> None:
    """The row has what an operator searches for, the single view the body too."""
    send(sandbox)
    row = get(sandbox, "/sandbox/purchases")["purchases"][0]
    received_at = row.pop("received_at")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*\+0[12]:00", received_at)
    assert row == {
        "orderid": "W-100417",
        "created_at": "2026-11-20 14:03:07",
        "api_inserted": True,
        "api_verified": False,
        "merged": False,
        "posts": 1,
        "body_kept": True,
        "products": [
            {"id": "KAN-0042", "quantity": "2"},
            {"id": "THEE-07", "quantity": "1"},
        ],
        "total": "84.85",
        "currency": "EUR",
        "languages": ["nl-NL"],
    }
    whole = get(sandbox, "/sandbox/purchases/W-100417")
    assert whole["body"] == EVENT
    assert {**row, "received_at": received_at, "body": EVENT} == whole


def test_the_total_is_summed_up_if_missing(sandbox: Sandbox) -> None:
    """Without totalvalue it is price times quantity, exact to the cent."""
    event = {key: value for key, value in EVENT.items() if key != "totalvalue"}
    front_end(sandbox, event)
    assert get(sandbox, "/sandbox/purchases/W-100417")["total"] == "78.90"


def test_the_newest_purchases_come_first_in_pages(sandbox: Sandbox) -> None:
    """Limit, offset and a part of the orderid choose what is listed."""
    for number in range(5):
        send(sandbox, orderid=f"W-{number}")
    send(sandbox, orderid="X-9")
    page = get(sandbox, "/sandbox/purchases?limit=2&offset=1&q=w-")
    assert page["count"] == 5
    assert [row["orderid"] for row in page["purchases"]] == ["W-3", "W-2"]
    beyond = get(sandbox, "/sandbox/purchases?offset=" + "9" * 40)
    assert beyond == {"count": 6, "purchases": []}
    assert get(sandbox, "/sandbox/purchases?limit=many")["success"] is False


@pytest.mark.parametrize("orderid", ["A/1 ü%?#&", HOSTILE, "\ud800", "🛒"])
def test_any_orderid_can_be_looked_up(sandbox: Sandbox, orderid: str) -> None:
    """An orderid is text, however it has to be escaped in a URL."""
    send(sandbox, orderid=orderid)
    row = get(sandbox, "/sandbox/purchases")["purchases"][0]
    assert row["orderid"] == orderid
    if orderid != "\ud800":
        path = "/sandbox/purchases/" + quote(orderid, safe="")
        assert get(sandbox, path)["orderid"] == orderid


def test_an_unknown_orderid_is_not_found(sandbox: Sandbox) -> None:
    """A purchase that was never received is a 404."""
    answer = requests.get(sandbox.url + "/sandbox/purchases/W-0", timeout=10)
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "fields",
    [
        {"currency": [], "languages": 1, "totalvalue": HOSTILE, "language": {}},
        {"totalvalue": 10**4000},
        {"totalvalue": -1e308, "products": [{"id": "X", "quantity": 1e308}]},
        {"products": [{"id": HOSTILE, "quantity": HOSTILE, "name": HOSTILE}]},
        {"products": [{"id": "X", "quantity": True, "price": None, "language": 1}]},
        {"firstname": "\ud800" + HOSTILE, "email": HOSTILE},
    ],
)
def test_hostile_values_are_served_as_data(
    sandbox: Sandbox, fields: dict[str, Any]
) -> None:
    """Whatever an event holds, the responses stay valid JSON with fixed types."""
    event = {key: value for key, value in EVENT.items() if key != "totalvalue"}
    answer = requests.post(
        sandbox.endpoint, json={**event, **fields}, headers=HEADERS, timeout=10
    )
    assert answer.status_code == 200
    row = get(sandbox, "/sandbox/purchases")["purchases"][0]
    assert all(isinstance(line["id"], str) for line in row["products"])
    assert all(isinstance(line["quantity"], str | None) for line in row["products"])
    assert isinstance(row["total"], str | None)
    assert isinstance(row["currency"], str | None)
    whole = get(sandbox, "/sandbox/purchases/W-100417")
    assert whole["body"] == {**event, **fields}


def test_a_dropped_body_is_marked_as_dropped() -> None:
    """The row stays, without the body's fields."""
    with Sandbox(keep_bodies=1) as sandbox:
        send(sandbox, orderid="W-1")
        send(sandbox, orderid="W-2")
        row = get(sandbox, "/sandbox/purchases/W-1")
    assert row["body"] is None
    assert row["body_kept"] is False
    assert (row["posts"], row["products"], row["total"]) == (1, [], None)


def test_a_front_end_purchase_merges_with_the_apis(sandbox: Sandbox) -> None:
    """The front end sends no more than an orderid, and no credentials."""
    assert front_end(sandbox, {"orderid": "W-100417"}).json() == {"success": True}
    assert get(sandbox, "/sandbox/purchases/W-100417")["posts"] == 0
    send(sandbox)
    purchase = get(sandbox, "/sandbox/purchases/W-100417")
    assert (purchase["merged"], purchase["api_verified"]) == (True, True)
    assert purchase["api_inserted"] is False


@pytest.mark.parametrize(
    "document",
    [{}, {"orderid": ""}, {"orderid": 7}, [], {"orderid": "W", "timestamp": "soon"}],
)
def test_an_invalid_front_end_purchase_is_refused(
    sandbox: Sandbox, document: object
) -> None:
    """Nothing of it is kept."""
    assert front_end(sandbox, document).status_code == 400
    assert sandbox.received.purchases() == []


def test_the_faults_are_listed_and_explained(sandbox: Sandbox) -> None:
    """Every fault of the table, with a sentence and its options."""
    listed = get(sandbox, "/sandbox/faults")
    assert [fault["name"] for fault in listed["faults"]] == list(FAULTS)
    assert all(fault["explanation"].endswith(".") for fault in listed["faults"])
    options = {fault["name"]: fault["options"] for fault in listed["faults"]}
    assert options["server-error"] == {
        "status": 500,
        "body": "empty",
        "takes": False,
        "orderids": [],
    }
    assert options["credentials"] == {}
    assert listed["queued"] == []


def test_faults_are_queued_and_cleared_over_http(sandbox: Sandbox) -> None:
    """With curl alone an operator can make the sandbox fail."""
    url = sandbox.url + "/sandbox/faults"
    document = {"fault": "server-error", "times": 2, "status": 503}
    queued = [{"fault": "server-error", "times": 2, "status": 503}]
    assert requests.post(url, json=document, timeout=10).json()["queued"] == queued
    answer = requests.post(sandbox.endpoint, json=EVENT, headers=HEADERS, timeout=10)
    assert answer.status_code == 503
    assert get(sandbox, "/sandbox/faults")["queued"][0]["times"] == 1
    assert requests.delete(url, timeout=10).json() == {"queued": []}
    send(sandbox)


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({"fault": "hang", "times": 1.5}, "times must be"),
        ({}, "there is no fault ''"),
        ({"fault": "earthquake"}, "there is no fault 'earthquake'"),
        ({"fault": "hang", "colour": 1}, "hang has no option 'colour'"),
        ({"fault": "hang", "times": 0}, "times must be"),
        ({"fault": "hang", "times": True}, "times must be"),
        ({"fault": "hang", "seconds": "long"}, "seconds cannot be 'long'"),
    ],
)
def test_an_impossible_fault_is_refused(
    sandbox: Sandbox, document: object, error: str
) -> None:
    """The response has the error, and nothing is queued."""
    answer = requests.post(sandbox.url + "/sandbox/faults", json=document, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["errors"][0].startswith(error)
    assert sandbox.queued_faults() == []
