"""Every sequence of claims, responses and lost commits.

Two workers share a ledger; the API accepts all their requests. Commits are lost as by
a crash (back to the last claim that a worker has settled) or by a promotion (which is
recorded). One path of moves is one transaction; what a move has written since a
savepoint is what is lost. To add a fault, name it in `options` and `make`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from support.harness import LEASE, Harness

from syncd.delivery.components import DeliveryComponents
from syncd.delivery.settlement import Sent
from syncd.ledger.claim import Claim, ExcludedOrder, Receipt
from syncd.log.log import Log
from syncd.postgres.statements import Statement, query

KEYS = ("1", "2")
MOST_LOST = 3
"""Moves that a crash or a promotion reverts, at most."""

STANDING = b"""
SELECT l.order_key AS key, coalesce(l.state, b.state) AS state,
       CASE WHEN l.state IS NULL THEN b.uncertain_attempts
            ELSE coalesce(l.uncertain_attempts, 0) END AS uncertain
  FROM syncd.ledger AS l JOIN syncd.batch AS b USING (batch_id)
"""
OPEN = b"""
WITH open AS (
    UPDATE syncd.endpoint
       SET state = 'available', reason = NULL, retry_at = '-infinity',
           suspect_batch = NULL
)
UPDATE syncd.batch SET due_at = '-infinity' WHERE state = 'pending'
"""


class BrokenPromiseError(AssertionError):
    """An order was delivered that was not sent, or repeated and not counted."""


@dataclass
class Worker:
    """A worker and its unsettled claims."""

    number: int
    claim: Claim | None = None
    keys: list[str] = field(default_factory=list)
    claimed_at: int = 0
    is_sent: bool = False


class Claims:
    """One path, from an order that one worker has sent and not settled."""

    def __init__(self, harness: Harness, begin: Sequence[str]) -> None:
        self._harness = harness
        parts = harness.settings, harness.source, harness.ledger
        reads = harness.components.reads
        self._settlement = DeliveryComponents.of(*parts, Log("shop"), reads).settlement
        self._workers = {"a": Worker(1001), "b": Worker(1002)}
        self.posts = Counter[str]()
        self._saved = 0
        self._sealed = 0
        self._was_lost = False
        for move in ("capture 1", "a claims", "a sends", *begin):
            self.make(move)

    def options(self) -> list[str]:
        """Return the moves that are possible now."""
        known = self._standing()
        found = [f"capture {key}" for key in KEYS if self._is_free(known, key)][:1]
        for name, worker in self._workers.items():
            if worker.claim is None:
                found.append(f"{name} claims")
            elif not worker.is_sent:
                found += [f"{name} sends", f"{name} sets aside"]
            else:
                found += [f"{name} hears yes", f"{name} hears nothing"]
        if any(w.claim for w in self._workers.values()):
            found.append("leases end")
        lost = range(1, min(self._saved, MOST_LOST) + 1)
        if not self._was_lost:
            found += [f"crash {n}" for n in lost if self._saved - n >= self._sealed]
            found += [f"promotion {n}" for n in lost]
        return found

    @staticmethod
    def _is_free(known: dict[str, tuple[str, int]], key: str) -> bool:
        return key not in known or known[key][0] == "withdrawn"

    def make(self, move: str) -> None:
        """Make a move, and check that no unsent order is delivered."""
        who, _, what = move.partition(" ")
        if who in {"crash", "promotion"}:
            self._lose(int(what), is_noted=who == "promotion")
        else:
            self._saved += 1
            self._run(f"SAVEPOINT s{self._saved}".encode())
            if who == "capture":
                self._capture(what)
            elif who == "leases":
                self._end_leases()
            else:
                self._work(self._workers[who], what)
        for key, (state, _) in self._standing().items():
            if state == "delivered" and not self.posts[key]:
                raise BrokenPromiseError(f"order {key} is delivered, and was not sent")

    def finish(self) -> None:
        """Settle all claims, send what is left, and check the result."""
        for worker in self._workers.values():
            if worker.claim and worker.is_sent:
                self._settle(worker, is_accepted=True)
            elif worker.claim:
                self._harness.ledger.requeue(worker.claim, Receipt("unread"))
        self._end_leases()
        for key in KEYS:
            if self._is_free(self._standing(), key):
                self._capture(key)
        last = Worker(1003)
        self._claim(last)
        while last.claim:
            self._send(last)
            self._settle(last, is_accepted=True)
            self._claim(last)
        self._check()

    def _check(self) -> None:
        standing = self._standing()
        for key in KEYS:
            state, doubts = standing[key]
            if state != "delivered" or not self.posts[key]:
                raise BrokenPromiseError(f"order {key} is {state}, and lost")
            if self.posts[key] - 1 > doubts:
                counted = f"{self.posts[key]} times, {doubts} counted"
                raise BrokenPromiseError(f"order {key} was sent {counted}")

    def _work(self, worker: Worker, what: str) -> None:
        if what == "claims":
            self._claim(worker)
        elif what == "sends":
            self._send(worker)
        elif what == "sets aside":
            self._set_aside(worker)
        else:
            self._settle(worker, is_accepted=what == "hears yes")

    def _capture(self, key: str) -> None:
        found = self._harness.source.of_keys([key])
        self._harness.ledger.admit(found, "poll", size=8)

    def _claim(self, worker: Worker) -> None:
        self._run(OPEN)
        worker.claim = self._harness.ledger.claim(worker.number, "live", LEASE)
        worker.keys = [o.key for o in worker.claim.orders] if worker.claim else []
        worker.is_sent = False
        worker.claimed_at = self._saved

    def _send(self, worker: Worker) -> None:
        worker.is_sent = True
        self.posts.update(worker.keys)

    def _set_aside(self, worker: Worker) -> None:
        """Withdraw the first order; without another, or the claim, nothing is sent."""
        assert worker.claim
        gone = ExcludedOrder(worker.keys[0], "withdrawn", "gone", None)
        is_ours = self._harness.ledger.exclude_orders(worker.claim, [gone])
        worker.keys = worker.keys[1:] if is_ours else []
        if not worker.keys:
            self._harness.ledger.close_empty(worker.claim, Receipt("nothing_to_send"))
            worker.claim = None

    def _settle(self, worker: Worker, *, is_accepted: bool) -> None:
        """Make the delivery settle an attempt, with or without a response."""
        assert worker.claim
        sent = Sent(worker.claim, worker.keys, [f"W-{k}" for k in worker.keys], b"{}")
        settlement = self._settlement
        if is_accepted:
            receipt = Receipt("accepted", 200, None, len(worker.keys))
            settlement.accepted(sent, receipt, 0.0)
        else:
            settlement.unanswered(sent, "no answer")
        worker.claim = None
        self._sealed = max(self._sealed, worker.claimed_at)

    def _end_leases(self) -> None:
        dead = [worker.number for worker in self._workers.values()]
        self._harness.database.run(
            query("take_over"),
            feed=self._harness.ledger.feed_id,
            dead=dead,
            holds=False,
        )

    def _lose(self, moves: int, *, is_noted: bool) -> None:
        self._was_lost = True
        place = self._saved - moves + 1
        self._run(f"ROLLBACK TO SAVEPOINT s{place}".encode())
        self._saved = place - 1
        if is_noted:
            self._run(b"UPDATE syncd.feed SET timeline = 0")
            feed = self._harness.ledger.feed_id
            self._harness.database.run(query("note_promotion"), feed=feed)

    def _standing(self) -> dict[str, tuple[str, int]]:
        rows = self._harness.database.rows(dict, Statement(STANDING))
        return {row["key"]: (row["state"], row["uncertain"]) for row in rows}

    def _run(self, text: bytes) -> None:
        self._harness.database.run(Statement(text))


def explore(
    harness: Harness, depth: int, begin: Sequence[str] = ()
) -> Iterator[tuple[list[str], str]]:
    """Walk every path of so many moves; yield each with the promise that it broke.

    Args:
        harness: Of a shop without orders.
        depth: Moves after those that every path begins with.
        begin: The last of these.
    """
    harness.shop.confirm(len(KEYS))
    choices: list[int] = []
    while True:
        harness.database.run(Statement(b"BEGIN"))
        trail, widths, broken = _walk(harness, choices, depth, begin)
        harness.database.run(Statement(b"ROLLBACK"))
        yield trail, broken
        choices = (choices + [0] * depth)[: len(widths)]
        while choices and choices[-1] + 1 >= widths[len(choices) - 1]:
            choices.pop()
        if not choices:
            return
        choices[-1] += 1


def _walk(
    harness: Harness, choices: list[int], depth: int, begin: Sequence[str]
) -> tuple[list[str], list[int], str]:
    trail: list[str] = []
    widths: list[int] = []
    try:
        claims = Claims(harness, begin)
        for place in range(depth):
            options = claims.options()
            widths.append(len(options))
            trail.append(options[choices[place] if place < len(choices) else 0])
            claims.make(trail[-1])
        claims.finish()
    except Exception as error:  # noqa: BLE001  # a refusing constraint is one, too
        return trail, widths, f"{type(error).__name__}: {error}"
    return trail, widths, ""
