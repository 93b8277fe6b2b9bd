"""An untrusted certificate of the API: a fault of the configuration, no outage."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from support.certificates import Certificate, issue
from support.harness import KEY, Harness
from support.shop import Shop

from syncd.config.configuration import load
from syncd.core.errors import ConfigError
from syncd.core.response import Outcome, classify
from syncd.delivery.squeezely import Squeezely
from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db


@dataclass
class TlsServer:
    """Accepts TLS connections; without a certificate it closes them."""

    endpoint: str


@contextmanager
def tls_server(certificate: Certificate | None) -> Iterator[TlsServer]:
    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=accept, args=(door, certificate), daemon=True)
        thread.start()
        yield TlsServer(f"https://127.0.0.1:{door.getsockname()[1]}/v1/track")
        door.shutdown(socket.SHUT_RDWR)
    thread.join(15)


def accept(door: socket.socket, certificate: Certificate | None) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate is not None:
        context.load_cert_chain(certificate.path, certificate.key)
    with suppress(OSError):
        while True:
            client, _ = door.accept()
            with suppress(OSError), client:
                client.settimeout(10)
                if certificate is not None:
                    context.wrap_socket(client, server_side=True).recv(1)


KINDS = [
    ({}, False, "unable to get local issuer"),
    ({"until": "20210101000000Z"}, True, "certificate has expired"),
    ({"name": "DNS:api.example"}, True, "certificate is not valid for '127.0.0.1'"),
]


@pytest.mark.parametrize(("of", "trusts", "words"), KINDS, ids=[w for *_, w in KINDS])
def test_an_untrusted_certificate_holds_the_feed(
    shop: Shop, tmp_path: Path, of: dict[str, str], words: str, *, trusts: bool
) -> None:
    """Nothing was sent, so nothing is uncertain; the hold is probed."""
    certificate = issue(tmp_path, **of)  # type: ignore[arg-type]  # texts
    ca: dict[str, Any] = {"ca_file": str(certificate.authority)} if trusts else {}
    with tls_server(certificate) as there:
        with closing(Harness(shop, cast("Sandbox", there), tmp_path, **ca)) as harness:
            harness.confirm(1)
            harness.deliver()
            assert harness.endpoint() == ("held", 1)
            assert harness.shop.uncertain_attempts() == 0
        reason = shop.row_of("endpoint").reason
    assert "certificate is not trusted" in reason
    assert words in reason


def test_a_broken_handshake_is_an_outage(shop: Shop, tmp_path: Path) -> None:
    """It may be a gateway that restarts: it is retried soon."""
    with tls_server(None) as there:
        config = shop.configure(tmp_path, there.endpoint)
        api = Squeezely(load(config, KEY))
        answer = api.post(b"{}")
        api.close()
    assert classify(answer, 1, datetime.now(UTC)).outcome is Outcome.TRANSIENT


def test_a_request_that_the_library_refuses_is_a_configuration_error(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the proxy has no valid address; the error does not show its login."""
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter2@[bad")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    api = Squeezely(load(shop.configure(tmp_path, "https://api.example/v1"), KEY))
    with pytest.raises(ConfigError, match="cannot be made") as caught:
        api.post(b"{}")
    assert "hunter2" not in str(caught.value) + caught.value.hint
