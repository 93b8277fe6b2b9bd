"""The way to the API: HTTP connections of which every step keeps to one deadline.

requests bounds each single wait, so a peer that sends a byte now and then holds it
for ever. Here every wait of the socket, from connecting to the last byte of the
answer, gets what is left of the whole exchange's time.
"""

import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter
from typing_extensions import Buffer, override
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
)

CONNECT_SECONDS = 5.0
"""For one address of the endpoint; several share what is left of the exchange."""


@dataclass(slots=True)
class ExchangeDeadline:
    """One request and its answer.

    Attributes:
        ends_at: Monotonic seconds.
        is_requesting: The connection stands, as far as there is one to be made first.
        has_begun: A byte of the request may have been handed to the system: from here
            on the peer may have taken it.
        is_sent: All of it was.
    """

    ends_at: float
    is_requesting: bool = False
    has_begun: bool = False
    is_sent: bool = False

    @property
    def is_over(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self.ends_at

    def left(self) -> float:
        """Return how many seconds are left, more than 0.

        Raises:
            TimeoutError: None.
        """
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time of the exchange is over")
        return left


_exchange: ContextVar[ExchangeDeadline] = ContextVar("exchange")


@contextmanager
def exchange(seconds: float) -> Iterator[ExchangeDeadline]:
    """Bound all that this thread does on the transport meanwhile.

    Resolving the host's name cannot be interrupted; nothing is sent after it when
    it took too long.
    """
    begun = ExchangeDeadline(time.monotonic() + seconds)
    token = _exchange.set(begun)
    try:
        yield begun
    finally:
        _exchange.reset(token)


class _Reading(io.RawIOBase):
    """What comes from a socket; each read waits for what is left, no longer."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Buffer, /) -> int | None:
        self._sock.settimeout(_exchange.get().left())
        return self._raw.readinto(memoryview(buffer))

    @override
    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - http.client's own
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_Reading(sock))


class _Connection(HTTPConnection):
    response_class = _Answer

    @override
    def _new_conn(self) -> socket.socket:
        try:
            found = socket.getaddrinfo(
                self._dns_host, self.port, type=socket.SOCK_STREAM
            )
        except (OSError, UnicodeError) as error:
            raise NameResolutionError(self.host, self, error) from error  # type: ignore[arg-type]  # only shown
        failure: OSError = OSError("no address")
        for place, (family, kind, protocol, _, address) in enumerate(found):
            sock = socket.socket(family, kind, protocol)
            try:
                left = _exchange.get().left() / (len(found) - place)
                sock.settimeout(min(CONNECT_SECONDS, left))
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(address)
                sock.settimeout(_exchange.get().left())
            except OSError as error:
                sock.close()
                failure = error
            else:
                return sock
        kinds = (ConnectTimeoutError, NewConnectionError)
        raise kinds[not isinstance(failure, TimeoutError)](self, "no connection")

    @override
    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        deadline = _exchange.get()
        if self.sock is not None:
            self.sock.settimeout(deadline.left())
        deadline.has_begun = deadline.has_begun or deadline.is_requesting
        super().send(data)

    @override
    def request(self, *args: Any, **kwargs: Any) -> None:
        deadline = _exchange.get()
        deadline.is_requesting = True  # what a proxy gets before is no request
        super().request(*args, **kwargs)
        deadline.is_sent = True


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection  # pyright: ignore[reportAssignmentType]  # as urllib3


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection  # pyright: ignore[reportAssignmentType]  # as urllib3


class Transport(HTTPAdapter):
    """Mount it in a session; use the session within `exchange` only."""

    @override
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _keep_to_time(self.poolmanager)

    @override
    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        _keep_to_time(manager)
        return manager


def _keep_to_time(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
