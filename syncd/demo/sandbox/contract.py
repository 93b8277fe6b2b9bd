"""What a healthy Squeezely makes of one POST (SQUEEZELY.md 5.2), as values.

What the real one does with an invalid event is not documented; here it is refused.
"""

import hmac
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

Event: TypeAlias = dict[str, Any]
Form: TypeAlias = Literal["events", "single"]
BodyForms: TypeAlias = Literal["both", "events", "single"]
Ending: TypeAlias = Literal["keep", "close", "reset"]

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
_BEGINS_WITH_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class UnreadableBodyError(ValueError):
    """A body without events; the text has the reason."""


class TimestampError(ValueError):
    """A `timestamp` in a form that Squeezely answers with `TIMESTAMP_ERROR`."""


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


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, with the manner in which it is (or is not) sent.

    Attributes:
        delay_seconds: Silence before the first byte.
        bytes_per_second: Speed of the whole answer, headers too; None is at once.
        declared_bytes: A false Content-Length; None: the true one.
        ending: What becomes of the connection afterwards; "keep" leaves it to
            the client, "reset" aborts it (RST).
        is_silent: Nothing at all is sent.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    delay_seconds: float = 0
    bytes_per_second: float | None = None
    declared_bytes: int | None = None
    ending: Ending = "keep"
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """The events of one POST that are accepted, and the answer to it."""

    accepted: tuple[Event, ...]
    answer: Answer


@dataclass(frozen=True, slots=True)
class Account:
    """What one account accepts: its credentials and body forms."""

    name: str
    api_key: str
    body: BodyForms = "both"


@dataclass(frozen=True, slots=True)
class Post:
    """One POST to the track endpoint, as a healthy Squeezely handles it.

    Attributes:
        form: The body's form, None where it could not be read.
        events: All events in it, valid or not; empty where it could not be read.
        result: What a healthy Squeezely makes of it.
        known: Its orderids that the account has already.
    """

    at: datetime
    size_bytes: int
    form: Form | None
    events: tuple[Event, ...]
    result: Result
    known: tuple[str, ...] = ()

    @property
    def is_valid(self) -> bool:
        """Return whether every event of it is valid."""
        return self.result.answer is SUCCESS

    def holds(self, orderids: Collection[str]) -> bool:
        """Return whether it holds one of `orderids`; none names them all."""
        return not orderids or any(orderid_of(e) in orderids for e in self.events)

    def answered(self, answer: Answer, *, takes: bool = True) -> Result:
        """Answer otherwise; what is valid is accepted all the same, or is not."""
        return Result(self.result.accepted if takes else (), answer)


def json_answer(document: Mapping[str, object], status: int = 200) -> Answer:
    """Answer with `document` as ASCII JSON on one line."""
    return Answer(status, json.dumps(document).encode("ascii"))


def refusal(
    status: int,
    errors: Iterable[object],
    *,
    created: int | None = None,
    ending: Ending = "keep",
) -> Answer:
    """Answer `success: false` with `errors`, and the number accepted if given."""
    counts = {} if created is None else {"created": created}
    document = {"success": False, **counts, "errors": list(errors)}
    return replace(json_answer(document, status), ending=ending)


def refuse(status: int, *errors: object) -> Result:
    """Accept nothing, and answer `success: false` with `errors`."""
    return Result((), refusal(status, errors))


def orderid_of(event: object) -> str | None:
    """Find the orderid of an event that may be anything."""
    orderid = event.get("orderid") if isinstance(event, dict) else None
    return orderid if isinstance(orderid, str) else None


SUCCESS = json_answer({"success": True})


def handle(request: Request, account: Account, at: datetime) -> Post:
    """Decide what is accepted of a POST and what is answered, faults aside."""
    form: Form | None = None
    events: tuple[Event, ...] = ()
    try:
        form, events = _read_events(request)
        result = _result(form, events, account)
    except UnreadableBodyError as error:
        result = refuse(400, str(error))
    if not _is_authorised(request, account):
        result = refuse(401, "Invalid credentials")
    return Post(at, len(request.body), form, events, result)


def read_json(request: Request) -> Event:
    """Parse a JSON object; numbers that JSON itself does not know are refused.

    Raises:
        UnreadableBodyError: Wrong content type, or not a JSON object.
    """
    if request.content_type.partition(";")[0].strip().lower() != "application/json":
        raise UnreadableBodyError("content type is not application/json")
    try:
        document = json.loads(request.body, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise UnreadableBodyError("body is not valid JSON") from error
    if not isinstance(document, dict):
        raise UnreadableBodyError("body is not a JSON object")
    return document


def shown_time(value: object) -> str:
    """Turn an event's `timestamp` into "YYYY-MM-DD HH:mm:ss" in Amsterdam.

    Args:
        value: Whole Unix seconds, or a datetime that begins YYYY-mm-dd; without
            an offset it is Amsterdam time already.

    Raises:
        TimestampError: The value has another form, or is outside years 1 to 9999.

    Source: SQUEEZELY.md 2.2.
    """
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return in_amsterdam(datetime.fromtimestamp(value, UTC))
        if isinstance(value, str) and _BEGINS_WITH_DATE.match(value):
            return in_amsterdam(datetime.fromisoformat(value))
    except (ValueError, OverflowError, OSError) as error:
        raise TimestampError("TIMESTAMP_ERROR") from error
    raise TimestampError("TIMESTAMP_ERROR")


def in_amsterdam(moment: datetime) -> str:
    """Show a moment as "YYYY-MM-DD HH:mm:ss"; without a zone it is there already."""
    local = moment.astimezone(AMSTERDAM) if moment.tzinfo else moment
    return local.replace(tzinfo=None, microsecond=0).isoformat(" ")


def _finite(number: str) -> float:
    value = float(number)
    if value - value != 0:
        raise ValueError("not a finite number")
    return value


def _is_authorised(request: Request, account: Account) -> bool:
    """Compare both credentials in constant time."""
    name = hmac.compare_digest(request.account.encode(), account.name.encode())
    key = hmac.compare_digest(request.api_key.encode(), account.api_key.encode())
    return name and key


def _read_events(request: Request) -> tuple[Form, tuple[Event, ...]]:
    document = read_json(request)
    if "events" not in document:
        return "single", (document,)
    events = document["events"]
    if not isinstance(events, list) or not events:
        raise UnreadableBodyError("events is not a list of events")
    return "events", tuple(events)


def _result(form: Form, events: tuple[Event, ...], account: Account) -> Result:
    """Accept the valid events; the message about a wrong form is a guess."""
    if account.body not in ("both", form):
        return refuse(400, f"{'event' if form == 'events' else 'events'} is missing")
    errors = [next(_errors(event), None) for event in events]
    if not any(errors):
        return Result(events, SUCCESS)
    if form == "single":
        return refuse(400, *errors)
    valid = tuple(e for e, error in zip(events, errors, strict=True) if not error)
    texts = [f"event {i}: {error}" for i, error in enumerate(errors) if error]
    return Result(valid, refusal(400, texts, created=len(valid)))


def _errors(event: object) -> Iterator[str]:
    """Name what is wrong with a back-end purchase event."""
    if not isinstance(event, dict):
        yield "event is not an object"
        return
    if event.get("event") != "Purchase":
        yield "event is not Purchase" if event.get("event") else "event is missing"
    for field in ("email", "orderid"):
        yield from _text_errors(field, event.get(field))
    yield from _product_errors(event.get("products"))
    if "timestamp" in event:
        try:
            shown_time(event["timestamp"])
        except TimestampError as error:
            yield str(error)


def _text_errors(label: str, value: object) -> Iterator[str]:
    if value is None or value == "":
        yield f"{label} is missing"
    elif not isinstance(value, str):
        yield f"{label} is not text"


def _product_errors(products: object) -> Iterator[str]:
    if not products:
        yield "products is missing"
    elif not isinstance(products, list):
        yield "products is not a list"
    else:
        for product in products:
            known = product.get("id") if isinstance(product, dict) else None
            yield from _text_errors("product id", known)
