"""Fingerprints of the newest events sent: what `syncd diff` compares with.

Only the newest of a feed are kept, so no more than those are made, however many are
sent: what was sent is noted, and taken and written when there is nothing to send. A
crash loses a few.
"""

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import cast

import msgspec

from syncd.core.difference import Seal, pack, places
from syncd.core.purchase import Purchase
from syncd.database import Database, named
from syncd.errors import SyncdError
from syncd.ledger import Claim, Ledger

KEPT = 1_000
"""Orders of a feed whose fingerprints are kept."""

WRITE_SECONDS = 5.0
"""Between two times that they are written."""

AT_ONCE = 10
"""How many are taken at a time, a millisecond: an order may come to be sent."""


@dataclass(frozen=True, slots=True)
class _Sent:
    key: str
    at: datetime
    purchase: Purchase


@dataclass(frozen=True, slots=True)
class _Taken:
    at: datetime
    fields: str


class Fingerprints:
    """What one worker has sent lately.

    Args:
        ledger: Where they are kept.
        source: Whose view made the events.
        view: That view's name.
        seal: Makes them.
    """

    def __init__(self, ledger: Ledger, source: Database, view: str, seal: Seal) -> None:
        self._ledger = ledger
        self._source = source
        self._view = view
        self._seal = seal
        self._sent: deque[_Sent] = deque(maxlen=KEPT)
        self._taken: dict[str, _Taken] = {}
        self._written_at = time.monotonic()

    def note(self, claim: Claim, purchases: Sequence[tuple[str, Purchase]]) -> None:
        """Note events that were accepted; of very many, the newest.

        Not those of a backfill without the customer's fields: they are not the view.
        """
        if not claim.with_profile:
            return
        self._sent.extend(
            _Sent(key, claim.claimed_at, purchase)
            for key, purchase in purchases[-KEPT:]
        )

    def go_on(self) -> bool:
        """Take a few of what was noted, or write them if that was not done just now.

        Returns:
            Whether there is more to take; False when there is nothing to do now.
        """
        if self._sent:
            self._take(AT_ONCE)
            return True
        if self._taken and time.monotonic() - self._written_at >= WRITE_SECONDS:
            self.write()
        return False

    def write(self) -> None:
        """Write what was noted, and forget what is too old.

        Sending never waits for that: what fails is tried again with the next.
        """
        self._take(KEPT)
        self._written_at = time.monotonic()
        with suppress(SyncdError):
            self._write()

    def _take(self, count: int) -> None:
        for _ in range(min(count, len(self._sent))):
            sent = self._sent.popleft()
            prints = self._seal.take(sent.key, places(sent.purchase.event))
            fields = msgspec.json.encode(pack(prints)).decode()
            self._taken.pop(sent.key, None)
            self._taken[sent.key] = _Taken(sent.at, fields)
        while len(self._taken) > KEPT:
            del self._taken[next(iter(self._taken))]

    def _write(self) -> None:
        if not self._taken:
            return
        taken = self._taken.values()
        feed = {"feed": self._ledger.feed_id}
        self._ledger.database.run(
            named("keep_fingerprints"),
            key_id=self._seal.key_id,
            mapping=mapping_of(self._source, self._view),
            keys=list(self._taken),
            times=[one.at for one in taken],
            fields=[one.fields for one in taken],
            **feed,
        )
        self._ledger.database.run(named("thin_fingerprints"), kept=KEPT - 1, **feed)
        self._taken.clear()


def mapping_of(source: Database, view: str) -> str:
    """Tell a view's text by its hash."""
    return cast("str", source.one(named("mapping"), view=view)[0])
