"""Fingerprints of the newest events sent: what `syncd diff` compares with.

Only the newest of a feed are kept, so no more than those are made, however many are
sent: what was sent is noted, and taken and written when there is nothing to send. A
crash loses a few.
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import msgspec

from syncd.core.errors import SyncdError
from syncd.core.event import Event
from syncd.core.event_diff import FingerprintKey, pack, places
from syncd.ledger.batches import Ledger
from syncd.ledger.claim import Claim
from syncd.postgres.database import Database
from syncd.postgres.statements import query

KEPT = 1_000
"""Orders of a feed whose fingerprints are kept."""

AT_ONCE = 10
"""So many are taken at a time, a millisecond: an order may come to be sent."""

WRITTEN = 50
"""So many are written in one statement, some milliseconds: see `LULL_SECONDS`."""

LULL_SECONDS = 0.5
LATEST_SECONDS = 10.0
"""They are written when nothing was sent for a while, or have waited for so long."""


@dataclass(frozen=True, slots=True)
class _Sent:
    key: str
    at: datetime
    purchase: Event


@dataclass(frozen=True, slots=True)
class _Taken:
    at: datetime
    fields: str


class Fingerprints:
    """What one worker has sent lately.

    Args:
        source: Whose view made the events.
    """

    def __init__(
        self,
        ledger: Ledger,
        source: Database,
        view: str,
        fingerprint_key: FingerprintKey,
    ) -> None:
        self._ledger = ledger
        self._source = source
        self._view = view
        self._fingerprint_key = fingerprint_key
        self._sent: deque[_Sent] = deque(maxlen=KEPT)
        self._taken: dict[str, _Taken] = {}
        self._lull_at = self._latest_at = float("-inf")

    def note(self, claim: Claim, purchases: Sequence[tuple[str, Event]]) -> None:
        """Note events that were accepted; of very many, the newest.

        Not those of a backfill without the customer's fields: they are not the view.
        """
        if not claim.with_profile:
            return
        now = time.monotonic()
        self._lull_at = now + LULL_SECONDS
        if not self._sent and not self._taken:
            self._latest_at = now + LATEST_SECONDS
        self._sent.extend(
            _Sent(key, claim.claimed_at, purchase)
            for key, purchase in purchases[-KEPT:]
        )

    def work(self) -> float | None:
        """Take a few of what was noted, or write some that were taken.

        Returns:
            In how many seconds there is more to do, 0.0: now; None: nothing.
        """
        if self._sent and len(self._taken) < WRITTEN:
            self._take(AT_ONCE)
            return 0.0
        if not self._taken:
            return None
        wait = min(self._lull_at, self._latest_at) - time.monotonic()
        if wait <= 0:
            self._write(WRITTEN)
        return max(0.0, wait) if self._taken or self._sent else None

    def write(self) -> None:
        """Write all that was noted."""
        self._take(KEPT)
        self._write(KEPT)

    def _take(self, count: int) -> None:
        for _ in range(min(count, len(self._sent))):
            sent = self._sent.popleft()
            fingerprints = self._fingerprint_key.take(
                sent.key, places(sent.purchase.event)
            )
            fields = msgspec.json.encode(pack(fingerprints)).decode()
            self._taken.pop(sent.key, None)
            self._taken[sent.key] = _Taken(sent.at, fields)

    def _write(self, count: int) -> None:
        """Write some, and delete what is too old.

        Sending never waits for that: what fails is tried again with the next.
        """
        now = time.monotonic()
        self._lull_at, self._latest_at = now + LULL_SECONDS, now + LATEST_SECONDS
        written = dict(islice(self._taken.items(), count))
        if not written:
            return
        with suppress(SyncdError):
            self._keep(written)
            for key in written:
                del self._taken[key]

    def _keep(self, written: Mapping[str, _Taken]) -> None:
        feed = {"feed": self._ledger.feed_id}
        self._ledger.database.run(
            query("keep_fingerprints"),
            key_id=self._fingerprint_key.key_id,
            mapping=mapping_of(self._source, self._view),
            keys=list(written),
            times=[one.at for one in written.values()],
            fields=[one.fields for one in written.values()],
            **feed,
        )
        self._ledger.database.run(query("thin_fingerprints"), kept=KEPT - 1, **feed)


def mapping_of(source: Database, view: str) -> str:
    """Return a view's text by its hash."""
    return source.value(str, query("mapping"), view=view)
