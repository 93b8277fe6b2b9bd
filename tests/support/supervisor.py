"""A service manager for machines without systemd: it receives a daemon's messages."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support import postgres
from support.process import Process
from support.shop import Shop
from syncd.demo.sandbox import Sandbox

IMPATIENT = (str(Path(__file__).parent / "run_impatient.py"), "5")
STALE = 10.0  # seconds: what an impatient daemon allows for a step


def wait_until(condition: object, seconds: float = 60.0) -> None:
    """Wait as elsewhere, with time for daemons that start on a busy machine."""
    postgres.wait_until(condition, seconds)


class Supervisor:
    """The receiving end of NOTIFY_SOCKET; `datagrams` are those received, in order."""

    def __init__(self, address: str, watchdog_seconds: float) -> None:
        self.environment: Mapping[str, str] = {
            "NOTIFY_SOCKET": address,
            "WATCHDOG_USEC": str(round(watchdog_seconds * 1e6)),
        }
        self.datagrams: list[list[str]] = []
        self._pinged_at = 0.0
        self._ended = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address[0] == "@" else address)
        self._socket.settimeout(0.05)
        self._thread = threading.Thread(target=self._receive)
        self._thread.start()

    def lines(self, beginning: str) -> list[str]:
        """Return the lines with this prefix."""
        lines = [line for lines in list(self.datagrams) for line in lines]
        return [line for line in lines if line.startswith(beginning)]

    @property
    def seconds_since_ping(self) -> float:
        """Return the seconds since the last watchdog ping."""
        return time.monotonic() - self._pinged_at

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _receive(self) -> None:
        while not self._ended.is_set():
            try:
                lines = self._socket.recv(4096).decode().split("\n")
            except TimeoutError:
                continue
            if "WATCHDOG=1" in lines:
                self._pinged_at = time.monotonic()
            self.datagrams.append(lines)


@contextmanager
def supervisor(
    folder: Path, *, abstract: bool = False, watchdog_seconds: float = 1.0
) -> Iterator[Supervisor]:
    """Receive on a socket in a folder, or on an abstract one."""
    address = f"@syncd-{os.getpid()}-{id(folder)}" if abstract else f"{folder}/notify"
    listening = Supervisor(address, watchdog_seconds)
    try:
        yield listening
    finally:
        listening.close()


@dataclass
class SupervisedDaemon:
    """A shop, its daemon under a supervisor, and a fake of the API."""

    shop: Shop
    sandbox: Sandbox
    folder: Path
    supervisor: Supervisor

    def configure(self, source: dict[str, object] | None = None, **to: object) -> Path:
        endpoint = str(to.pop("endpoint", self.sandbox.endpoint))
        return self.shop.configure(self.folder, endpoint, source, **to)

    def start(self, *program: str) -> Process:
        config = self.folder / "syncd.toml"
        if not config.exists():
            self.configure()
        chosen = program or ("-m", "syncd", "run", "--config")
        return self.shop.start(config, program=chosen)

    def run(self, *program: str) -> Process:
        """Start it and wait until it is ready."""
        before = len(self.supervisor.lines("READY=1"))
        daemon = self.start(*program)
        wait_until(lambda: len(self.supervisor.lines("READY=1")) > before)
        return daemon

    def reload(self, daemon: Process) -> None:
        """Request a reload and wait until it has finished."""
        ready = len(self.supervisor.lines("READY=1"))
        daemon.send_signal(signal.SIGHUP)
        wait_until(lambda: len(self.supervisor.lines("READY=1")) > ready)

    def events(self, name: str) -> list[dict[str, object]]:
        text = (self.folder / "syncd.log").read_text()
        lines = [line for line in text.splitlines(keepends=True) if line[-1] == "\n"]
        return [e for e in map(json.loads, lines) if e["event"] == name]

    def arrived(self, orders: list[str]) -> Callable[[], bool]:
        return lambda: all(self.sandbox.received.posts(order) for order in orders)

    def stop(self, daemon: Process) -> None:
        daemon.terminate()
        assert daemon.wait(60) == 0
        wait_until(lambda: self.supervisor.lines("STOPPING=1"))

    def assert_pings(self, seconds: float) -> None:
        """Fail if a watchdog ping is overdue during these seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.supervisor.seconds_since_ping < STALE
            time.sleep(0.1)
