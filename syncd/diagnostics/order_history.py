"""An order's whole history from views and ledger: also why not sent, and what to do."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from syncd.core.errors import UNREADABLE, SlowStatementError
from syncd.ledger.feed import Feed
from syncd.ledger.order_lookup import find_key
from syncd.ledger.reused_keys import ReusedKey, ReusedKeys
from syncd.postgres.database import Database
from syncd.postgres.statements import compose, query
from syncd.source.orders import Source

_LEFT = {
    "split": "refused together with others, so it went on in a smaller batch",
    "unread": "its row could not be read, so it waited for the view alone",
    "waiting": "not complete, so it waited in a batch of its own",
    "retried": "tried again by hand",
    "mended": "tried again, since it was changed",
    "resent": "sent again by hand",
    "reset": "to be sent after all, asked for by a backfill",
    "returned": "was to be sent again, but that backfill was cancelled",
}
_NOW = {
    "adopted": "syncd mark-delivered marked it as delivered by something else, so it "
    "was not sent",
    "held": "the outcome of its last attempt is unknown",
}
_UNTIMED = "usable confirmed_at (NULL, infinity): it is not sent until it has one"
_LATE = (
    "it was stamped longer before its commit than lookback, and the next account "
    "takes it"
)
_PAST = "syncd watermark reset --to TIME sends it with its neighbours"
_NEXT = {
    "rejected": "mend the data or the view, then syncd rejected retry {key}; "
    "or give it up: syncd rejected discard {key}",
    "discarded": "syncd rejected retry {key} sends it after all",
    "held": "look it up in Squeezely; if it is there, syncd uncertain discard {key}, "
    "else syncd uncertain resend {key}",
    "adopted": "syncd backfill --resend --reason TEXT sends it with its neighbours",
    "released": _PAST,
    "blocked": "mend what the reason names, then syncd resume",
    "reused": "syncd reused send {key}; or, if it is the same order, reused keep",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One POST that an order took part in, with its receipt.

    Attributes:
        is_settled: It is known which orders were sent; False after a crash.
        resent: Why the order was sent again on request; None for an ordinary attempt.
    """

    batch: int
    attempt: int
    started_at: datetime
    settled_at: datetime | None
    outcome: str | None
    status: int | None
    reason: str | None
    sent: int | None
    body_sha256: str | None
    is_settled: bool
    resent: str | None

    def line(self) -> str:
        """Return it in one line."""
        text = f"batch {self.batch}, attempt {self.attempt} at {self.started_at}: "
        text += f"{self.outcome or 'under way'}, {self.sent or 0} events"
        status = f"HTTP {self.status}" if self.status else ""
        reason = (self.reason or "").removeprefix(status).strip()
        receipt = f"body {self.body_sha256[:12]}" if self.body_sha256 else ""
        unknown = "" if self.is_settled else "which orders it held is not known"
        again = f"sent again on purpose: {self.resent}" if self.resent else ""
        parts = (status, reason, receipt, again, unknown)
        more = ", ".join(part for part in parts if part)
        return f"{text} ({more})" if more else text


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What the ledger has of an order, its batch and the endpoint."""

    orderid: str | None
    confirmed_at: datetime
    capture: str | None
    state: str | None
    reason: str | None
    waiting_since: datetime | None
    batch: int
    lane: str
    batch_state: str
    created_at: datetime
    uncertain: int
    backfill: int | None
    due_at: datetime | None
    settled_at: datetime | None
    endpoint: str
    endpoint_reason: str | None
    retry_at: datetime | None
    before: int
    is_pruned: bool
    read_failed_at: datetime | None = None
    read_reason: str | None = None


@dataclass(frozen=True, slots=True)
class OrderHistory:
    """Everything that is known of one order.

    Attributes:
        orderid: Its public number, if views or ledger know it.
        standing: None when the ledger does not have it.
        confirmed_at: By the view, when the ledger does not have it.
        is_listed: Whether the view lists it now; asked when the ledger lacks it.
        is_initial: Whether the view listed it when the feed was started.
        reused: The order that is listed under its key now, should it be another.
        attempts: Those that it took part in, oldest first.
        order_moves: When it left which batch, and why, oldest first.
        unread: Why the view's row could not be read just now.
    """

    key: str
    orderid: str | None
    standing: LedgerEntry | None
    confirmed_at: datetime | None
    watermark: datetime
    started_at: datetime
    is_listed: bool = False
    is_initial: bool = False
    reused: ReusedKey | None = None
    attempts: list[Attempt] = field(default_factory=list)
    order_moves: list[tuple[datetime, str]] = field(default_factory=list)
    unread: str | None = None

    @property
    def state(self) -> str:
        """Where the order stands, in one word."""
        if self.standing is None:
            return "unknown"
        return self.standing.state or self.standing.batch_state

    def lines(self) -> Iterator[str]:
        """Yield the history, a line each."""
        if self.standing is None:
            yield f"order {self.key} is not in the ledger"
            yield self._absence()[0]
        else:
            if self.reused is not None:
                yield f"{self.reused.line()}; that one is not sent"
            yield from self._course(self.standing)
        if self.unread:
            yield f"the row could not be read in the view: {self.unread}"
        if step := self.next_step():
            yield f"next: {step}"

    def next_step(self) -> str:
        """Return what a person can do; empty when there is nothing."""
        if self.standing is None:
            return self._absence()[1]
        is_blocked = self.state == "pending" and self.standing.endpoint == "held"
        state = "reused" if self.reused else "blocked" if is_blocked else self.state
        return _NEXT.get(state, "").format(key=self.key)

    def _absence(self) -> tuple[str, str]:
        """Return why the ledger does not have it, and the next step."""
        at, listed = self.confirmed_at, "confirmed_orders"
        if self.is_initial:
            why = f"it was confirmed before the feed started: {listed} listed it at "
            return f"{why}{self.started_at}, so it is not sent", _PAST if at else ""
        if not self.is_listed:
            return f"it is not confirmed: {listed} does not list it", ""
        if at is None:
            step = f"let {listed} give it the time at which it was confirmed"
            return f"{listed} lists it, but without a {_UNTIMED}", step
        if at > self.watermark:
            return f"it was confirmed at {at} and will be captured", ""
        why = f"it was confirmed at {at}, below the watermark {self.watermark}"
        return f"{why}: {_LATE}", "syncd reconcile takes it at once"

    def _course(self, standing: LedgerEntry) -> Iterator[str]:
        number = f" ({self.orderid})" if self.orderid else ""
        yield f"order {self.key}{number} confirmed at {standing.confirmed_at}"
        if standing.state == "erased":
            yield f"now {standing.reason}; nothing sends it any more"
            return
        if standing.is_pruned and not standing.state:
            yield "now delivered: its receipt is no longer kept (ledger.retention)"
            return
        by = f" by {standing.capture}" if standing.capture else ""
        yield (
            f"captured{by} into the {standing.lane} lane, "
            f"now in batch {standing.batch} of {standing.created_at}"
        )
        events = [(a.started_at, a.line()) for a in self.attempts] + self.order_moves
        yield from (line for _, line in sorted(events))
        if standing.waiting_since and not standing.state:
            yield f"not complete since {standing.waiting_since}: read again"
        if standing.uncertain:
            yield (
                f"{standing.uncertain} attempts with unknown outcome: "
                "the order may have repeated"
            )
        yield f"now {self.state}{self._now(standing)}"

    def _now(self, standing: LedgerEntry) -> str:
        why = standing.reason if standing.state else _NOW.get(self.state, "")
        if self.state == "pending":
            why = self._wait(standing)
        at = f" at {standing.settled_at}" if standing.settled_at else ""
        return at if why == "" else f": {why}"

    @staticmethod
    def _wait(standing: LedgerEntry) -> str:
        if standing.endpoint != "available":
            return (
                f"nothing is sent: sending is {standing.endpoint.replace('_', ' ')} "
                f"({standing.endpoint_reason}), tried again at {standing.retry_at}"
            )
        if standing.read_reason:
            return (
                f"it waits for the view since {standing.read_failed_at}: "
                f"{standing.read_reason}; read again at {standing.due_at or 'once'}"
            )
        if standing.due_at:
            return f"due at {standing.due_at}"
        return f"{standing.before} batches go before it"


def read_history(
    database: Database, source: Source, feed: Feed, order: str
) -> OrderHistory | None:
    """Read the history of an order, given by its key or public number.

    Returns:
        None when neither the views nor the ledger know the order.

    Raises:
        OrderAmbiguousError: It is one order's key and another's number.
        SyncdError: The views cannot be read, and the ledger has no such order.
    """
    if not (database.holds(order) and source.database.holds(order)):
        return None
    key = find_key(source, database, feed.feed_id, order) or source.find(order)
    if key is None:
        return None
    of_order = {"feed": feed.feed_id, "key": key}
    standing = database.find(LedgerEntry, query("order_history"), **of_order)
    number, unread = _number(source, key)
    number = number or (standing.orderid if standing else None)
    moves = database.rows(_Move, query("order_moves"), **of_order)
    history = OrderHistory(
        key,
        number,
        standing,
        None if standing else source.confirmed_at(key),
        database.value(datetime, query("watermark"), feed=feed.feed_id),
        feed.started_at,
        attempts=database.rows(Attempt, query("attempts"), **of_order, orderid=number),
        order_moves=[(move.left_at, move.line()) for move in moves],
        unread=unread,
    )
    if standing is None:
        is_listed = bool(source.still_confirmed([key]))
        is_initial = database.value(bool, compose("is_initial"), **of_order)
        return replace(history, is_listed=is_listed, is_initial=is_initial)
    reused = [] if unread else ReusedKeys(source, database, feed.feed_id).find([key])
    return replace(history, reused=reused[0] if reused else None)


def _number(source: Source, key: str) -> tuple[str | None, str | None]:
    """Read an order's public number; or why its row cannot be read."""
    try:
        number = source.read([key]).get(key, {}).get("orderid")
    except SlowStatementError:
        return None, "not in time"
    except UNREADABLE as error:
        return None, str(error)
    return None if number is None else str(number), None


@dataclass(frozen=True, slots=True)
class _Move:
    batch_id: int
    left_at: datetime
    why: str
    reason: str | None

    def line(self) -> str:
        text = f"left batch {self.batch_id} at {self.left_at}: {_LEFT[self.why]}"
        cause = "it was set aside" if self.why in {"retried", "mended"} else "reason"
        return text + (f" ({cause}: {self.reason})" if self.reason else "")
