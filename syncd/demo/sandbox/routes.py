"""What stands at which path: the track endpoint, and the sandbox's own pages.

A request comes in as a value and an `Answer` goes out; no socket is touched here.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.resources import files
from typing import TypeAlias
from urllib.parse import parse_qs, unquote

from syncd.demo.sandbox.answers import (
    Answer,
    json_answer,
    orderid_of,
    readable_answer,
    refusal,
)
from syncd.demo.sandbox.contract import (
    Post,
    Terms,
    UnreadableBodyError,
    judge,
    read_json,
)
from syncd.demo.sandbox.faults import FaultError, FaultQueue, described
from syncd.demo.sandbox.received_events import ReceivedEvents
from syncd.demo.sandbox.screen import row, whole
from syncd.demo.sandbox.timestamps import TimestampError

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


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request with a body that arrived whole."""

    method: str
    target: str
    host: str = ""
    account: str = ""
    api_key: str = ""
    content_type: str = ""
    body: bytes = b""

    @property
    def path(self) -> str:
        """Path of the target, not unquoted."""
        return self.target.partition("?")[0]

    def option(self, name: str, default: str) -> str:
        """Find one value of the target's query."""
        return parse_qs(self.target.partition("?")[2]).get(name, [default])[0]


Route: TypeAlias = Callable[[Request], Answer]


class Routes:
    """Answers every request from one book, one fault queue and one account's terms.

    Attributes:
        suggestions: Commands that the page shows.
    """

    def __init__(self, book: ReceivedEvents, faults: FaultQueue, terms: Terms) -> None:
        self._book = book
        self._faults = faults
        self._terms = terms
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
        verdict = self._faults.next_unread()
        if verdict is None:
            return None
        self._book.count_request()
        return verdict.answer

    def _methods(self, path: str) -> dict[str, Route]:
        if path.startswith(_PURCHASE):
            return {"GET": self._purchase}
        return self._table.get(path, {})

    def _track(self, request: Request) -> Answer:
        at = datetime.now(UTC)
        self._book.count_request()
        post = Post(
            request.account, request.api_key, request.content_type, request.body
        )
        case = judge(post, self._terms, at)
        orderids = filter(None, map(orderid_of, case.events))
        known = tuple(o for o in orderids if self._book.posts(o))
        verdict = self._faults.apply(replace(case, known=known))
        for event in verdict.taken:
            self._book.receive_backend(event, at)
        return verdict.answer

    def _totals(self, _request: Request) -> Answer:
        totals = asdict(self._book.totals)
        return json_answer({"account": self._terms.account, **totals})

    def _suggestions(self, _request: Request) -> Answer:
        return json_answer({"commands": list(self.suggestions)})

    def _purchases(self, request: Request) -> Answer:
        try:
            limit = int(request.option("limit", "50"))
            offset = int(request.option("offset", "0"))
        except ValueError:
            return refusal(400, ["limit and offset are whole numbers"])
        count, purchases = self._book.newest(
            min(max(limit, 0), _MOST_ROWS),
            min(max(offset, 0), _LAST_ROW),
            request.option("q", ""),
        )
        return json_answer({"count": count, "purchases": [row(p) for p in purchases]})

    def _purchase(self, request: Request) -> Answer:
        orderid = unquote(request.path.removeprefix(_PURCHASE))
        purchase = self._book.purchase(orderid)
        if purchase is None:
            return refusal(404, ["no such orderid"])
        return readable_answer(whole(purchase))

    def _front_end(self, request: Request) -> Answer:
        try:
            event = read_json(request.content_type, request.body)
            if not orderid_of(event):
                return refusal(400, ["orderid is missing"])
            self._book.receive_frontend(event, datetime.now(UTC))
        except (UnreadableBodyError, TimestampError) as error:
            return refusal(400, [str(error)])
        return json_answer({"success": True})

    def _list_faults(self, _request: Request) -> Answer:
        return json_answer({"faults": described(), "queued": self._faults.queued()})

    def _add_fault(self, request: Request) -> Answer:
        try:
            options = read_json(request.content_type, request.body)
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
