"""HTTP on one loopback port: every socket and thread of the sandbox.

Invariant: bound to 127.0.0.1 only, and after `stop` no thread or socket is left.
"""

import errno
import math
import re
import socket
import struct
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, cast

from syncd.demo.sandbox.contract import Answer, Request, refusal
from syncd.demo.sandbox.routes import Routes

if TYPE_CHECKING:
    from socketserver import BaseServer

HOST = "127.0.0.1"

_BACKLOG = 128
_SECONDS_AFTER_ERROR = 0.05
_MOST_BYTES = 64 * 1024 * 1024
_WRITES_PER_SECOND = 50
_LENGTH = re.compile(r"\d{1,15}", re.ASCII)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class PortUnavailableError(OSError):
    """The port cannot be opened, as a rule because another program has it."""


class Server:
    """Serves routes on one port of this machine, a thread for each connection.

    Port 0 takes a free one.

    Raises:
        PortUnavailableError: The port cannot be opened.
    """

    def __init__(self, port: int, routes: Routes) -> None:
        self._socket = _opened(port)
        self.port = int(self._socket.getsockname()[1])
        self._routes = routes
        self._stopping = threading.Event()
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self._accept, name="sandbox", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End every connection and thread, those in a slow answer too."""
        self._stopping.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        with self._lock:
            connections = dict(self._connections)
        for thread, connection in connections.items():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                self._stopping.wait(_SECONDS_AFTER_ERROR)
                continue
            thread = threading.Thread(
                target=self._serve, args=(connection,), name="sandbox", daemon=True
            )
            with self._lock:
                self._connections[thread] = connection
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        """Serve one connection until either side ends it."""
        try:
            with connection, suppress(OSError):
                Connection(connection, self._routes, self._stopping)
                connection.shutdown(socket.SHUT_WR)
        finally:
            with self._lock:
                del self._connections[threading.current_thread()]


def _opened(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port), backlog=_BACKLOG)
    except OSError as error:
        is_taken = error.errno == errno.EADDRINUSE
        reason = "another program has it" if is_taken else str(error.strerror)
        raise PortUnavailableError(
            f"port {port} on {HOST} cannot be opened: {reason}"
        ) from error


def _log_nothing(*_: object, **__: object) -> None:
    """Log no requests: what was received is the record."""


class Connection(BaseHTTPRequestHandler):
    """Serves a connection within its construction, with keep-alive.

    The caller closes the socket. `stopping` cuts every wait short once it is set.

    Raises:
        OSError: The client went away.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    log_message = _log_nothing

    def __init__(
        self, connection: socket.socket, routes: Routes, stopping: threading.Event
    ) -> None:
        self._routes = routes
        self._stopping = stopping
        super().__init__(connection, None, cast("BaseServer", None))

    def _serve(self) -> None:
        unread = self._routes.answer_unread(self.command, self.path)
        self._send(unread or self._refused_length() or self._answer())

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815 - the names that http.server calls

    def _answer(self) -> Answer:
        request = Request(
            method=self.command,
            target=self.path,
            host=self.headers.get("Host", ""),
            account=self.headers.get("X-AUTH-ACCOUNT", ""),
            api_key=self.headers.get("X-AUTH-APIKEY", ""),
            content_type=self.headers.get("Content-Type", ""),
            body=self._body(),
        )
        return self._routes.answer(request)

    def _body(self) -> bytes:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError("the client left in the middle of its body")
        return body

    def _refused_length(self) -> Answer | None:
        """Refuse a body whose end is unknown, or that is more than memory should hold.

        Its body stays unread, so the connection must end with the answer.
        """
        length = self.headers.get("Content-Length", "")
        is_missing = self.command == "POST" and not length
        if is_missing or "Transfer-Encoding" in self.headers:
            return refusal(411, ["a body needs a Content-Length"], ending="close")
        if length and not _LENGTH.fullmatch(length):
            return refusal(400, ["Content-Length is not a number"], ending="close")
        if length and int(length) > _MOST_BYTES:
            return refusal(413, ["body is too large"], ending="close")
        return None

    def _send(self, answer: Answer) -> None:
        """Send an answer, or what is left of it when the sandbox stops."""
        if answer.delay_seconds and self._stopping.wait(answer.delay_seconds):
            self.close_connection = True
            return
        if not answer.is_silent:
            self._write(answer)
        if answer.ending != "keep":
            self.close_connection = True
        if answer.ending == "reset":
            self.connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
            )
            self.connection.close()

    def _write(self, answer: Answer) -> None:
        body = b"" if self.command == "HEAD" else answer.body
        message = self._head(answer) + body
        if answer.bytes_per_second is None:
            self.wfile.write(message)
        else:
            self._send_slowly(message, answer.bytes_per_second)

    def _head(self, answer: Answer) -> bytes:
        phrase = self.responses.get(answer.status, ("Unknown",))[0]
        lines = [
            f"HTTP/1.1 {answer.status} {phrase}",
            f"Date: {self.date_time_string()}",
            *(f"{name}: {value}" for name, value in answer.headers),
        ]
        if answer.status != HTTPStatus.NO_CONTENT:
            length = answer.declared_bytes
            length = len(answer.body) if length is None else length
            lines.append(f"Content-Type: {answer.content_type}")
            lines.append(f"Content-Length: {length}")
        if self.close_connection:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")

    def _send_slowly(self, message: bytes, bytes_per_second: float) -> None:
        size = max(1, math.floor(bytes_per_second / _WRITES_PER_SECOND))
        for start in range(0, len(message), size):
            self.wfile.write(message[start : start + size])
            if self._stopping.wait(size / bytes_per_second):
                self.close_connection = True
                return
