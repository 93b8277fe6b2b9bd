"""The customers' browsers: thank-you pages that send the front-end purchase, or not."""

import http.client
import json
import threading
import time
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_SECONDS_LATER = 1.0
_MOST_WAITING = 500


class Browsers:
    """Posts front-end purchases to the fake API, at once or a little later.

    Pages that are too many to load, or fail, are lost; that is what they are like.
    """

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self._waiting: deque[tuple[float, dict[str, object]]] = deque(
            maxlen=_MOST_WAITING
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="browsers", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def load(self, purchase: dict[str, object]) -> None:
        """Load a thank-you page now."""
        connection = http.client.HTTPConnection(self._address, timeout=2)
        with suppress(OSError, http.client.HTTPException):
            connection.request(
                "POST",
                "/sandbox/front-end",
                json.dumps(purchase),
                {"Content-Type": "application/json"},
            )
            connection.getresponse().read()
        connection.close()

    def load_later(self, purchase: dict[str, object]) -> None:
        """Load a thank-you page in about a second."""
        self._waiting.append((time.monotonic() + _SECONDS_LATER, purchase))

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._waiting and self._waiting[0][0] <= time.monotonic():
                self.load(self._waiting.popleft()[1])
            else:
                self._stopping.wait(0.05)
