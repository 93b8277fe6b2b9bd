"""One connection: reads requests, and sends each response in its own manner."""

import math
import re
import socket
import struct
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, cast

from syncd.demo.sandbox.answers import Answer, refusal
from syncd.demo.sandbox.routes import Request, Routes

if TYPE_CHECKING:
    from socketserver import BaseServer

_MOST_BYTES = 64 * 1024 * 1024
_DRIPS_PER_SECOND = 50
_LENGTH = re.compile(r"\d{1,15}", re.ASCII)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def _log_nothing(*_: object, **__: object) -> None:
    """Log no requests: the book is the record."""


class Connection(BaseHTTPRequestHandler):
    """Serves a connection within its construction, with keep-alive.

    Args:
        connection: An accepted socket; the caller closes it.
        routes: What to answer.
        stopping: Cuts every wait short once it is set.

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
        if "Transfer-Encoding" in self.headers or (
            self.command == "POST" and not length
        ):
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
            self._drip(message, answer.bytes_per_second)

    def _head(self, answer: Answer) -> bytes:
        phrase = self.responses.get(answer.status, ("Unknown",))[0]
        lines = [
            f"HTTP/1.1 {answer.status} {phrase}",
            f"Date: {self.date_time_string()}",
            *self._length_lines(answer),
            *(f"{name}: {value}" for name, value in answer.headers),
        ]
        if self.close_connection:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")

    @staticmethod
    def _length_lines(answer: Answer) -> list[str]:
        if answer.status == HTTPStatus.NO_CONTENT:
            return []
        length = answer.declared_bytes
        length = len(answer.body) if length is None else length
        return [f"Content-Type: {answer.content_type}", f"Content-Length: {length}"]

    def _drip(self, message: bytes, bytes_per_second: float) -> None:
        size = max(1, math.floor(bytes_per_second / _DRIPS_PER_SECOND))
        for start in range(0, len(message), size):
            self.wfile.write(message[start : start + size])
            if self._stopping.wait(size / bytes_per_second):
                self.close_connection = True
                return
