"""The shape of a response: equal for all that mean the same, and known or not.

An operator decides once what a shape means, for all later ones. So a shape keeps
every word that could make a difference, and of every number whether it is none, all
that was sent, another, or less than none; of a code or status, the number itself.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sized
from typing import cast

from syncd.core.echo import unescaped
from syncd.core.field_value import is_array, is_object
from syncd.core.response import Response
from syncd.core.response_text import parse, parse_object, quote_marked

MAX_SHAPE = 500
"""Characters; of a longer one the beginning is kept, and a digest of all."""

_DEEPEST = 12
_MOST_DIGITS = 18
_LARGEST = 10**_MOST_DIGITS
_KEPT_TEXT = 100_000
_SHORT = 16
_TELLING = re.compile(
    r"(code|status|result|error|errno|state|outcome|type|level|severity|kind)$",
    re.IGNORECASE,
)
"""Names of results: a number or a short text under them is kept."""


def shape_of(
    response: Response, sent: int, hide: Callable[[str], str] = lambda text: text
) -> str:
    """Return the shape of the response to `sent` events.

    Args:
        response: A whole one.
        sent: Number of events, at least 1.
        hide: Removes personal data; what it changes is one word in a shape.
    """
    return _Shape(response, sent, hide).written()


class _Shape:
    def __init__(
        self, response: Response, sent: int, hide: Callable[[str], str]
    ) -> None:
        self._response = response
        self._sent = sent
        self._hide = hide

    def written(self) -> str:
        body = self._response.body
        document = parse(body)
        if document is None:
            shape = f"text {self._words(quote_marked(body, _KEPT_TEXT))}"
        else:
            shape = self._value(document, 0, "")
        whole = f"HTTP {self._response.status} {shape}".strip()
        whole = whole.encode("ascii", "backslashreplace").decode("ascii")
        if len(whole) <= MAX_SHAPE:
            return whole
        return f"{whole[: MAX_SHAPE - 72]} sha256 {_digest(whole.encode())}"

    def _value(self, value: object, depth: int, name: str) -> str:
        if depth > _DEEPEST:
            return f"deeper {_digest(self._response.body)}"
        if is_object(value):
            fields = (
                f"{self._words(each)}: {self._value(item, depth + 1, each)}"
                for each, item in sorted(value.items())
            )
            return "{" + ", ".join(fields) + "}"
        if is_array(value):
            return self._list(value, depth, name)
        if isinstance(value, str):
            return f'"{self._words(value, name)}"'
        return self._scalar(value, name)

    def _list(self, items: list[object], depth: int, name: str) -> str:
        if not items:
            return "[]"
        kinds = sorted({self._value(item, depth + 1, name) for item in items})
        return f"[{' | '.join(kinds)}] of {self._size(items)}"

    def _scalar(self, value: object, name: str) -> str:
        if value is None or isinstance(value, bool):
            return {None: "null", True: "true", False: "false"}[value]
        number = cast("float", value)
        tells = _TELLING.search(name) and abs(number) < _LARGEST
        return str(number) if tells else self._number(number)

    def _words(self, text: str, name: str = "") -> str:
        """Return the words of a text, of which each may name the next."""
        shapes: list[str] = []
        for word in self._hide(unescaped(text)).split():
            shapes.append(self._word(word, name))
            name = word.rstrip(":=>\"'")
        return " ".join(shapes)

    def _word(self, word: str, name: str) -> str:
        plain = "".join(c if c.isprintable() else "?" for c in word)
        if not any(c.isdigit() for c in plain):
            return plain
        if _TELLING.search(name) and len(plain) <= _SHORT:
            return plain
        bare = plain.strip(".,:;!?()")
        if not _is_number(bare.removeprefix("-")):
            return "<id>"
        return self._number(int(bare))

    def _size(self, items: Sized) -> str:
        return self._number(len(items))

    def _number(self, number: float) -> str:
        if number == self._sent:
            return "<all>"
        if number < 0:
            return "-<n>"
        return "<n>" if number else "0"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _is_number(text: str) -> bool:
    return len(text) <= _MOST_DIGITS and text.isascii() and text.isdecimal()


MAX_DRIFT = 200

_SPOKEN = frozenset({200, 201, 400, 422})
"""Statuses of the API's own, which come with its JSON object."""

_BRIEF = frozenset({401, 403, 404, 405, 408, 413, 425, 429})
"""Statuses that a gateway may give as well, with any body."""

_TROUBLE = range(500, 600)

_KINDS: Mapping[str, frozenset[str]] = {
    "success": frozenset({"bool"}),
    "created": frozenset({"int"}),
    "updated": frozenset({"int"}),
    "errors": frozenset({"[]", "[str]", "[object]", "null"}),
}
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
_MEDIA = re.compile(r"[a-z]{1,12}/[a-z0-9.+-]{1,30}")


def describe_drift(answer: Response) -> str | None:
    """Describe an answer that the contract does not know; None when it does.

    Names and kinds only, at most `MAX_DRIFT` characters: no value of the answer.
    """
    if answer.status in _TROUBLE:
        return None
    fields = _fields(answer.body)
    if fields is None and answer.status in _BRIEF:
        return None
    if fields is None:
        form = _media(answer) if answer.body else "nothing"
        return f"HTTP {answer.status} with {form}"
    known = all(kind in _KINDS.get(name, ()) for name, kind in fields.items())
    if known and answer.status in _SPOKEN | _BRIEF:
        return None
    listed = ", ".join(sorted(f"{name}: {kind}" for name, kind in fields.items()))
    return f"HTTP {answer.status} {{{listed}}}"[:MAX_DRIFT]


def _fields(body: bytes) -> dict[str, str] | None:
    """Name the fields of a JSON object with their kinds; None for anything else."""
    fields = parse_object(body)
    if fields is None:
        return None
    return {
        name if _WORD.fullmatch(name) else "?": _kind(value)
        for name, value in fields.items()
    }


def _kind(value: object) -> str:
    if is_array(value):
        return f"[{_kind(value[0])}]" if value else "[]"
    names = {"NoneType": "null", "dict": "object"}
    return names.get(type(value).__name__, type(value).__name__)


def _media(answer: Response) -> str:
    named = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    return f"{named if _MEDIA.fullmatch(named) else 'a body'}, not a JSON object"
