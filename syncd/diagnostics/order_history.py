"""An order's whole history from views and ledger: also why not sent, and what to do."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from syncd.core.errors import UNREADABLE, SlowStatementError
from syncd.diagnostics.ledger_entry import Attempt, LedgerEntry
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


@dataclass(frozen=True, slots=True)
class OrderHistory:
    """Everything that is known of one order.

    Attributes:
        key: The order's key.
        orderid: Its public number, if views or ledger know it.
        standing: None when the ledger does not have it.
        confirmed_at: By the view, when the ledger does not have it.
        watermark: Of the feed.
        started_at: Of the feed.
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
            yield from self._absence()
        else:
            if self.reused is not None:
                yield f"{self.reused.line()}; that one is not sent"
            yield from self._course(self.standing)
        if self.unread:
            yield f"the row could not be read in the view: {self.unread}"
        if step := self.next_step():
            yield f"next: {step}"

    def _absence(self) -> Iterator[str]:
        yield f"order {self.key} is not in the ledger"
        if self.is_initial:
            yield (
                "it was confirmed before the feed started: confirmed_orders listed "
                f"it at {self.started_at}, so it is not sent"
            )
        elif not self.is_listed:
            yield "it is not confirmed: confirmed_orders does not list it"
        elif self.confirmed_at is None:
            yield (
                "confirmed_orders lists it, but without a usable confirmed_at (NULL, "
                "infinity): it is not sent until it has one"
            )
        elif self.confirmed_at <= self.watermark:
            yield (
                f"it was confirmed at {self.confirmed_at}, below the watermark "
                f"{self.watermark}: it was stamped longer before its commit than "
                "lookback, and the next account takes it"
            )
        else:
            yield f"it was confirmed at {self.confirmed_at} and will be captured"

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
        yield self._now(standing)

    def _now(self, standing: LedgerEntry) -> str:
        if standing.state:
            return f"now {standing.state}: {standing.reason}"
        if self.state == "adopted":
            why = "syncd mark-delivered marked it as delivered by something else"
            return f"now adopted: {why}, so it was not sent"
        if self.state == "held":
            return "now held: the outcome of its last attempt is unknown"
        if self.state == "pending":
            return f"now pending: {self._wait(standing)}"
        at = f" at {standing.settled_at}" if standing.settled_at else ""
        return f"now {self.state}{at}"

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

    def next_step(self) -> str:
        """Return what a person can do; empty when there is nothing."""
        key = self.key
        past = "syncd watermark reset --to TIME sends it with its neighbours"
        if self.standing is None:
            return self._absent_step(past)
        if self.reused is not None:
            return f"syncd reused send {key}; or, if it is the same order, reused keep"
        held = self.standing.endpoint == "held"
        again = "syncd backfill --resend --reason TEXT sends it with its neighbours"
        steps = {
            "rejected": f"mend the data or the view, then syncd rejected retry {key}; "
            f"or give it up: syncd rejected discard {key}",
            "discarded": f"syncd rejected retry {key} sends it after all",
            "held": "look it up in Squeezely; if it is there, syncd uncertain discard "
            f"{key}, else syncd uncertain resend {key}",
            "adopted": again,
            "released": past,
            "pending": "mend what the reason names, then syncd resume" if held else "",
        }
        return steps.get(self.state, "")

    def _absent_step(self, past: str) -> str:
        if self.is_initial:
            return past if self.confirmed_at else ""
        if not self.is_listed:
            return ""
        if self.confirmed_at is None:
            return "let confirmed_orders give it the time at which it was confirmed"
        late = self.confirmed_at <= self.watermark
        return "syncd reconcile takes it at once" if late else ""


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
    standing = database.find(
        LedgerEntry, query("order_history"), feed=feed.feed_id, key=key
    )
    number, unread = _number(source, key)
    watermark = database.value(datetime, query("watermark"), feed=feed.feed_id)
    history = OrderHistory(
        key,
        number or (standing.orderid if standing else None),
        standing,
        None if standing else source.confirmed_at(key),
        watermark,
        feed.started_at,
        *_absence(database, source, feed, None if standing else key),
        unread=unread,
    )
    _read_course(database, feed, history)
    if standing and unread is None:
        reused = ReusedKeys(source, database, feed.feed_id).find([history.key])
        return replace(history, reused=reused[0] if reused else None)
    return history


def _absence(
    database: Database, source: Source, feed: Feed, key: str | None
) -> tuple[bool, bool]:
    """Return of an order whether it is listed, and whether it was at the start."""
    if key is None:
        return False, False
    initial = database.value(bool, compose("is_initial"), feed=feed.feed_id, key=key)
    return bool(source.still_confirmed([key])), initial


def _number(source: Source, key: str) -> tuple[str | None, str | None]:
    """Read an order's public number; or why its row cannot be read."""
    try:
        number = source.read([key]).get(key, {}).get("orderid")
    except SlowStatementError:
        return None, "not in time"
    except UNREADABLE as error:
        return None, str(error)
    return None if number is None else str(number), None


def _read_course(database: Database, feed: Feed, history: OrderHistory) -> None:
    order = {"feed": feed.feed_id, "key": history.key}
    history.attempts.extend(
        database.rows(Attempt, query("attempts"), **order, orderid=history.orderid)
    )
    for move in database.rows(_Move, query("order_moves"), **order):
        text = f"left batch {move.batch_id} at {move.left_at}: {_LEFT[move.why]}"
        cause = "it was set aside" if move.why in {"retried", "mended"} else "reason"
        text += f" ({cause}: {move.reason})" if move.reason else ""
        history.order_moves.append((move.left_at, text))


@dataclass(frozen=True, slots=True)
class _Move:
    batch_id: int
    left_at: datetime
    why: str
    reason: str | None
