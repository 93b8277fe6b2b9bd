"""An API that accepts everything, with as little work as an HTTP server can do.

It responds to each POST after a fixed time, counts the events, and records when the
first and the last came, or when each order did. Runs as a process of its own.
"""

import asyncio
import contextlib
import json
import multiprocessing
import re
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

from typing_extensions import override

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_ORDER = re.compile(rb'"orderid" ?: ?"([^"]+)"')


@dataclass
class _ReceivedEvents:
    seconds: float  # before each response
    each: bool  # record each order's arrival
    events: int = 0
    first: float = 0.0
    last: float = 0.0
    arrivals: dict[str, float] = field(default_factory=dict)
    repeats: int = 0

    def clear(self) -> None:
        self.events, self.repeats, self.first, self.last = 0, 0, 0.0, 0.0
        self.arrivals.clear()

    def take(self, body: bytes) -> int:
        now = time.time()
        count = body.count(b'"orderid"')
        self.first = self.first or now
        self.last = now
        self.events += count
        if self.each:
            for order in _ORDER.findall(body):
                name = order.decode()
                self.repeats += name in self.arrivals
                self.arrivals.setdefault(name, now)
        return count


class _Connection(asyncio.Protocol):
    def __init__(self, book: _ReceivedEvents) -> None:
        self._book = book
        self._buffer = bytearray()
        self._wanted = 0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._buffer and len(self._buffer) >= self._wanted:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            found = _LENGTH.search(self._buffer, 0, end)
            self._wanted = end + 4 + (int(found[1]) if found else 0)
            if len(self._buffer) < self._wanted:
                return
            head, body = self._buffer[:end], bytes(self._buffer[end + 4 : self._wanted])
            del self._buffer[: self._wanted]
            self._wanted = 0
            self._answer(bytes(head[:12]), body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"POST"):
            taken = self._book.take(body)
            self._later(b'{"success":true,"created":%d}' % taken)
            return
        book = self._book
        if head.startswith(b"GET /clear"):
            book.clear()
        counted = [book.events, book.first, book.last, book.repeats]
        arrivals = book.arrivals if head.startswith(b"GET /each") else {}
        self._write(json.dumps([*counted, arrivals]).encode())

    def _later(self, content: bytes) -> None:
        if self._book.seconds:
            loop = asyncio.get_running_loop()
            loop.call_later(self._book.seconds, self._write, content)
        else:
            self._write(content)

    def _write(self, content: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(content), content)
        )


def _serve(listener: socket.socket, seconds: float, *, each: bool) -> None:
    async def forever() -> None:
        book = _ReceivedEvents(seconds, each)
        loop = asyncio.get_running_loop()
        await loop.create_server(lambda: _Connection(book), sock=listener)
        await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(forever())


@dataclass(frozen=True)
class Seen:
    """What arrived: events, times of the first and last (Unix seconds), repeats."""

    events: int
    first: float
    last: float
    repeats: int
    arrivals: dict[str, float]

    @property
    def per_second(self) -> float:
        return self.events / max(self.last - self.first, 1e-6)


@dataclass(frozen=True)
class Sink:
    """A running sink."""

    endpoint: str

    def seen(self, *, each: bool = False) -> Seen:
        return self._query("each" if each else "seen")

    def clear(self) -> None:
        self._query("clear")

    def _query(self, what: str) -> Seen:
        url = self.endpoint.replace("v1/track", what)
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - loopback
            return Seen(*json.load(answer))


@contextmanager
def sink(seconds: float = 0.0, *, each: bool = False) -> Iterator[Sink]:
    """Run a sink that responds after `seconds`."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        port = listener.getsockname()[1]
        context = multiprocessing.get_context("fork")
        process = context.Process(
            target=_serve, args=(listener, seconds), kwargs={"each": each}, daemon=True
        )
        process.start()
    try:
        yield Sink(f"http://127.0.0.1:{port}/v1/track")
    finally:
        process.terminate()
        process.join()
