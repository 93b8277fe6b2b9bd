"""Keeping what was sent out of logs and errors: an answer may quote it.

An API's answer to a request is worth keeping; the personal data in it is not. What was
sent is known, so it is searched for word by word, in each form in which a gateway may
give it back.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from syncd.core.echo import forms, hidden_texts, readings, words_of

HIDDEN = "[hidden]"
NUMBER = "<id>"

_IMPERSONAL = frozenset(
    {"event", "orderid", "timestamp", "currency", "totalvalue", "language", "products"}
)
_CHUNK = re.compile(r"\S+")
_WORD = re.compile(r"[^\W_]+")
_SHORTEST = 2
"""Characters of a word that may identify a person; an initial alone does not."""

_CUT = 4
"""Characters from which a word that was cut off is still recognised."""

_WITHIN = 5
"""Characters from which a word is recognised within a longer one."""

_DEPTH = 2
"""How often a text may be written as another in base64 or hexadecimal digits."""


class Redactor:
    """Hides the personal values of some events, and secrets, in texts about them.

    Args:
        events: As they were sent; read when something is to be logged.
        secrets: Texts that are hidden wherever they stand.
    """

    def __init__(
        self, events: Iterable[Mapping[str, object]], secrets: Iterable[str] = ()
    ) -> None:
        self._events = events
        self._secrets = [secret for secret in secrets if secret]

    @cached_property
    def _sent(self) -> list[Mapping[str, object]]:
        return list(self._events)

    @cached_property
    def _words(self) -> set[str]:
        return {
            word
            for event in self._sent
            for name, value in event.items()
            if name not in _IMPERSONAL and not isinstance(value, bool | None)
            for form in forms(str(value))
            for word in words_of(form)
            if len(word) >= _SHORTEST
        }

    @cached_property
    def _long(self) -> list[str]:
        return [word for word in self._words if len(word) >= _WITHIN]

    def redact(self, text: str) -> str:
        """Replace every word that is of the events, in part, in capitals or encoded."""
        return self._over(text, _DEPTH)

    def over_numbers(self, text: str) -> str:
        """Replace the orders' public numbers as well, but those of digits alone."""
        numbers = {str(event.get("orderid", "0")) for event in self._sent}
        numbers = {number for number in numbers if not number.isdecimal()}
        for number in sorted(numbers, key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(number)}(?!\w)", NUMBER, text)
        return self.redact(text)

    def _over(self, text: str, depth: int) -> str:
        text = self._without_secrets(text)
        return _CHUNK.sub(lambda found: self._chunk(found[0], depth), text)

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = re.sub(re.escape(secret), HIDDEN, text, flags=re.IGNORECASE)
        return text

    def _chunk(self, chunk: str, depth: int) -> str:
        """Return a text without blanks redacted: unchanged if it reveals nothing."""
        for plain in readings(chunk):
            seen = self._without_secrets(self._without_encoded(plain, depth))
            seen = _WORD.sub(lambda found: self._word(found[0]), seen)
            if seen != plain:
                return seen
        return chunk

    def _without_encoded(self, text: str, depth: int) -> str:
        """Replace what is written in base64 or hexadecimal digits."""
        if not depth:
            return text
        for token in self._encoded(text, depth):
            text = text.replace(token, HIDDEN)
        return text

    def _encoded(self, text: str, depth: int) -> Iterator[str]:
        for token, hidden in hidden_texts(text):
            if self._over(hidden, depth - 1) != hidden:
                yield token

    def _word(self, word: str) -> str:
        lower = word.casefold()
        return HIDDEN if lower in self._words or self._is_part(lower) else word

    def _is_part(self, lower: str) -> bool:
        if any(word in lower for word in self._long):
            return True
        is_long = len(lower) >= _CUT
        return is_long and any(
            w.startswith(lower) or w.endswith(lower) for w in self._words
        )
