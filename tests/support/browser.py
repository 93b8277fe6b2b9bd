"""A headless Chromium, driven by the DevTools protocol over a pipe."""

import json
import os
import shutil
import struct
import subprocess
import zlib
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
DESKTOP = (1100, 900)
PHONE = (375, 720)


class Tab:
    """One page of the browser; collects its `problems` and `requests`."""

    def __init__(self, sending: int, receiving: int) -> None:
        self._sending = sending
        self._receiving = receiving
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.problems: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, /, **params: object) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        request = {"id": self._number, "method": method, "params": params}
        if self._session:
            request["sessionId"] = self._session
        os.write(self._sending, json.dumps(request).encode() + b"\0")
        while True:
            message = self._receive()
            if message.get("id") == self._number:
                assert "error" not in message, message
                answer: dict[str, Any] = message["result"]
                return answer
            self._record(message)

    def show(self, page: Path, *, scheme: str, size: tuple[int, int]) -> None:
        """Open a file with this colour scheme and window size."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=size[0],
            height=size[1],
            deviceScaleFactor=1,
            mobile=size == PHONE,
        )
        self.call("Page.navigate", url=page.as_uri())
        loaded = (
            "new Promise(r => document.readyState == 'complete' ? r() : onload = r)"
        )
        self.evaluate(loaded)

    def evaluate(self, script: str) -> Any:  # noqa: ANN401  # whatever the script gives
        """Evaluate a script in the page and return its value."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def colour(self, x: int, y: int) -> tuple[int, ...]:
        """Return the colour of one painted pixel."""
        clip = {"x": x, "y": y, "width": 1, "height": 1, "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", clip=clip)
        return _pixel(b64decode(shot["data"]))

    def screenshot(self, file: Path) -> None:
        """Save a screenshot of the whole page."""
        shot = self.call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=True
        )
        file.write_bytes(b64decode(shot["data"]))

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = os.read(self._receiving, 1 << 16)
            assert chunk, "the browser ended"
            self._rest += chunk
        raw, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(raw)
        return message

    def _record(self, message: dict[str, Any]) -> None:
        method, params = message.get("method", ""), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method in {"Log.entryAdded", "Runtime.exceptionThrown"}:
            self.problems.append(json.dumps(params))
        elif method == "Runtime.consoleAPICalled":
            self.problems.append(json.dumps(params["args"]))


def _pixel(png: bytes) -> tuple[int, ...]:
    """Return the colour of a PNG's only pixel."""
    at, data, kind = 8, b"", 0
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        body = png[at + 8 : at + 8 + length]
        if png[at + 4 : at + 8] == b"IHDR":
            assert struct.unpack(">II", body[:8]) == (1, 1)
            kind = body[9]
        if png[at + 4 : at + 8] == b"IDAT":
            data += body
        at += length + 12
    assert kind in {2, 6}  # three or four bytes a pixel
    return tuple(zlib.decompress(data)[1:4])


@contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    """Run a browser with an empty profile in `folder`."""
    assert PROGRAM
    to_read, sending = os.pipe()
    receiving, to_write = os.pipe()

    # the protocol fixes the file descriptors 3 and 4
    placed = f'exec "$0" "$@" 3<&{to_read} 4>&{to_write}'
    profile = f"--user-data-dir={folder / 'profile'}"
    process = subprocess.Popen(
        ["bash", "-c", placed, PROGRAM, *_FLAGS, profile],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(to_read, to_write),
        env={**os.environ, "HOME": str(folder)},
    )
    os.close(to_read)
    os.close(to_write)
    try:
        yield Tab(sending, receiving)
    finally:
        os.close(sending)  # closing the pipe ends the browser and its child processes
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(receiving)
