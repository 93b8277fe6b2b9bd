import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import pytest
import requests

from syncd.demo.sandbox import PortUnavailableError, ReceivedEvents, Sandbox, Totals
from syncd.demo.sandbox.contract import Account
from syncd.demo.sandbox.fault_queue import FaultQueue
from syncd.demo.sandbox.routes import Routes
from syncd.demo.sandbox.server import Connection

HEADERS = {"X-AUTH-ACCOUNT": "SQ-SANDBOX", "X-AUTH-APIKEY": "sandbox-key"}


def event(orderid: str) -> dict[str, object]:
    return {
        "event": "Purchase",
        "email": "a@example.com",
        "orderid": orderid,
        "products": [{"id": "X1", "quantity": 1}],
    }


def address(sandbox: Sandbox) -> tuple[str, int]:
    host, port = sandbox.url.removeprefix("http://").split(":")
    return host, int(port)


def raw_response(sandbox: Sandbox, message: bytes) -> bytes:
    """Send raw bytes, and read until the sandbox closes."""
    with socket.create_connection(address(sandbox), timeout=10) as connection:
        connection.sendall(message)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


def sandbox_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sandbox"]


def test_the_endpoint_is_on_loopback_with_the_real_port(sandbox: Sandbox) -> None:
    """The endpoint is the page's address and the track path."""
    assert sandbox.url.startswith("http://127.0.0.1:")
    assert not sandbox.url.endswith(":0")
    assert sandbox.endpoint == sandbox.url + "/v1/track"


def test_only_one_loopback_address_is_bound(sandbox: Sandbox) -> None:
    """Another address of this same machine is not served."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", address(sandbox)[1]), timeout=10)


def test_a_port_in_use_is_reported_in_one_line(sandbox: Sandbox) -> None:
    """The demo checks the port before it starts anything."""
    port = address(sandbox)[1]
    with pytest.raises(PortUnavailableError) as caught:
        Sandbox(port=port).start()
    assert isinstance(caught.value, OSError)
    line = f"port {port} on 127.0.0.1 cannot be opened: another program has it"
    assert str(caught.value) == line


def test_a_connection_is_kept_alive_without_delay(sandbox: Sandbox) -> None:
    """Without Nagle's delay many small requests do not take 40 ms each."""
    connection = HTTPConnection(*address(sandbox), timeout=10)
    body = json.dumps(event("W-1"))
    headers = {**HEADERS, "Content-Type": "application/json"}
    began = time.monotonic()
    connection.connect()
    first = connection.sock
    for _ in range(50):
        connection.request("POST", "/v1/track", body, headers)
        assert connection.getresponse().read() == b'{"success": true}'
        assert connection.sock is first
    connection.close()
    assert time.monotonic() - began < 50 * 0.04
    assert sandbox.received.posts("W-1") == 50


def test_small_responses_are_not_delayed() -> None:
    """Every connection has TCP_NODELAY."""
    routes = Routes(
        ReceivedEvents(), FaultQueue(), Account("SQ-SANDBOX", "sandbox-key")
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=10)
        accepted, _ = listener.accept()
        with client, accepted:
            client.shutdown(socket.SHUT_WR)
            Connection(accepted, routes, threading.Event())
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_clients_connection_close_is_respected(sandbox: Sandbox) -> None:
    """The response has Connection: close, and the connection ends."""
    message = b"GET /sandbox/totals HTTP/1.1\r\nConnection: close\r\n\r\n"
    with socket.create_connection(address(sandbox), timeout=10) as connection:
        connection.sendall(message)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/v1/track", 405, "POST"),
        ("PUT", "/v1/track", 405, "POST"),
        ("OPTIONS", "/v1/track", 405, "POST"),
        ("DELETE", "/", 405, "GET"),
        ("PATCH", "/sandbox/faults", 405, "GET, POST, DELETE"),
        ("POST", "/sandbox/purchases/W-1", 405, "GET"),
        ("POST", "/v1/tracks", 404, None),
        ("POST", "/v1/track/", 404, None),
        ("POST", "/v1/verifyAuth", 404, None),
        ("GET", "/sandbox", 404, None),
        ("GET", "/../secret", 404, None),
    ],
)
def test_a_wrong_path_or_method_is_refused(
    sandbox: Sandbox, method: str, path: str, status: int, allowed: str | None
) -> None:
    """405 lists the allowed methods; neither is a request to the API."""
    answer = requests.request(
        method, sandbox.url + path, json={}, headers=HEADERS, timeout=10
    )
    assert answer.status_code == status
    assert answer.headers.get("Allow") == allowed
    assert sandbox.received.totals == Totals()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", b"411"),
        (b"Transfer-Encoding: chunked\r\n", b"411"),
        (b"Content-Length: many\r\n", b"400"),
        (b"Content-Length: -1\r\n", b"400"),
        (b"Content-Length: " + b"9" * 5000 + b"\r\n", b"400"),
        (b"Content-Length: 99999999999\r\n", b"413"),
    ],
)
def test_a_body_without_a_valid_length_ends_the_connection(
    sandbox: Sandbox, head: bytes, status: bytes
) -> None:
    """A body that cannot be delimited is not read."""
    answer = raw_response(sandbox, b"POST /v1/track HTTP/1.1\r\n" + head + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nContent-Length: " in answer


def test_a_client_that_disconnects_in_its_body_changes_nothing(
    sandbox: Sandbox,
) -> None:
    """Half a body is no event, and gets no response."""
    body = json.dumps(event("W-1")).encode()
    head = f"POST /v1/track HTTP/1.1\r\nContent-Length: {len(body) + 1}\r\n\r\n"
    assert raw_response(sandbox, head.encode() + body) == b""
    assert sandbox.received.totals == Totals()


@pytest.mark.parametrize("message", [b"rubbish\r\n\r\n", b"\x16\x03\x01\r\n\r\n"])
def test_invalid_http_does_no_damage(sandbox: Sandbox, message: bytes) -> None:
    """It gets an error or nothing, and the next client is served."""
    raw_response(sandbox, message)
    assert requests.get(sandbox.url, timeout=10).status_code == 200


def test_another_host_name_is_refused(sandbox: Sandbox) -> None:
    """A web page cannot read order data by pointing its name at this machine."""
    for host, status in (("shop.example", 421), ("localhost:1", 200)):
        answer = requests.get(
            sandbox.url + "/sandbox/totals", headers={"Host": host}, timeout=10
        )
        assert answer.status_code == status


def test_concurrent_posts_are_all_counted(sandbox: Sandbox) -> None:
    """Each of eight clients sends the same orders."""

    def post_all(_: int) -> None:
        with requests.Session() as session:
            for number in range(25):
                events = [event(f"W-{number}"), event(f"X-{number}")]
                answer = session.post(
                    sandbox.endpoint, json={"events": events}, headers=HEADERS
                )
                assert answer.status_code == 200

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(post_all, range(8)))
    assert sandbox.received.totals == Totals(
        requests=200, events=400, orderids=50, repeats=350, inserted=50
    )
    assert {p.posts for p in sandbox.received.purchases()} == {8}


def test_stopping_ends_idle_and_slow_connections_at_once() -> None:
    """A kept connection or a hanging response does not delay it; no thread is left."""
    sandbox = Sandbox()
    sandbox.start()
    sandbox.fail("hang", seconds=600, takes=True)
    idle = socket.create_connection(address(sandbox), timeout=10)
    slow = HTTPConnection(*address(sandbox), timeout=10)
    headers = {**HEADERS, "Content-Type": "application/json"}
    slow.request("POST", "/v1/track", json.dumps(event("W-1")), headers)
    assert sandbox.received.wait_until(lambda totals: totals.events == 1, 60)
    began = time.monotonic()
    sandbox.stop()
    assert time.monotonic() - began < 1
    assert sandbox_threads() == []
    with idle:
        assert idle.recv(1) == b""
    with pytest.raises(ConnectionError):
        slow.getresponse()
    slow.close()


def test_a_restart_keeps_port_and_received_events() -> None:
    """Stop and start simulate an outage; both are idempotent."""
    sandbox = Sandbox()
    with sandbox:
        endpoint = sandbox.endpoint
        requests.post(endpoint, json=event("W-1"), headers=HEADERS, timeout=10)
        sandbox.stop()
        sandbox.stop()
        with pytest.raises(requests.ConnectionError):
            requests.post(endpoint, json=event("W-1"), headers=HEADERS, timeout=10)
        sandbox.start()
        sandbox.start()
        assert sandbox.endpoint == endpoint
        requests.post(endpoint, json=event("W-1"), headers=HEADERS, timeout=10)
    assert sandbox.received.posts("W-1") == 2
    assert sandbox_threads() == []


def test_a_batch_of_a_thousand_is_accepted_whole(sandbox: Sandbox) -> None:
    """1000 events of about 500 bytes, as one request."""
    events = [{**event(f"W-{n}"), "note": "x" * 350} for n in range(1000)]
    answer = requests.post(
        sandbox.endpoint,
        data=json.dumps({"events": events}),
        headers={**HEADERS, "Content-Type": "application/json"},
        timeout=30,
    )
    assert answer.status_code == 200
    assert sandbox.received.totals.events == 1000
