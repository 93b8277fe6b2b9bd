"""What goes back over the wire, and what was taken: values without behaviour."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias

Event: TypeAlias = dict[str, Any]
Form: TypeAlias = Literal["events", "single"]
Ending: TypeAlias = Literal["keep", "close", "reset"]

HTML_PAGE = b"<!doctype html><title>Trouble</title><h1>Something went wrong</h1>\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, with the manner in which it is (or is not) sent.

    Attributes:
        delay_seconds: Silence before the first byte.
        bytes_per_second: Pace of the whole answer, headers too; None is at once.
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
class Verdict:
    """The events that one POST leaves behind, and the answer to it."""

    taken: tuple[Event, ...]
    answer: Answer


@dataclass(frozen=True, slots=True)
class Case:
    """One POST as it was judged by the contract, before any fault.

    Attributes:
        form: The body's form, None where it could not be read.
        events: All events in it, good or bad; empty where it could not be read.
        verdict: What a Squeezely in good health makes of it.
        known: Its orderids that the account has already.
    """

    at: datetime
    size_bytes: int
    form: Form | None
    events: tuple[Event, ...]
    verdict: Verdict
    known: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Return whether every event of it was found good."""
        return self.verdict.answer is SUCCESS

    def holds(self, orderids: Collection[str]) -> bool:
        """Return whether it holds one of `orderids`; none names them all."""
        return not orderids or any(orderid_of(e) in orderids for e in self.events)

    def taking(self, answer: Answer, *, takes: bool = True) -> Verdict:
        """Answer otherwise; what was good is taken all the same, or is not."""
        return Verdict(self.verdict.taken if takes else (), answer)


def json_answer(document: Mapping[str, object], status: int = 200) -> Answer:
    """Answer with `document` as ASCII JSON on one line."""
    return Answer(status, json.dumps(document).encode("ascii"))


def readable_answer(document: Mapping[str, object]) -> Answer:
    """Answer with `document` as JSON for people; half characters stay escaped."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return Answer(200, text.encode("utf-8", "backslashreplace"))


def refusal(
    status: int,
    errors: Iterable[object],
    *,
    created: int | None = None,
    ending: Ending = "keep",
) -> Answer:
    """Answer `success: false` with `errors`, and the number taken if there is one."""
    counts = {} if created is None else {"created": created}
    document = {"success": False, **counts, "errors": list(errors)}
    return replace(json_answer(document, status), ending=ending)


def orderid_of(event: object) -> str | None:
    """Find the orderid of an event that may be anything."""
    orderid = event.get("orderid") if isinstance(event, dict) else None
    return orderid if isinstance(orderid, str) else None


SUCCESS = json_answer({"success": True})
"""The default good answer."""
