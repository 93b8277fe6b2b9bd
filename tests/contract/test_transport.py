"""The total deadline of an exchange, and what is known to have been sent by then."""

import gzip
import queue
import random
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncd.config.configuration import load
from syncd.config.settings import Settings
from syncd.core.response import NoResponse, Response, classify
from syncd.delivery.squeezely import MAX_ANSWER_BYTES, Squeezely

SECONDS = 1.5
SMALL = b'{"events": []}'
LARGE = b"x" * 20_000_000
GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"success":true}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

Peer = Callable[["ScriptedServer", socket.socket], None]


class ScriptedServer:
    """A server whose `play` handles each connection in a thread."""

    def __init__(self, play: Peer, tls: ssl.SSLContext | None = None) -> None:
        self._play = play
        self._tls = tls
        self.over = threading.Event()
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                thread = threading.Thread(target=self._deal, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _deal(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        with connection, suppress(OSError):
            if self._tls:
                with self._tls.wrap_socket(connection, server_side=True) as wrapped:
                    self._play(self, wrapped)
            else:
                self._play(self, connection)

    def drip(self, connection: socket.socket, message: bytes) -> None:
        """Send a byte every 50 ms: each in time, the whole too late."""
        for place in range(len(message)):
            connection.sendall(message[place : place + 1])
            if self.over.wait(0.05):
                return

    def close(self) -> None:
        self.over.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(15)
            assert not thread.is_alive()


def read_request(connection: socket.socket) -> None:
    """Read the whole of a small request."""
    got = b""
    while SMALL not in got:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError
        got += piece


def respond_well(_stage: ScriptedServer, connection: socket.socket) -> None:
    while True:
        read_request(connection)
        connection.sendall(GOOD)


def respond_nothing(stage: ScriptedServer, _connection: socket.socket) -> None:
    stage.over.wait(10)


def read_slowly(stage: ScriptedServer, connection: socket.socket) -> None:
    """Read 64 kB every 50 ms: the sender makes progress each time."""
    while connection.recv(65536) and not stage.over.wait(0.05):
        pass


def drip_head(stage: ScriptedServer, connection: socket.socket) -> None:
    read_request(connection)
    stage.drip(connection, HEAD + b"X: " + b"y" * 200)


def drip_status(stage: ScriptedServer, connection: socket.socket) -> None:
    read_request(connection)
    stage.drip(connection, b"HTTP/1.1 200 " + b"O" * 200)


def drip_body(stage: ScriptedServer, connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(HEAD + b"Content-Length: 200\r\n\r\n")
    stage.drip(connection, b"{" + b" " * 198 + b"}")


def drip_chunks(stage: ScriptedServer, connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    stage.drip(connection, b"1\r\n \r\n" * 50)


def continue_for_ever(stage: ScriptedServer, connection: socket.socket) -> None:
    """Send "100 Continue" repeatedly: each is a response, none the final one."""
    read_request(connection)
    while not stage.over.wait(0.05):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


SLOW: list[tuple[Peer, bytes, bool]] = [
    (respond_nothing, LARGE, False),
    (read_slowly, LARGE, False),
    (respond_nothing, SMALL, True),
    (drip_status, SMALL, True),
    (drip_head, SMALL, True),
    (drip_body, SMALL, True),
    (drip_chunks, SMALL, True),
    (continue_for_ever, SMALL, True),
]


def api_of(
    folder: Path,
    endpoint: str,
    authority: Path | None = None,
    seconds: float = 20,
) -> Squeezely:
    path = folder / "syncd.toml"
    ca_file = f'ca_file = "{authority}"\n' if authority else ""
    path.write_text(
        '[source]\ndsn = "dbname=none"\n[squeezely]\naccount = "SQ-SANDBOX"\n'
        f'endpoint = "{endpoint}"\ntimeout = "{seconds}s"\n{ca_file}'
    )
    settings: Settings = load(path, {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"})
    return Squeezely(settings)


def post_in_time(api: Squeezely, body: bytes) -> Response | NoResponse:
    """POST; the exchange ends at its deadline, not with the peer's dripping (10 s)."""
    started = time.monotonic()
    answer = api.post(body)
    assert time.monotonic() - started < SECONDS + 5
    return answer


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=here",
         "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return folder / "cert.pem"


@pytest.fixture
def tls(authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, authority.with_name("key.pem"))
    return context


@pytest.mark.parametrize("is_secret", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(("play", "body", "sent"), SLOW)
def test_a_slow_peer_is_disconnected_at_the_deadline(
    tmp_path: Path,
    authority: Path,
    tls: ssl.SSLContext,
    play: Peer,
    body: bytes,
    *,
    sent: bool,
    is_secret: bool,
) -> None:
    """Once a byte was sent, the request may have been accepted."""
    stage = ScriptedServer(play, tls if is_secret else None)
    scheme = "https" if is_secret else "http"
    endpoint = f"{scheme}://127.0.0.1:{stage.port}/"
    api = api_of(tmp_path, endpoint, authority, seconds=SECONDS)
    try:
        no_response = post_in_time(api, body)
    finally:
        api.close()
        stage.close()
    reason = "no answer in time" if sent else "not sent in time"
    assert no_response == NoResponse(reason, taken=True)


def drip_hello(stage: ScriptedServer, connection: socket.socket) -> None:
    """Send the beginning of a TLS record, slowly."""
    connection.recv(65536)
    stage.drip(connection, b"\x16\x03\x03\x40\x00" + b"\x02" * 200)


@pytest.mark.parametrize("play", [respond_nothing, drip_hello])
def test_a_slow_handshake_is_ended_and_nothing_was_accepted(
    tmp_path: Path, play: Peer
) -> None:
    """No byte of the request is sent before the handshake is complete."""
    stage = ScriptedServer(play)
    api = api_of(tmp_path, f"https://127.0.0.1:{stage.port}/", seconds=SECONDS)
    try:
        no_response = post_in_time(api, SMALL)
    finally:
        api.close()
        stage.close()
    assert no_response == NoResponse("not sent in time", taken=False)


def test_addresses_that_do_not_respond_share_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four of them take no longer than one, and the last is tried as well."""
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = full.getsockname()[1]
    waiting = [socket.socket() for _ in range(4)]
    for client in waiting:
        client.settimeout(0)
        client.connect_ex(("127.0.0.1", port))
    look_up = socket.getaddrinfo
    stage = ScriptedServer(respond_well)

    def four(*args: object, **kwargs: object) -> list[object]:
        (found,) = look_up(*args, **kwargs)  # type: ignore[arg-type]
        return [found] * 3 + ([(*found[:4], last)] if last else [found])

    last: tuple[str, int] | None = None
    monkeypatch.setattr(socket, "getaddrinfo", four)
    api = api_of(tmp_path, f"http://127.0.0.1:{port}/", seconds=SECONDS)
    try:
        assert post_in_time(api, SMALL) == NoResponse(
            "no connection in time", taken=False
        )
        last = ("127.0.0.1", stage.port)
        answer = post_in_time(api, SMALL)
        assert isinstance(answer, Response)
    finally:
        api.close()
        stage.close()
        for client in [*waiting, full]:
            client.close()


@pytest.fixture
def echo(tls: ssl.SSLContext) -> Iterator[ScriptedServer]:
    """Gives every request a good response, over TLS."""
    stage = ScriptedServer(respond_well, tls)
    yield stage
    stage.close()


@pytest.mark.parametrize(
    ("host", "is_known"), [("127.0.0.1", False), ("localhost", True)]
)
def test_an_untrusted_certificate_gets_no_order(
    tmp_path: Path, authority: Path, echo: ScriptedServer, host: str, *, is_known: bool
) -> None:
    """Of an unknown authority, or for another name."""
    endpoint = f"https://{host}:{echo.port}/"
    api = api_of(tmp_path, endpoint, authority if is_known else None)
    no_response = api.post(SMALL)
    api.close()
    assert isinstance(no_response, NoResponse)
    assert "certificate" in no_response.reason
    assert not no_response.taken


def test_an_unknown_host_has_accepted_nothing(tmp_path: Path) -> None:
    """The name does not resolve."""
    api = api_of(tmp_path, "https://nowhere.invalid/")
    no_response = api.post(SMALL)
    api.close()
    assert no_response == NoResponse(
        "the endpoint's host name is not known", taken=False
    )


def test_a_connection_is_kept_until_it_was_idle_for_long(
    tmp_path: Path,
    authority: Path,
    echo: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A gateway may have dropped it, and the next order would wait in vain."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "another"))
    api = api_of(tmp_path, f"https://127.0.0.1:{echo.port}/", authority)
    assert isinstance(api.post(SMALL), Response)
    assert isinstance(api.post(SMALL), Response)
    assert echo.connections == 1
    api.idle_seconds = 0
    assert isinstance(api.post(SMALL), Response)
    api.close()
    assert echo.connections == 2


class Tunnel(ScriptedServer):
    """A proxy: connects to the address of a CONNECT request, or refuses."""

    def __init__(self, refusal: bytes = b"") -> None:
        self.connect_requests: list[bytes] = []
        self._refusal = refusal
        super().__init__(Tunnel._pass_on)

    def _pass_on(self: ScriptedServer, connection: socket.socket) -> None:
        assert isinstance(self, Tunnel)
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1)
        self.connect_requests.append(head)
        if self._refusal:
            connection.sendall(self._refusal)
            return
        host, _, port = head.split()[1].decode().partition(":")
        with socket.create_connection((host, int(port)), 10) as onward:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=_pump, args=(onward, connection))
            back.start()
            _pump(connection, onward)
            back.join(10)


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while piece := one.recv(65536):
            other.sendall(piece)
    with suppress(OSError):
        other.shutdown(socket.SHUT_RDWR)


PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "NO_PROXY", "no_proxy")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("is_known", [True, False], ids=["trusted", "not trusted"])
def test_a_proxy_forwards_tls_that_it_cannot_read(
    tmp_path: Path,
    authority: Path,
    echo: ScriptedServer,
    environment: pytest.MonkeyPatch,
    *,
    is_known: bool,
) -> None:
    """TLS goes through it to the endpoint, whose certificate is verified."""
    tunnel = Tunnel()
    environment.setenv("HTTPS_PROXY", f"http://127.0.0.1:{tunnel.port}")
    endpoint = f"https://127.0.0.1:{echo.port}/"
    api = api_of(tmp_path, endpoint, authority if is_known else None)
    answer = api.post(SMALL)
    api.close()
    tunnel.close()
    assert (echo.connections, len(tunnel.connect_requests)) == (1, 1)
    assert b"sandbox-key" not in tunnel.connect_requests[0]
    assert isinstance(answer, Response) is is_known
    if isinstance(answer, NoResponse):
        assert "certificate" in answer.reason
        assert not answer.taken


def test_no_proxy_lists_what_is_reached_directly(
    tmp_path: Path,
    authority: Path,
    echo: ScriptedServer,
    environment: pytest.MonkeyPatch,
) -> None:
    """The variable works as in other programs."""
    environment.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    environment.setenv("NO_PROXY", "127.0.0.1")
    api = api_of(tmp_path, f"https://127.0.0.1:{echo.port}/", authority)
    assert isinstance(api.post(SMALL), Response)
    api.close()


REFUSALS = [
    b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_proxy_that_refuses_has_forwarded_nothing(
    tmp_path: Path,
    echo: ScriptedServer,
    environment: pytest.MonkeyPatch,
    refusal: bytes,
) -> None:
    """The error names the proxy, without its password."""
    tunnel = Tunnel(refusal)
    proxy = f"http://mila:hunter2@127.0.0.1:{tunnel.port}"
    environment.setenv("HTTPS_PROXY", proxy)
    api = api_of(tmp_path, f"https://127.0.0.1:{echo.port}/")
    no_response = api.post(SMALL)
    api.close()
    tunnel.close()
    assert isinstance(no_response, NoResponse)
    assert "proxy" in no_response.reason
    assert "hunter2" not in no_response.reason
    assert not no_response.taken
    assert echo.connections == 0


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "http://nowhere.invalid:1"])
def test_an_unreachable_proxy_is_named(
    tmp_path: Path, environment: pytest.MonkeyPatch, proxy: str
) -> None:
    """Not the endpoint, whose name was never resolved."""
    environment.setenv("HTTPS_PROXY", proxy)
    api = api_of(tmp_path, "https://api.squeezely.invalid/")
    no_response = api.post(SMALL)
    api.close()
    assert isinstance(no_response, NoResponse)
    assert "proxy" in no_response.reason
    assert not no_response.taken


def test_a_slow_proxy_is_disconnected_at_the_deadline(
    tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    """By then nothing of the request was sent."""

    def drip(stage: ScriptedServer, connection: socket.socket) -> None:
        connection.recv(1000)
        stage.drip(connection, b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200)

    stage = ScriptedServer(drip)
    environment.setenv("HTTPS_PROXY", f"http://127.0.0.1:{stage.port}")
    api = api_of(tmp_path, "https://api.squeezely.invalid/", seconds=SECONDS)
    no_response = post_in_time(api, SMALL)
    api.close()
    stage.close()
    assert isinstance(no_response, NoResponse)
    assert not no_response.taken


def test_no_netrc_password_is_sent_to_the_api(
    tmp_path: Path,
    authority: Path,
    tls: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A password stored for this host is not meant for it."""
    heads: list[bytes] = []

    def note(_: ScriptedServer, connection: socket.socket) -> None:
        got = b""
        while SMALL not in got:
            got += connection.recv(65536)
        heads.append(got)
        connection.sendall(GOOD)

    (tmp_path / "netrc").write_text("machine 127.0.0.1 login mila password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    stage = ScriptedServer(note, tls)
    api = api_of(tmp_path, f"https://127.0.0.1:{stage.port}/", authority)
    assert isinstance(api.post(SMALL), Response)
    api.close()
    stage.close()
    assert b"Authorization" not in heads[0]


def reset(_stage: ScriptedServer, connection: socket.socket) -> None:
    """Read a little, and reset the connection."""
    connection.recv(1000)
    reset_now(connection)


def reset_now(connection: socket.socket) -> None:
    linger = socket.SO_LINGER
    connection.setsockopt(socket.SOL_SOCKET, linger, b"\x01\0\0\0\0\0\0\0")


def reset_after_all(_stage: ScriptedServer, connection: socket.socket) -> None:
    """Read the whole of a small request first: head and body are sent separately."""
    request = b""
    while not request.endswith(SMALL):
        request += connection.recv(1000)
    reset_now(connection)


def respond_early(stage: ScriptedServer, connection: socket.socket) -> None:
    """Respond to an incomplete request, and disconnect."""
    connection.recv(1000)
    connection.sendall(GOOD)
    reset(stage, connection)


@pytest.mark.parametrize(
    ("play", "body", "part"),
    [(reset_after_all, SMALL, "answer came"), (reset, LARGE, "request was sent")],
    ids=["after", "before"],
)
def test_a_reset_at_any_point_is_uncertain(
    tmp_path: Path, play: Peer, body: bytes, part: str
) -> None:
    """The reader is unknown: a gateway may complete what came."""
    stage = ScriptedServer(play)
    api = api_of(tmp_path, f"http://127.0.0.1:{stage.port}/")
    no_response = post_in_time(api, body)
    api.close()
    stage.close()
    assert isinstance(no_response, NoResponse)
    assert no_response == NoResponse(
        f"the connection broke before the whole {part}", taken=True
    )


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 999999 What\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n{}",
        HEAD + b"\r\n" + b" " * (MAX_ANSWER_BYTES + 9),
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 -20 \xff\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
    ],
    ids=lambda answer: repr(answer)[:50],
)
def test_an_incomplete_response_is_uncertain(tmp_path: Path, answer: bytes) -> None:
    """Whatever the peer sends, there is no exception."""

    def play(_: ScriptedServer, connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer)

    stage = ScriptedServer(play)
    api = api_of(tmp_path, f"http://127.0.0.1:{stage.port}/")
    no_response = post_in_time(api, SMALL)
    api.close()
    stage.close()
    assert isinstance(no_response, NoResponse)
    assert no_response.taken


def test_a_success_before_the_end_of_the_request_is_not_trusted(
    tmp_path: Path,
) -> None:
    """A server that responds before reading has not read the orders."""
    stage = ScriptedServer(respond_early)
    api = api_of(tmp_path, f"http://127.0.0.1:{stage.port}/")
    no_response = post_in_time(api, LARGE)
    api.close()
    stage.close()
    assert isinstance(no_response, NoResponse)


WHOLE = [
    HEAD + b"Content-Length: 17\r\n\r\n" + b'{"success": true}',
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.0 503 \xe9\r\nRetry-After: Fri, 20 Nov 99999999999 14:00:30 GMT\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 429 -\r\nRetry-After: -1\r\n\r\n",
    HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b'{"success": true}'),
    HEAD + b"Content-Type: text/html; charset=\x00bogus\r\nSet-Cookie: =;;\r\n\r\n{}",
]


def test_no_bytes_from_a_peer_end_the_daemon(tmp_path: Path) -> None:
    """Mutated real responses: a response, or one that may have been accepted."""
    draw = random.Random(2)  # noqa: S311  # spreads mutations, guards nothing
    answers: queue.Queue[bytes] = queue.Queue()

    def play(_: ScriptedServer, connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answers.get())

    stage = ScriptedServer(play)
    api = api_of(tmp_path, f"http://127.0.0.1:{stage.port}/")
    for number in range(400):
        mutated = bytearray(WHOLE[number % len(WHOLE)])
        for _ in range(draw.randrange(4)):
            at = draw.randrange(len(mutated))
            mutated[at : at + draw.randrange(4)] = draw.randbytes(draw.randrange(4))
        answers.put(bytes(mutated))
        answer = api.post(SMALL)
        api.close()
        assert isinstance(answer, Response) or answer.taken, mutated
        classified = classify(answer, 1, datetime.now(UTC))
        assert classified.reason.isprintable(), mutated
    stage.close()
