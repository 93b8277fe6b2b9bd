"""What `syncd check` finds on the way to Squeezely: name, connection, certificate.

Nothing is sent: after the handshake the connection is closed. What a proxy is asked is
to connect.
"""

import base64
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib.util import find_spec
from urllib.parse import SplitResult, unquote, urlsplit

from syncd.config.settings import Settings
from syncd.config.types import is_loopback
from syncd.delivery.squeezely import authorities, proxy_of
from syncd.diagnostics.check.finding import Finding

CONNECT_SECONDS = 5.0
EXPIRES_SOON = timedelta(days=14)

_PORTS = {"https": 443, "http": 80}
_PROXY_SCHEMES = {"http", "https"} | (
    {"socks4", "socks4a", "socks5", "socks5h"} if find_spec("socks") else set()
)
# X509_V_ERR_CERT_NOT_YET_VALID, …_HAS_EXPIRED, …_HOSTNAME_MISMATCH, …_IP_ADDRESS_…
_DISTRUSTED = {9: "tls.expired", 10: "tls.expired", 62: "tls.misnamed",
               64: "tls.misnamed"}  # fmt: skip


def check_endpoint(
    settings: Settings, connect_seconds: float = CONNECT_SECONDS
) -> Iterator[Finding]:
    """Connect as a request would, and hang up before there is one."""
    endpoint = urlsplit(settings.squeezely.endpoint)
    if endpoint.scheme == "http" and not is_loopback(endpoint.hostname):
        message = f"http to {endpoint.hostname} is not encrypted"
        yield Finding("endpoint.plain", "endpoint", message)
    try:
        proxy = _proxy(settings)
    except ValueError:
        return  # reported by the check of the proxy
    if proxy is not None and proxy.scheme != "http":
        message = f"the proxy is {proxy.scheme}://{proxy.hostname}"
        yield Finding("endpoint.unseen", "endpoint", message)
        return
    yield from _reach(settings, endpoint, proxy, connect_seconds)


def check_proxy(settings: Settings) -> Iterator[Finding]:
    """Check whether the proxy that the environment names is an address."""
    try:
        _proxy(settings)
    except ValueError as error:
        message = f"the proxy in the environment is not a valid address: {error}"
        yield Finding("proxy.invalid", "proxy", message)


def check_authorities(settings: Settings) -> Iterator[Finding]:
    """Check whether the file of those whose certificates are trusted holds any."""
    try:
        ssl.create_default_context(cafile=authorities(settings))
    except OSError:
        message = f"{authorities(settings)} contains no certificates"
        yield Finding("tls.authorities", "certificate", message)


def _proxy(settings: Settings) -> SplitResult | None:
    """Take the proxy apart.

    Raises:
        ValueError: It is no address; the message quotes nothing of it.
    """
    written = proxy_of(settings.squeezely.endpoint)
    if not written:
        return None
    if not (written.isascii() and written.isprintable()) or " " in written:
        raise ValueError("it has a blank, or a character that is not ASCII")
    try:
        proxy = urlsplit(written if "://" in written else f"http://{written}")
        has_port = proxy.port != 0
    except ValueError:
        raise ValueError("its host or its port is not valid") from None
    if not (proxy.hostname and has_port):
        raise ValueError("it has no host, or its port is 0")
    if proxy.path not in {"", "/"} or proxy.query or proxy.fragment:
        raise ValueError("it has more than a host and a port")
    if proxy.scheme not in _PROXY_SCHEMES:
        raise ValueError(f"its scheme is none of {', '.join(sorted(_PROXY_SCHEMES))}")
    return proxy


def _reach(
    settings: Settings, endpoint: SplitResult, proxy: SplitResult | None, seconds: float
) -> Iterator[Finding]:
    try:
        trust = ssl.create_default_context(cafile=authorities(settings))
    except OSError:
        return  # reported by the check of the authorities
    first = proxy or endpoint
    what = "the proxy " if proxy else ""
    try:
        stream = socket.SOCK_STREAM
        found = socket.getaddrinfo(first.hostname, _port(first), type=stream)
    except (OSError, UnicodeError):
        message = f"{what}{first.hostname} cannot be resolved"
        yield Finding("endpoint.nameless", "endpoint", message)
        return
    way = f"{_place(endpoint)}{f' through the proxy {_place(proxy)}' if proxy else ''}"
    try:
        with closing(_connection(trust, endpoint, proxy, seconds)) as connection:
            connection.connect()
            yield from _reached(connection, way, len(found))
    except ssl.SSLCertVerificationError as error:
        code = _DISTRUSTED.get(error.verify_code, "tls.untrusted")
        message = f"{way}: {error.verify_message.rstrip('.')}"
        yield Finding(code, "certificate", message)
    except ssl.SSLError as error:
        message = f"{way}: no TLS ({error.reason or 'no handshake'})"
        yield Finding("tls.broken", "certificate", message)
    except (OSError, HTTPException) as error:
        yield _unreached(error, way, seconds)


def _connection(
    trust: ssl.SSLContext,
    endpoint: SplitResult,
    proxy: SplitResult | None,
    seconds: float,
) -> HTTPConnection:
    first = proxy or endpoint
    host, port = str(first.hostname), _port(first)
    if endpoint.scheme == "http":
        return HTTPConnection(host, port, timeout=seconds)
    connection = HTTPSConnection(host, port, timeout=seconds, context=trust)
    if proxy is not None:
        connection.set_tunnel(str(endpoint.hostname), _port(endpoint), _login(proxy))
    return connection


def _login(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    token = base64.b64encode(pair.encode()).decode()
    return {"Proxy-Authorization": f"Basic {token}"}


def _reached(connection: HTTPConnection, way: str, addresses: int) -> Iterator[Finding]:
    answered = f"{way} answers ({addresses} address{'es' if addresses > 1 else ''})"
    if not isinstance(connection.sock, ssl.SSLSocket):
        message = f"{answered}, without TLS; nothing was sent"
        yield Finding("endpoint.reached", "endpoint", message)
        return
    message = f"{answered}, {connection.sock.version()}; nothing was sent"
    yield Finding("endpoint.reached", "endpoint", message)
    expiry = str((connection.sock.getpeercert() or {})["notAfter"])
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(expiry), UTC)
    if ends - datetime.now(UTC) < EXPIRES_SOON:
        message = f"{way}: it expires on {ends:%Y-%m-%d}"
        yield Finding("tls.expiring", "certificate", message)
    else:
        message = f"{way}: trusted, until {ends:%Y-%m-%d}"
        yield Finding("tls.trusted", "certificate", message)


def _unreached(error: Exception, way: str, seconds: float) -> Finding:
    if str(error).startswith("Tunnel connection failed"):
        message = f"{way}: {error}"
        return Finding("endpoint.proxy", "endpoint", message)
    if isinstance(error, TimeoutError):
        message = f"{way}: no answer within {seconds:.0f} s"
    elif isinstance(error, ConnectionRefusedError):
        message = f"{way}: the connection was refused"
    else:
        message = f"{way}: no connection ({type(error).__name__})"
    return Finding("endpoint.unreachable", "endpoint", message)


def _port(url: SplitResult) -> int:
    return url.port or _PORTS[url.scheme]


def _place(url: SplitResult) -> str:
    """Name host and port, without a login."""
    return f"{url.hostname}:{_port(url)}"
