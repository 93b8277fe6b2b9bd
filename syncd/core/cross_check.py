"""Two captures over one ledger: what only the poll finds casts doubt on the other."""

from collections.abc import Iterable

FOLLOWED_SECONDS = 60.0
"""How long a key that the follower met is remembered."""

MOST_FOLLOWED = 20_000
"""How many are, at most; the oldest half is given up."""


class CrossCheck:
    """Orders that only the poll found, until the follower meets them too.

    Args:
        patience_seconds: How far the follower may lie behind the poll.
    """

    def __init__(self, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._found: dict[str, float] = {}
        self._followed: dict[str, float] = {}

    def found(self, keys: Iterable[str], now: float) -> None:
        """Note orders that the poll admitted; `now` in seconds of any one clock."""
        self._forget(now)
        for key in keys:
            if key not in self._followed:
                self._found.setdefault(key, now)

    def followed(self, keys: Iterable[str], now: float) -> None:
        """Note orders that the follower met, before or after the poll."""
        for key in keys:
            self._followed[key] = now
            self._found.pop(key, None)
        if len(self._followed) > MOST_FOLLOWED:
            kept = list(self._followed.items())[-MOST_FOLLOWED // 2 :]
            self._followed = dict(kept)

    def overdue(self, now: float) -> list[str]:
        """Return, once, the orders that it did not meet in time; the oldest first."""
        late = [k for k, since in self._found.items() if now - since > self._patience]
        for key in late:
            del self._found[key]
        return late

    def _forget(self, now: float) -> None:
        self._followed = {
            key: at for key, at in self._followed.items() if now - at < FOLLOWED_SECONDS
        }
