"""Fingerprints of the newest events sent: what `syncd diff` compares with.

Only the newest of a feed are kept, so no more than those are made, however many are
sent: they are gathered in memory and written now and then. A crash loses a few.
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


@dataclass(frozen=True, slots=True)
class _Sent:
    key: str
    at: datetime
    purchase: Purchase


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

    def write_sometimes(self) -> None:
        """Write what was noted, unless that was done just now."""
        if self._sent and time.monotonic() - self._written_at >= WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what was noted, and forget what is too old.

        Sending never waits for that: what fails is tried again with the next.
        """
        self._written_at = time.monotonic()
        with suppress(SyncdError):
            self._write()

    def _write(self) -> None:
        if not self._sent:
            return
        latest = {sent.key: sent for sent in self._sent}.values()
        feed = {"feed": self._ledger.feed_id}
        self._ledger.database.run(
            named("keep_fingerprints"),
            key_id=self._seal.key_id,
            mapping=mapping_of(self._source, self._view),
            keys=[sent.key for sent in latest],
            times=[sent.at for sent in latest],
            fields=[self._fields(sent) for sent in latest],
            **feed,
        )
        self._ledger.database.run(named("thin_fingerprints"), kept=KEPT - 1, **feed)
        self._sent.clear()

    def _fields(self, sent: _Sent) -> str:
        prints = self._seal.take(sent.key, places(sent.purchase.event))
        return msgspec.json.encode(pack(prints)).decode()


def mapping_of(source: Database, view: str) -> str:
    """Tell a view's text by its hash."""
    return cast("str", source.one(named("mapping"), view=view)[0])
