"""The real daemon as a child process, with its configuration and its log."""

import json
import os
import subprocess
import sys
import time
from collections import deque
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import syncd
from syncd.demo.server import DemoUnavailableError

FEED = "demo"

_START_SECONDS = 30.0
_STOP_SECONDS = 30.0
_EVENTS_KEPT = 100

# Settings of the operator that would lead the demo's daemon to their database.
_NOT_INHERITED = (
    "SYNCD_",
    "PG",
    "CREDENTIALS_DIRECTORY",
    "NOTIFY_SOCKET",
    "WATCHDOG_",
    "JOURNAL_STREAM",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
)


class DaemonLog:
    """The daemon's log, read while it is being written.

    Attributes:
        events: The last lines, oldest first; captures in a row are one.
        rss_mb: The daemon's memory as of its last heartbeat; None before the first.
        is_started: The feed has begun.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self.events: deque[dict[str, Any]] = deque(maxlen=_EVENTS_KEPT)
        self.rss_mb: float | None = None
        self.is_started = False

    def refresh(self) -> None:
        """Read the lines that are new."""
        with self._path.open("rb") as file:
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._position += len(line)
                self._take(line)

    def _take(self, line: bytes) -> None:
        event: dict[str, Any]
        try:
            event = json.loads(line)
        except ValueError:
            event = {"event": "stderr", "message": line.decode(errors="replace")}
        name = event["event"]
        if name == "heartbeat":
            self.rss_mb = event["rss_mb"]
            return
        self.is_started = self.is_started or name == "daemon.started"
        last = self.events[-1]["event"] if self.events else ""
        if name == last == "orders.captured":
            event["orders"] += self.events.pop()["orders"]
        self.events.append(event)


class DaemonProcess:
    """`syncd run` on a configuration of its own; killed at the latest on exit.

    Attributes:
        config: Its configuration; the commands work with it, too.
    """

    def __init__(
        self, folder: Path, dsn: str, endpoint: str, account: str, api_key: str
    ) -> None:
        self.config = folder / "syncd.toml"
        key_file = folder / "api-key"
        key_file.touch(0o600)
        key_file.write_text(api_key, encoding="ascii")
        (folder / "state").mkdir()
        values = {
            "feed": FEED,
            "dsn": dsn,
            "folder": str(folder),
            "endpoint": endpoint,
            "account": account,
        }
        escaped = {name: json.dumps(value)[1:-1] for name, value in values.items()}
        template = (files("syncd.demo") / "daemon.toml").read_text(encoding="utf-8")
        self.config.write_text(template.format(**escaped), encoding="utf-8")
        self.log = DaemonLog(folder / "daemon.log")
        with (folder / "daemon.log").open("ab") as stderr:
            self._process = subprocess.Popen(  # noqa: S603  # no input of others
                [sys.executable, "-m", "syncd", "run", "--config", str(self.config)],
                env=_environment(),
                start_new_session=True,  # a Ctrl-C is for the demo alone
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )

    def wait_until_started(self) -> None:
        """Wait until its feed has begun.

        Raises:
            DemoUnavailableError: It ended, or took too long.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not self.log.is_started:
            if not self.is_running or time.monotonic() > deadline:
                self.log.refresh()
                raise DemoUnavailableError(
                    f"the daemon does not start: {self._last_line()}",
                    "Run `syncd demo` again; if it stays, report it with this line.",
                )
            time.sleep(0.05)
            self.log.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def is_running(self) -> bool:
        """Return whether the process has not ended yet."""
        return self._process.poll() is None

    def stop(self) -> int:
        """Drain the daemon (SIGTERM), and return its exit code."""
        self._process.terminate()
        try:
            code = self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self.log.refresh()
        return code

    def _last_line(self) -> str:
        if not self.log.events:
            return "it logged nothing"
        last = self.log.events[-1]
        texts = (last.get(key) for key in ("message", "reason", "exception", "event"))
        return next(str(words).strip() for words in texts if words)


def _environment() -> dict[str, str]:
    """Pass on the environment without what belongs to other daemons or databases."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(_NOT_INHERITED)
    }
    package = str(Path(syncd.__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, (package, inherited.get("PYTHONPATH"))))
    return inherited | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
