"""What `syncd check` finds on the way to the API: with real sockets and TLS."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from support.certificates import Certificate, issue
from support.postgres import wait_until

from syncd.config.configuration import load
from syncd.config.settings import Settings
from syncd.diagnostics.check import endpoint as way
from syncd.diagnostics.check.endpoint import check_endpoint, check_proxy
from syncd.diagnostics.check.finding import Finding

NO_PROXY = {"HTTPS_PROXY": "", "https_proxy": "", "NO_PROXY": "", "no_proxy": ""}


class RecordingServer:
    """Accepts connections, with TLS if it has a certificate, and records what arrives.

    `answer` is sent for a request line, as a proxy does before it connects.
    """

    def __init__(
        self,
        certificate: Certificate | None = None,
        answer: bytes = b"",
        target: int | None = None,
    ) -> None:
        self.received: list[bytes] = []
        self._context = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate.path, certificate.key)
        self._answer, self._target = answer, target
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                client.settimeout(10)
                with suppress(OSError), client:
                    self._deal(client)

    def _deal(self, client: socket.socket) -> None:
        if self._context is not None:
            with self._context.wrap_socket(client, server_side=True) as secret:
                self.received.append(secret.recv(65536))
            return
        self.received.append(client.recv(65536))
        client.sendall(self._answer)
        if self._target is not None:
            with socket.create_connection(("127.0.0.1", self._target)) as server:
                server.settimeout(10)
                mover = threading.Thread(target=_move, args=(client, server))
                mover.start()
                _move(server, client)
                mover.join()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(15)


def _move(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


Opener = Callable[..., RecordingServer]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NO_PROXY:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server_of() -> Iterator[Opener]:
    opened: list[RecordingServer] = []

    def opening(*args: object, **kwargs: object) -> RecordingServer:
        opened.append(RecordingServer(*args, **kwargs))  # type: ignore[arg-type]
        return opened[-1]

    yield opening
    for each in opened:
        each.close()


def findings_of(
    folder: Path,
    endpoint: str,
    *,
    check: Callable[[Settings], Iterable[Finding]] = check_endpoint,
    **squeezely: object,
) -> dict[str, Finding]:
    lines = [f'{name} = "{value}"' for name, value in squeezely.items()]
    config = folder / "syncd.toml"
    config.write_text(
        f'[source]\ndsn = "host=/x"\n[squeezely]\naccount = "SQ"\n'
        f'endpoint = "{endpoint}"\n' + "\n".join(lines).replace('"true"', "true")
    )
    settings = load(config, {"SYNCD_SQUEEZELY_API_KEY": "k"})
    return {finding.code: finding for finding in check(settings)}


def test_a_working_endpoint_is_reported_and_nothing_is_sent(
    tmp_path: Path, server_of: Opener
) -> None:
    """Name, connection, handshake, the certificate's expiry; then it disconnects."""
    certificate = issue(tmp_path)
    server = server_of(certificate)
    endpoint = f"https://127.0.0.1:{server.port}/v1/track"
    found = findings_of(tmp_path, endpoint, ca_file=certificate.authority)
    assert set(found) == {"endpoint.reached", "tls.trusted"}
    assert "TLSv1.3; nothing was sent" in found["endpoint.reached"].message
    wait_until(lambda: server.received == [b""])


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ({"until": "20250101000000Z"}, "tls.expired"),
        ({"name": "DNS:shop.example.com"}, "tls.misnamed"),
        ({"days": 10}, "tls.expiring"),
        ({}, "tls.untrusted"),
    ],
)
def test_each_kind_of_bad_certificate_is_distinguished(
    tmp_path: Path, server_of: Opener, kind: dict[str, str], code: str
) -> None:
    """Expired, for another name, about to expire, of an unknown authority."""
    certificate = issue(tmp_path, **kind)  # type: ignore[arg-type]
    server = server_of(certificate)
    trusted = None if code == "tls.untrusted" else certificate.authority
    endpoint = f"https://127.0.0.1:{server.port}/"
    found = (
        findings_of(tmp_path, endpoint, ca_file=trusted)
        if trusted
        else findings_of(tmp_path, endpoint)
    )
    assert code in found
    assert found[code].next_step
    assert b"".join(server.received) == b""


def test_a_self_signed_certificate_is_untrusted(
    tmp_path: Path, server_of: Opener
) -> None:
    """Intercepting proxies have such certificates; squeezely.ca_file is the fix."""
    certificate = issue(tmp_path)
    own = Certificate(certificate.authority, tmp_path / "ca.key", certificate.authority)
    found = findings_of(tmp_path, f"https://127.0.0.1:{server_of(own).port}/")
    assert set(found) == {"tls.untrusted"}
    assert "ca_file" in found["tls.untrusted"].next_step


def test_a_file_without_certificates_is_reported(tmp_path: Path) -> None:
    """The file is checked before any connection."""
    empty = tmp_path / "ca.pem"
    empty.write_text("none\n")
    found = findings_of(
        tmp_path, "https://127.0.0.1:1/", check=way.check_authorities, ca_file=empty
    )
    assert set(found) == {"tls.authorities"}


def test_a_server_without_tls_is_reported(tmp_path: Path, server_of: Opener) -> None:
    """Another kind of server listens on that port."""
    server = server_of(answer=b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert set(findings_of(tmp_path, f"https://127.0.0.1:{server.port}/")) == {
        "tls.broken"
    }


def test_a_refused_and_an_unanswered_connection_are_outages(tmp_path: Path) -> None:
    """Refused at once; silent during the handshake, ended in time; no such name."""
    hasty = partial(check_endpoint, connect_seconds=0.3)
    with socket.create_server(("127.0.0.1", 0)) as hole:
        port = hole.getsockname()[1]
        silent = findings_of(tmp_path, f"https://127.0.0.1:{port}/", check=hasty)
    assert "no answer within" in silent["endpoint.unreachable"].message
    refused = findings_of(tmp_path, f"https://127.0.0.1:{port}/")
    assert "refused" in refused["endpoint.unreachable"].message
    assert set(findings_of(tmp_path, "https://nowhere.invalid/")) == {
        "endpoint.nameless"
    }


def test_plain_http_to_another_host_is_a_warning(tmp_path: Path) -> None:
    """Plain HTTP to this machine is not."""
    found = findings_of(tmp_path, "http://nowhere.invalid/", allow_http="true")
    assert set(found) == {"endpoint.plain", "endpoint.nameless"}
    assert "endpoint.plain" not in findings_of(tmp_path, "http://127.0.0.1:1/")


def test_a_proxy_receives_only_a_connect_request(
    tmp_path: Path, server_of: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets its login, which is not shown; the handshake is the endpoint's."""
    certificate = issue(tmp_path)
    server = server_of(certificate)
    proxy = server_of(answer=b"HTTP/1.1 200 OK\r\n\r\n", target=server.port)
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:hunter2@127.0.0.1:{proxy.port}")
    endpoint = f"https://127.0.0.1:{server.port}/v1/track"
    found = findings_of(tmp_path, endpoint, ca_file=certificate.authority)
    assert set(found) == {"endpoint.reached", "tls.trusted"}
    assert f"through the proxy 127.0.0.1:{proxy.port}" in found["tls.trusted"].message
    assert "hunter2" not in str(found)
    (request,) = proxy.received
    assert request.startswith(f"CONNECT 127.0.0.1:{server.port} ".encode())
    assert b"Proxy-Authorization: Basic bWU6aHVudGVyMg==" in request
    wait_until(lambda: server.received == [b""])


def test_a_refusing_or_unsupported_proxy_is_reported(
    tmp_path: Path, server_of: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finding has its status; another kind is left to `syncd verify`."""
    proxy = server_of(answer=b"HTTP/1.1 407 Login first\r\n\r\n")
    monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
    found = findings_of(tmp_path, "https://127.0.0.1:1/")
    assert "407" in found["endpoint.proxy"].message
    monkeypatch.setenv("HTTPS_PROXY", "https://127.0.0.1:1")
    assert set(findings_of(tmp_path, "https://127.0.0.1:1/")) == {"endpoint.unseen"}
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:999999")
    assert findings_of(tmp_path, "https://127.0.0.1:1/") == {}
    invalid = findings_of(tmp_path, "https://127.0.0.1:1/", check=check_proxy)
    assert "not a valid address" in invalid["proxy.invalid"].message
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert set(findings_of(tmp_path, "https://127.0.0.1:1/")) == {
        "endpoint.unreachable"
    }
