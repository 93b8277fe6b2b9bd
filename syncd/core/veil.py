"""Keeping what was sent out of what is told: an answer may quote it.

What an API says of a request is worth keeping; the person in the request is not. What
was sent is known, so it is looked for word by word.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cached_property

HIDDEN = "[hidden]"

_IMPERSONAL = frozenset(
    {"event", "orderid", "timestamp", "currency", "totalvalue", "language", "products"}
)
_WORD = re.compile(r"\w+")
_SHORTEST = 2
"""Characters of a word that may name somebody; an initial alone does not."""

_CUT = 4
"""Characters from which a word that was cut off is still recognised."""


class Veil:
    """Hides the personal values of some events, and secrets, in texts about them.

    Args:
        events: As they were sent; read when something is to be told.
        secrets: Texts that are hidden wherever they stand.
    """

    def __init__(
        self, events: Iterable[Mapping[str, object]], secrets: Iterable[str] = ()
    ) -> None:
        self._events = events
        self._secrets = [secret for secret in secrets if secret]

    @cached_property
    def _words(self) -> set[str]:
        values = [
            str(value).casefold()
            for event in self._events
            for name, value in event.items()
            if name not in _IMPERSONAL and not isinstance(value, bool)
        ]
        return {
            word
            for value in values
            for word in _WORD.findall(value)
            if len(word) >= _SHORTEST
        }

    def over(self, text: str) -> str:
        """Replace every word that is of the events, also in part or in capitals."""
        for secret in self._secrets:
            text = re.sub(re.escape(secret), HIDDEN, text, flags=re.IGNORECASE)
        return _WORD.sub(lambda found: self._word(found[0]), text)

    def _word(self, word: str) -> str:
        lower = word.casefold()
        cut = len(lower) >= _CUT and any(w.startswith(lower) for w in self._words)
        return HIDDEN if cut or lower in self._words else word
