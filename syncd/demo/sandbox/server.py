"""The door: one loopback port, and every connection and thread behind it.

Invariant: bound to 127.0.0.1 only, and after `stop` no thread or socket is left.
"""

import errno
import socket
import threading
from contextlib import suppress

from syncd.demo.sandbox.connection import Connection
from syncd.demo.sandbox.routes import Routes

HOST = "127.0.0.1"

_BACKLOG = 128
_SECONDS_AFTER_ERROR = 0.05


class PortUnavailableError(OSError):
    """The port cannot be opened, as a rule because another program has it."""


class Server:
    """Serves routes on one port of this machine, a thread for each connection.

    Args:
        port: Port to open; 0 takes a free one.
        routes: What to answer.

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
        self._end_connections()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                self._stopping.wait(_SECONDS_AFTER_ERROR)
            else:
                self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
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

    def _end_connections(self) -> None:
        with self._lock:
            connections = dict(self._connections)
        for thread, connection in connections.items():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()


def _opened(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port), backlog=_BACKLOG)
    except OSError as error:
        is_taken = error.errno == errno.EADDRINUSE
        reason = "another program has it" if is_taken else str(error.strerror)
        raise PortUnavailableError(
            f"port {port} on {HOST} cannot be opened: {reason}"
        ) from error
