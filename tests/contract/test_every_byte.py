"""The connection breaks after each byte of the request, and of the response."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncd.config.configuration import load
from syncd.core.event import Event
from syncd.core.payload import encode
from syncd.core.response import Classification, Outcome, classify
from syncd.delivery.squeezely import Squeezely

EVENTS = [
    {"event": "Purchase", "email": "mila@example.com", "orderid": f"W-{number}"}
    for number in (1, 2)
]
BODY = b'{"success":true,"created":2,"errors":[]}'
LENGTH = b"Content-Length: %d\r\n\r\n" % len(BODY)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ANSWERS = {
    "counted": HEAD + LENGTH + BODY,
    "chunked": HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
    "until-closed": HEAD + b"Connection: close\r\n\r\n" + BODY,
}


class BreakingServer:
    """Reads so many bytes, responds with so many, and disconnects.

    `taken` is true once it has the whole request.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.read_bytes: int | None = None
        self.answer = b""
        self.resets = False
        self.taken = False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    self._serve_one(connection)

    def _serve_one(self, connection: socket.socket) -> None:
        request = b""
        while self.read_bytes is None or len(request) < self.read_bytes:
            limit = 65536 if self.read_bytes is None else self.read_bytes - len(request)
            request += connection.recv(limit)
            if request.endswith(b"]}"):
                self.taken = True
                break
        connection.sendall(self.answer)
        if self.resets:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


@pytest.fixture
def breaker() -> Iterator[BreakingServer]:
    running = BreakingServer()
    yield running
    running.close()


@pytest.fixture
def api(breaker: BreakingServer, tmp_path: Path) -> Iterator[Squeezely]:
    path = tmp_path / "syncd.toml"
    path.write_text(
        '[source]\ndsn = "dbname=none"\n[squeezely]\naccount = "SQ-SANDBOX"\n'
        f'endpoint = "http://127.0.0.1:{breaker.port}/v1/track"\ntimeout = "5s"\n'
    )
    client = Squeezely(load(path, {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"}))
    yield client
    client.close()


def attempt(api: Squeezely) -> Classification:
    answer = api.post(encode([Event.of(event).body for event in EVENTS], "events"))
    return classify(answer, len(EVENTS), datetime.now(UTC))


@pytest.mark.parametrize("resets", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("form", sorted(ANSWERS))
def test_a_response_that_breaks_off_at_any_byte_is_uncertain(
    breaker: BreakingServer,
    api: Squeezely,
    form: str,
    resets: bool,  # noqa: FBT001
) -> None:
    """Only the whole body means success; no part of it rejects an order."""
    answer = ANSWERS[form]
    breaker.resets = resets
    for length in range(answer.index(BODY) + len(BODY)):
        breaker.answer = answer[:length]
        verdict = attempt(api)
        assert verdict.outcome is Outcome.UNCLEAR, (length, verdict)
        assert verdict.maybe_taken, (length, verdict)
    breaker.answer, breaker.resets = answer, False
    assert attempt(api).outcome is Outcome.ACCEPTED


@pytest.mark.parametrize("resets", [False, True], ids=["closed", "reset"])
def test_a_request_that_breaks_off_at_any_byte_is_retried(
    breaker: BreakingServer,
    api: Squeezely,
    resets: bool,  # noqa: FBT001
) -> None:
    """If the server had all of it, it is uncertain; nothing is refused."""
    breaker.resets = resets
    whole = 0
    for length in range(0, 700, 3):
        breaker.read_bytes, breaker.taken = length, False
        verdict = attempt(api)
        assert verdict.outcome in {Outcome.UNCLEAR, Outcome.TRANSIENT}, length
        assert verdict.maybe_taken or not breaker.taken, length
        whole += breaker.taken
    assert whole
