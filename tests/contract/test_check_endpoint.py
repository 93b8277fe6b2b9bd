"""What `syncd check` finds on the way to the API: on real sockets, with real TLS."""

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


class Door:
    """Accepts connections, shakes hands if it has a certificate, and notes what comes.

    `answer` is said to a request line, as a proxy does before it connects.
    """

    def __init__(
        self,
        certificate: Certificate | None = None,
        answer: bytes = b"",
        target: int | None = None,
    ) -> None:
        self.heard: list[bytes] = []
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
                self.heard.append(secret.recv(65536))
            return
        self.heard.append(client.recv(65536))
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


Opener = Callable[..., Door]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NO_PROXY:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def door() -> Iterator[Opener]:
    opened: list[Door] = []

    def opening(*args: object, **kwargs: object) -> Door:
        opened.append(Door(*args, **kwargs))  # type: ignore[arg-type]
        return opened[-1]

    yield opening
    for each in opened:
        each.close()


def look(
    folder: Path,
    endpoint: str,
    *,
    look_at: Callable[[Settings], Iterable[Finding]] = check_endpoint,
    **squeezely: object,
) -> dict[str, Finding]:
    lines = [f'{name} = "{value}"' for name, value in squeezely.items()]
    config = folder / "syncd.toml"
    config.write_text(
        f'[source]\ndsn = "host=/x"\n[squeezely]\naccount = "SQ"\n'
        f'endpoint = "{endpoint}"\n' + "\n".join(lines).replace('"true"', "true")
    )
    settings = load(config, {"SYNCD_SQUEEZELY_API_KEY": "k"})
    return {finding.code: finding for finding in look_at(settings)}


def test_a_good_way_is_told_and_nothing_is_sent(tmp_path: Path, door: Opener) -> None:
    """Name, connection, handshake, the certificate's end; then it hangs up."""
    certificate = issue(tmp_path)
    server = door(certificate)
    endpoint = f"https://127.0.0.1:{server.port}/v1/track"
    found = look(tmp_path, endpoint, ca_file=certificate.authority)
    assert set(found) == {"endpoint.reached", "tls.trusted"}
    assert "TLSv1.3; nothing was sent" in found["endpoint.reached"].message
    wait_until(lambda: server.heard == [b""])


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ({"until": "20250101000000Z"}, "tls.expired"),
        ({"name": "DNS:shop.example.com"}, "tls.misnamed"),
        ({"days": 10}, "tls.expiring"),
        ({}, "tls.untrusted"),
    ],
)
def test_a_certificate_that_will_not_do_is_told_apart(
    tmp_path: Path, door: Opener, kind: dict[str, str], code: str
) -> None:
    """Expired, for another name, soon at its end, signed by a stranger."""
    certificate = issue(tmp_path, **kind)  # type: ignore[arg-type]
    server = door(certificate)
    trusted = None if code == "tls.untrusted" else certificate.authority
    endpoint = f"https://127.0.0.1:{server.port}/"
    found = (
        look(tmp_path, endpoint, ca_file=trusted)
        if trusted
        else look(tmp_path, endpoint)
    )
    assert code in found
    assert found[code].next_step
    assert b"".join(server.heard) == b""


def test_a_certificate_that_signed_itself_is_untrusted(
    tmp_path: Path, door: Opener
) -> None:
    """As a proxy that reads along has it; squeezely.ca_file is the cure."""
    certificate = issue(tmp_path)
    own = Certificate(certificate.authority, tmp_path / "ca.key", certificate.authority)
    found = look(tmp_path, f"https://127.0.0.1:{door(own).port}/")
    assert set(found) == {"tls.untrusted"}
    assert "ca_file" in found["tls.untrusted"].next_step


def test_a_file_without_certificates_is_told(tmp_path: Path) -> None:
    """Before anybody is asked."""
    empty = tmp_path / "ca.pem"
    empty.write_text("none\n")
    found = look(
        tmp_path, "https://127.0.0.1:1/", look_at=way.check_authorities, ca_file=empty
    )
    assert set(found) == {"tls.authorities"}


def test_a_server_that_speaks_no_tls_is_told(tmp_path: Path, door: Opener) -> None:
    """Something else answers at that port."""
    server = door(answer=b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert set(look(tmp_path, f"https://127.0.0.1:{server.port}/")) == {"tls.broken"}


def test_nobody_there_and_nobody_answering_are_outages(tmp_path: Path) -> None:
    """Refused at once; silent during the handshake, left in time; no such name."""
    hasty = partial(check_endpoint, connect_seconds=0.3)
    with socket.create_server(("127.0.0.1", 0)) as hole:
        port = hole.getsockname()[1]
        silent = look(tmp_path, f"https://127.0.0.1:{port}/", look_at=hasty)
    assert "no answer within" in silent["endpoint.unreachable"].message
    refused = look(tmp_path, f"https://127.0.0.1:{port}/")
    assert "refused" in refused["endpoint.unreachable"].message
    assert set(look(tmp_path, "https://nowhere.invalid/")) == {"endpoint.nameless"}


def test_plain_http_to_another_host_is_worth_a_warning(tmp_path: Path) -> None:
    """To this machine it is not."""
    found = look(tmp_path, "http://nowhere.invalid/", allow_http="true")
    assert set(found) == {"endpoint.plain", "endpoint.nameless"}
    assert "endpoint.plain" not in look(tmp_path, "http://127.0.0.1:1/")


def test_a_proxy_is_asked_to_connect_and_no_more(
    tmp_path: Path, door: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its login is given to it and told to nobody; the handshake is the endpoint's."""
    certificate = issue(tmp_path)
    server = door(certificate)
    proxy = door(answer=b"HTTP/1.1 200 OK\r\n\r\n", target=server.port)
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:hunter2@127.0.0.1:{proxy.port}")
    endpoint = f"https://127.0.0.1:{server.port}/v1/track"
    found = look(tmp_path, endpoint, ca_file=certificate.authority)
    assert set(found) == {"endpoint.reached", "tls.trusted"}
    assert f"through the proxy 127.0.0.1:{proxy.port}" in found["tls.trusted"].message
    assert "hunter2" not in str(found)
    (asked,) = proxy.heard
    assert asked.startswith(f"CONNECT 127.0.0.1:{server.port} ".encode())
    assert b"Proxy-Authorization: Basic bWU6aHVudGVyMg==" in asked
    wait_until(lambda: server.heard == [b""])


def test_a_proxy_that_refuses_or_cannot_be_looked_through_is_told(
    tmp_path: Path, door: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its status; one of another kind is left to `syncd verify`."""
    proxy = door(answer=b"HTTP/1.1 407 Login first\r\n\r\n")
    monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
    found = look(tmp_path, "https://127.0.0.1:1/")
    assert "407" in found["endpoint.proxy"].message
    monkeypatch.setenv("HTTPS_PROXY", "https://127.0.0.1:1")
    assert set(look(tmp_path, "https://127.0.0.1:1/")) == {"endpoint.unseen"}
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:999999")
    assert look(tmp_path, "https://127.0.0.1:1/") == {}
    invalid = look(tmp_path, "https://127.0.0.1:1/", look_at=check_proxy)
    assert "not a valid address" in invalid["proxy.invalid"].message
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert set(look(tmp_path, "https://127.0.0.1:1/")) == {"endpoint.unreachable"}
