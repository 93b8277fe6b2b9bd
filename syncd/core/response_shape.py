"""The shape of a response: the same for all that say the same of other events.

A person says once what a shape means; from then on it means that. So a shape keeps
every word that could make a difference, and of every number whether it is none, all
that was sent, or another.
"""

import hashlib
from collections.abc import Callable, Sized
from typing import cast

from syncd.core.response import Response
from syncd.core.response_text import parse, quote_whole

MAX_SHAPE = 500
"""Characters; of a longer one the beginning is kept, and a digest of all."""

_DEEPEST = 12
_MOST_DIGITS = 18
_KEPT_TEXT = 100_000


def shape_of(
    response: Response, sent: int, hide: Callable[[str], str] = lambda text: text
) -> str:
    """Return the shape of the response to `sent` events.

    Args:
        response: A whole one.
        sent: Number of events, at least 1.
        hide: Removes personal data; what it changes is one word in a shape.
    """
    return _Shape(sent, hide).of(response)


class _Shape:
    def __init__(self, sent: int, hide: Callable[[str], str]) -> None:
        self._sent = sent
        self._hide = hide

    def of(self, response: Response) -> str:
        document = parse(response.body)
        if document is None:
            told = f"text {self._words(quote_whole(response.body, _KEPT_TEXT))}"
        else:
            told = self._value(document, 0)
        whole = f"HTTP {response.status} {told}".strip()
        if len(whole) <= MAX_SHAPE:
            return whole
        digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{whole[: MAX_SHAPE - 70]} sha256 {digest}"[:MAX_SHAPE]

    def _value(self, value: object, depth: int) -> str:
        if depth > _DEEPEST:
            return f"deeper {hashlib.sha256(repr(value).encode()).hexdigest()}"
        if isinstance(value, dict):
            named = cast("dict[str, object]", value)
            fields = (
                f"{self._words(name)}: {self._value(item, depth + 1)}"
                for name, item in sorted(named.items())
            )
            return "{" + ", ".join(fields) + "}"
        if isinstance(value, list):
            return self._list(cast("list[object]", value), depth)
        if isinstance(value, str):
            return f'"{self._words(value)}"'
        return self._scalar(value)

    def _list(self, items: list[object], depth: int) -> str:
        if not items:
            return "[]"
        kinds = sorted({self._value(item, depth + 1) for item in items})
        return f"[{' | '.join(kinds)}] of {self._size(items)}"

    def _scalar(self, value: object) -> str:
        if value is None or isinstance(value, bool):
            return {None: "null", True: "true", False: "false"}[value]
        return self._number(cast("float", value))

    def _words(self, text: str) -> str:
        return " ".join(map(self._word, self._hide(text).split()))

    def _word(self, word: str) -> str:
        plain = "".join(c if c.isprintable() else "?" for c in word)
        if not any(c.isdigit() for c in plain):
            return plain
        bare = plain.strip(".,:;!?()")
        return self._number(int(bare)) if _is_number(bare) else "<id>"

    def _size(self, items: Sized) -> str:
        return self._number(len(items))

    def _number(self, number: float) -> str:
        if number == self._sent:
            return "<all>"
        return "0" if number == 0 else "<n>"


def _is_number(text: str) -> bool:
    return len(text) <= _MOST_DIGITS and text.isascii() and text.isdecimal()
