"""The sandbox as one object: start it, see what it received, make it fail."""

from collections.abc import Sequence
from typing import Self

from syncd.demo.sandbox.contract import Account, BodyForms
from syncd.demo.sandbox.fault_queue import FaultQueue
from syncd.demo.sandbox.received_events import ReceivedEvents
from syncd.demo.sandbox.routes import TRACK, Routes
from syncd.demo.sandbox.server import HOST, Server


class Sandbox:
    """A local fake of Squeezely's track endpoint, with a page that shows its events.

    A context manager. It may be stopped and started again, on the same port and
    with what it received, as an API that was down and came back.

    Args:
        port: Port on 127.0.0.1; 0 takes a free one at the first start.
        account: Value of X-AUTH-ACCOUNT that is accepted.
        api_key: Value of X-AUTH-APIKEY that is accepted.
        body: Body forms that are accepted.
        keep_bodies: Number of orderids whose last body is kept.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        account: str = "SQ-SANDBOX",
        api_key: str = "sandbox-key",
        body: BodyForms = "both",
        keep_bodies: int = 10_000,
    ) -> None:
        self.received = ReceivedEvents(keep_bodies)
        self._faults = FaultQueue()
        terms = Account(account, api_key, body)
        self._routes = Routes(self.received, self._faults, terms)
        self._port = port
        self._server: Server | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Address of the page, without a slash at the end; real once started."""
        return f"http://{HOST}:{self._port}"

    @property
    def endpoint(self) -> str:
        """Address that takes the events."""
        return self.url + TRACK

    def suggest(self, commands: Sequence[str]) -> None:
        """Show on the page commands to try."""
        self._routes.suggestions = tuple(commands)

    def start(self) -> None:
        """Open the port and serve; does nothing while it serves already.

        Raises:
            PortUnavailableError: The port is taken, or may not be opened.
        """
        if self._server is None:
            self._server = Server(self._port, self._routes)
            self._port = self._server.port

    def stop(self) -> None:
        """Close the port and every connection at once; does nothing if stopped.

        Answers under way are cut off. What was received stays, and the faults.
        """
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def fail(self, fault: str, times: int | None = 1, **options: object) -> None:
        """Queue a fault for the next POSTs that it concerns.

        Args:
            fault: A key of `FAULTS`.
            times: Number of requests that it changes; None is all, until cleared,
                and lets those with a number go first.
            options: Options of the fault, named in `FAULTS`.

        Raises:
            FaultError: There is no such fault, option or value.
        """
        self._faults.add(fault, times, options)

    def clear_faults(self) -> None:
        """Remove every queued fault; answers under way stay as they are."""
        self._faults.clear()

    def queued_faults(self) -> list[dict[str, object]]:
        """List the faults still queued, next first, with the times that are left."""
        return self._faults.queued()
