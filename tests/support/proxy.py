"""A TCP proxy to PostgreSQL that can reset connections or stall silently."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from pathlib import Path


class Proxy:
    """Forwards TCP from loopback to a server's socket until frozen or closed.

    Frozen, it keeps every connection and forwards nothing, as a pooler that hangs or
    a firewall that drops packets; closed, it resets them and refuses new ones.
    """

    def __init__(self, target: Path) -> None:
        self._target = str(target)
        self._frozen = threading.Event()
        self._ended = threading.Event()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._forward)
        self._thread.start()

    def freeze(self) -> None:
        self._frozen.set()

    def thaw(self) -> None:
        self._frozen.clear()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        for end in [*self._pairs, self._listener]:
            end.close()

    def _forward(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self._ended.is_set():
                if self._frozen.is_set():
                    self._ended.wait(0.02)
                    continue
                for key, _ in selector.select(0.02):
                    end = key.fileobj
                    assert isinstance(end, socket.socket)
                    if end is self._listener:
                        self._accept(selector)
                    elif end in self._pairs:
                        self._pass_on(selector, end)

    def _accept(self, selector: selectors.BaseSelector) -> None:
        client, _ = self._listener.accept()
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._target)
        except OSError:
            client.close()
            server.close()
            return
        self._pairs |= {client: server, server: client}
        selector.register(client, selectors.EVENT_READ)
        selector.register(server, selectors.EVENT_READ)

    def _pass_on(self, selector: selectors.BaseSelector, end: socket.socket) -> None:
        other = self._pairs[end]
        with contextlib.suppress(OSError):
            if data := end.recv(65536):
                other.sendall(data)
                return
        for one in (end, other):
            selector.unregister(one)
            del self._pairs[one]
            one.close()


@contextlib.contextmanager
def proxy(folder: Path) -> Iterator[Proxy]:
    """Run a proxy to the server whose socket is in `folder`."""
    opened = Proxy(folder / ".s.PGSQL.5432")
    try:
        yield opened
    finally:
        opened.close()
