"""The worker of a queue with a row per order, with which `live.py` compares syncd.

    PGHOST=… PGDATABASE=… PYTHON tests/benchmarks/pgqueuer_worker.py ENDPOINT

PYTHON is any that has pgqueuer and asyncpg; the project needs neither. It installs the
queue, prints `ready`, and POSTs each job's event until it is terminated.
"""

# pyright: reportMissingImports=false

import asyncio
import signal
import sys
from urllib.parse import urlsplit

import asyncpg
from pgqueuer import AsyncpgDriver, Job, Queries, QueueManager

AT_ONCE = 10
"""Jobs that are fetched at once, the default."""


class Api:
    """Connections that are kept alive; each carries one request at a time."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, body: bytes) -> None:
        """POST a body; require a successful response."""
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_connection(self._host, self._port)
        head = f"POST {self._path} HTTP/1.1\r\nHost: api\r\nContent-Length: {len(body)}"
        writer.write(head.encode() + b"\r\n\r\n" + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in answer
        length = answer.lower().split(b"content-length:")[1].split(b"\r\n")[0]
        await reader.readexactly(int(length))
        self._idle.append((reader, writer))


async def work(endpoint: str) -> None:
    """Install the queue, and process it until the process is stopped."""
    connection = await asyncpg.connect()
    queries, api = Queries(AsyncpgDriver(connection)), Api(endpoint)
    await queries.install()
    manager = QueueManager(queries)

    async def send(job: Job) -> None:
        await api.post(job.payload)

    manager.entrypoint("order")(send)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, manager.shutdown.set)
    print("ready", flush=True)
    await manager.run(batch_size=AT_ONCE)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
