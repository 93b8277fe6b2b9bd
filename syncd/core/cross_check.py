"""Two captures over one ledger: what only the poll finds casts doubt on the other."""

from collections.abc import Iterable

HEARD_SECONDS = 60.0
"""How long a key that was heard of is remembered."""

MOST_HEARD = 20_000
"""How many are, at most; the oldest half is given up."""


class CrossCheck:
    """Orders that only the poll found, until the follower hears of them too.

    Args:
        patience_seconds: How far the follower may lie behind the poll.
    """

    def __init__(self, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._found: dict[str, float] = {}
        self._heard: dict[str, float] = {}

    def found(self, keys: Iterable[str], now: float) -> None:
        """Note orders that the poll admitted; `now` in seconds of any one clock."""
        self._forget(now)
        for key in keys:
            if key not in self._heard:
                self._found.setdefault(key, now)

    def heard(self, keys: Iterable[str], now: float) -> None:
        """Note orders that the follower heard of, before or after the poll."""
        for key in keys:
            self._heard[key] = now
            self._found.pop(key, None)
        if len(self._heard) > MOST_HEARD:
            kept = list(self._heard.items())[-MOST_HEARD // 2 :]
            self._heard = dict(kept)

    def overdue(self, now: float) -> list[str]:
        """Give, once, the orders that were not heard of in time; the oldest first."""
        late = [k for k, since in self._found.items() if now - since > self._patience]
        for key in late:
            del self._found[key]
        return late

    def _forget(self, now: float) -> None:
        self._heard = {
            key: at for key, at in self._heard.items() if now - at < HEARD_SECONDS
        }
