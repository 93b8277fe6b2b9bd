"""What stands at which path: the track endpoint, and the sandbox's own pages.

A request comes in as a value and an `Answer` goes out; no socket is touched here.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.resources import files
from typing import TypeAlias
from urllib.parse import unquote

from syncd.demo.sandbox.contract import (
    SUCCESS,
    Account,
    Answer,
    Request,
    TimestampError,
    UnreadableBodyError,
    handle,
    json_answer,
    orderid_of,
    read_json,
    refusal,
)
from syncd.demo.sandbox.fault_queue import FaultError, FaultQueue, described
from syncd.demo.sandbox.received_events import ReceivedEvents

TRACK = "/v1/track"

_PURCHASE = "/sandbox/purchases/"
_MOST_ROWS = 1000
_LAST_ROW = 10**9
_OWN_HOSTS = frozenset({"", "127.0.0.1", "localhost"})
_PAGE_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'self'; img-src data:; base-uri 'none'; form-action 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
)


Route: TypeAlias = Callable[[Request], Answer]


class Routes:
    """Answers every request: what was received, what fails, what the account accepts.

    Attributes:
        suggestions: Commands that the page shows.
    """

    def __init__(
        self, received: ReceivedEvents, faults: FaultQueue, account: Account
    ) -> None:
        self._received = received
        self._faults = faults
        self._account = account
        self.suggestions: Sequence[str] = ()
        self._table: dict[str, dict[str, Route]] = {
            TRACK: {"POST": self._track},
            "/": {"GET": _page("page.html", "text/html")},
            "/page.css": {"GET": _page("page.css", "text/css")},
            "/page.js": {"GET": _page("page.js", "text/javascript")},
            "/sandbox/totals": {"GET": self._totals},
            "/sandbox/suggestions": {"GET": self._suggestions},
            "/sandbox/purchases": {"GET": self._purchases},
            "/sandbox/front-end": {"POST": self._front_end},
            "/sandbox/faults": {
                "GET": self._list_faults,
                "POST": self._add_fault,
                "DELETE": self._clear_faults,
            },
        }

    def answer(self, request: Request) -> Answer:
        """Answer one request; HEAD is answered as GET.

        A Host other than this machine's is refused, so that no web page can read
        order data by giving its own name this address.
        """
        if request.host.partition(":")[0].lower() not in _OWN_HOSTS:
            return refusal(421, ["this is a fake Squeezely API"])
        methods = self._methods(request.path)
        if not methods:
            return refusal(404, ["not found"])
        method = "GET" if request.method == "HEAD" else request.method
        if method not in methods:
            allowed = (("Allow", ", ".join(methods)),)
            return Answer(405, b'{"success": false}', headers=allowed)
        return methods[method](request)

    def answer_unread(self, method: str, target: str) -> Answer | None:
        """Answer a request before its body is read, if a fault requires it."""
        if (method, target.partition("?")[0]) != ("POST", TRACK):
            return None
        result = self._faults.next_unread()
        if result is None:
            return None
        self._received.count_request()
        return result.answer

    def _methods(self, path: str) -> dict[str, Route]:
        if path.startswith(_PURCHASE):
            return {"GET": self._purchase}
        return self._table.get(path, {})

    def _track(self, request: Request) -> Answer:
        at = datetime.now(UTC)
        self._received.count_request()
        post = handle(request, self._account, at)
        orderids = filter(None, map(orderid_of, post.events))
        known = tuple(o for o in orderids if self._received.posts(o))
        result = self._faults.apply(replace(post, known=known))
        for event in result.accepted:
            self._received.receive_backend(event, at)
        return result.answer

    def _totals(self, _request: Request) -> Answer:
        totals = asdict(self._received.totals)
        return json_answer({"account": self._account.name, **totals})

    def _suggestions(self, _request: Request) -> Answer:
        return json_answer({"commands": list(self.suggestions)})

    def _purchases(self, request: Request) -> Answer:
        try:
            limit = int(request.option("limit", "50"))
            offset = int(request.option("offset", "0"))
        except ValueError:
            return refusal(400, ["limit and offset are whole numbers"])
        count, purchases = self._received.newest(
            min(max(limit, 0), _MOST_ROWS),
            min(max(offset, 0), _LAST_ROW),
            request.option("q", ""),
        )
        return json_answer({"count": count, "purchases": [p.row() for p in purchases]})

    def _purchase(self, request: Request) -> Answer:
        orderid = unquote(request.path.removeprefix(_PURCHASE))
        purchase = self._received.purchase(orderid)
        if purchase is None:
            return refusal(404, ["no such orderid"])
        document = {**purchase.row(), "body": purchase.body}
        text = json.dumps(document, indent=2, ensure_ascii=False)
        # Half characters (surrogates) stay escaped.
        return Answer(200, text.encode("utf-8", "backslashreplace"))

    def _front_end(self, request: Request) -> Answer:
        try:
            event = read_json(request)
            if not orderid_of(event):
                return refusal(400, ["orderid is missing"])
            self._received.receive_frontend(event, datetime.now(UTC))
        except (UnreadableBodyError, TimestampError) as error:
            return refusal(400, [str(error)])
        return SUCCESS

    def _list_faults(self, _request: Request) -> Answer:
        return json_answer({"faults": described(), "queued": self._faults.queued()})

    def _add_fault(self, request: Request) -> Answer:
        try:
            options = read_json(request)
            name = str(options.pop("fault", ""))
            self._faults.add(name, options.pop("times", 1), options)
        except (UnreadableBodyError, FaultError) as error:
            return refusal(400, [str(error)])
        return json_answer({"queued": self._faults.queued()})

    def _clear_faults(self, _request: Request) -> Answer:
        self._faults.clear()
        return json_answer({"queued": []})


def _page(name: str, content_type: str) -> Route:
    """Serve one file of this package, read once."""
    body = files("syncd.demo.sandbox").joinpath(name).read_bytes()
    answer = Answer(200, body, f"{content_type}; charset=utf-8", headers=_PAGE_HEADERS)
    return lambda _request: answer
