"""The API client against a real HTTP server that misbehaves."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncd.config.configuration import load
from syncd.config.settings import Settings
from syncd.core.event import Event
from syncd.core.payload import encode
from syncd.core.response import NoResponse, Response
from syncd.delivery.squeezely import MAX_ANSWER_BYTES, Squeezely
from syncd.demo.sandbox import Sandbox

EVENT = {
    "event": "Purchase",
    "email": "mila@example.com",
    "orderid": "W-1",
    "products": [{"id": "MUG-1", "quantity": 1, "name": "Enamel 🎁 Żółć"}],
}
SENT = Event.of(EVENT).body


@pytest.fixture
def settings(sandbox: Sandbox, tmp_path: Path) -> Settings:
    path = tmp_path / "syncd.toml"
    path.write_text(
        '[source]\ndsn = "dbname=none"\n[squeezely]\naccount = "SQ-SANDBOX"\n'
        f'endpoint = "{sandbox.endpoint}"\ntimeout = "1s"\n'
    )
    return load(path, {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"})


@pytest.fixture
def api(settings: Settings) -> Iterator[Squeezely]:
    client = Squeezely(settings)
    yield client
    client.close()


def test_the_body_is_ascii_with_the_same_meaning() -> None:
    """Characters beyond ASCII are escaped, as the vendor's own client does."""
    body = encode([SENT], "events")
    assert body.isascii()
    assert json.loads(body) == {"events": [EVENT]}
    assert json.loads(encode([SENT], "single")) == EVENT


def test_an_accepted_event_arrives(api: Squeezely, sandbox: Sandbox) -> None:
    """One request with both headers brings it."""
    answer = api.post(encode([SENT], "events"))
    assert isinstance(answer, Response)
    assert answer.status == 200
    assert sandbox.received.posts("W-1") == 1


@pytest.mark.parametrize(
    ("fault", "options", "status"),
    [
        ("credentials", {}, 401),
        ("redirect", {}, 302),
        ("server-error", {"status": 502, "body": "html"}, 502),
        ("empty", {}, 200),
        ("html", {}, 200),
    ],
)
def test_every_complete_response_is_returned(
    api: Squeezely,
    sandbox: Sandbox,
    fault: str,
    options: dict[str, Any],
    status: int,
) -> None:
    """Classified elsewhere; a redirect is never followed."""
    sandbox.fail(fault, **options)
    answer = api.post(encode([SENT], "events"))
    assert isinstance(answer, Response)
    assert answer.status == status
    assert sandbox.received.totals.requests == 1


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("accept-then-drop", {}),
        ("accept-then-drop", {"reset": True}),
        ("drop-before-reading", {}),
        ("truncated", {}),
        ("broken-encoding", {}),
        ("hang", {"seconds": 5}),
        ("huge", {"size_bytes": MAX_ANSWER_BYTES + 100_000}),
    ],
)
def test_an_incomplete_response_may_have_been_accepted(
    api: Squeezely, sandbox: Sandbox, fault: str, options: dict[str, Any]
) -> None:
    """The client gives up at about the timeout of one second, not later."""
    sandbox.fail(fault, **options)
    started = time.monotonic()
    no_response = api.post(encode([SENT], "events"))
    assert time.monotonic() - started < 4
    assert isinstance(no_response, NoResponse)
    assert no_response.taken
    assert "sandbox-key" not in no_response.reason


def test_a_missing_endpoint_has_accepted_nothing(
    api: Squeezely, sandbox: Sandbox
) -> None:
    """That is certain, so it is no possible repeat."""
    sandbox.stop()
    no_response = api.post(encode([SENT], "events"))
    assert isinstance(no_response, NoResponse)
    assert not no_response.taken
