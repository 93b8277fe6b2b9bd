"""A minimal transaction pooler, which loses notifications."""

import socket
import threading
from contextlib import suppress

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from typing_extensions import override

READY, NOTIFICATION = b"Z", b"A"
"""Types of PostgreSQL's messages."""


class Pooler(threading.Thread):
    """Forwards connections as a transaction pooler does, one server session each.

    Notifications reach a client only with a response to it; between its transactions
    it has no server session that could deliver one.
    """

    def __init__(self, dsn: str) -> None:
        super().__init__(daemon=True)
        parts = conninfo_to_dict(dsn)
        self._target = f"{parts['host']}/.s.PGSQL.{parts.get('port', 5432)}"
        self._door = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        port = self._door.getsockname()[1]
        self.dsn = make_conninfo(
            dsn, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable"
        )
        self.start()

    @override
    def run(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            self._sockets += [client, server]
            busy = threading.Event()
            for move in (self._to_server, self._to_client):
                threading.Thread(
                    target=move, args=(client, server, busy), daemon=True
                ).start()

    @staticmethod
    def _to_server(
        client: socket.socket, server: socket.socket, busy: threading.Event
    ) -> None:
        with suppress(OSError, ValueError):
            while data := client.recv(65536):
                busy.set()
                server.sendall(data)

    @staticmethod
    def _to_client(
        client: socket.socket, server: socket.socket, busy: threading.Event
    ) -> None:
        stream = server.makefile("rb")
        with suppress(OSError, ValueError):
            while head := stream.read(5):
                body = stream.read(int.from_bytes(head[1:], "big") - 4)
                if head[:1] == READY:
                    busy.clear()
                if head[:1] != NOTIFICATION or busy.is_set():
                    client.sendall(head + body)

    def close(self) -> None:
        self._door.close()
        for each in self._sockets:
            each.close()


class PidMaskingPooler(Pooler):
    """A pooler that reports a process number of its own to clients, as PgBouncer."""

    @staticmethod
    @override
    def _to_client(client: socket.socket, server: socket.socket, busy: object) -> None:
        stream = server.makefile("rb")
        try:
            while head := stream.read(5):
                body = stream.read(int.from_bytes(head[1:], "big") - 4)
                if head[:1] == b"K":
                    body = (4242).to_bytes(4, "big") + body[4:]
                client.sendall(head + body)
        except (OSError, ValueError):
            pass
