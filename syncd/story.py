"""An order's whole story from views and ledger, also why it was not sent."""

from collections.abc import Iterator
from datetime import datetime

from syncd.database import Database, named
from syncd.feed import Feed
from syncd.source import Source


def tell(
    database: Database, source: Source, feed: Feed, order: str
) -> Iterator[str] | None:
    """Tell the story of an order by its key or public number, a line each.

    Returns:
        None when neither the views nor the ledger know the order.
    """
    key = source.find(order)
    rows = database.all(named("story"), feed=feed.feed_id, key=key or order)
    if rows:
        return _of_known(rows)
    if key is None:
        return None
    return _of_unknown(key, source.confirmed_at(key), feed)


def _of_unknown(key: str, confirmed_at: datetime | None, feed: Feed) -> Iterator[str]:
    yield f"order {key} is not in the ledger"
    if confirmed_at is None:
        yield "it is not confirmed: confirmed_orders does not list it"
    elif confirmed_at <= feed.started_at:
        yield f"it was confirmed at {confirmed_at}, before the feed started"
        yield "next: syncd watermark reset --to TIME sends it with its neighbours"
    else:
        yield f"it was confirmed at {confirmed_at} and will be captured"


def _of_known(rows: list[tuple[object, ...]]) -> Iterator[str]:
    key, orderid, confirmed_at, state, reason, waiting = rows[0][:6]
    batch, lane, batch_state, created_at, uncertain, settled_at = rows[0][6:12]
    yield f"order {key}{f' ({orderid})' if orderid else ''} confirmed at {confirmed_at}"
    yield f"captured into the {lane} lane, batch {batch} of {created_at}"
    for row in rows:
        if row[12] is not None:
            yield _attempt(row[12:])
    if waiting and not state:
        yield f"not complete since {waiting}: looked at again"
    if uncertain:
        yield f"{uncertain} attempts with unknown outcome: the order may have repeated"
    if state:
        yield f"now {state}: {reason}"
        if state == "rejected":
            yield f"next: mend the data or the view, then syncd rejected retry {key}"
    elif batch_state == "adopted":
        yield "now adopted: confirmed before the feed started, so it was not sent"
        yield "next: syncd watermark reset --to TIME sends it with its neighbours"
    else:
        yield f"now {batch_state}{f' at {settled_at}' if settled_at else ''}"


def _attempt(columns: tuple[object, ...]) -> str:
    attempt, started_at, _, outcome, status, reason, sent = columns
    told = f"attempt {attempt} at {started_at}: {outcome or 'under way'}"
    details = [f"HTTP {status}" if status else "", str(reason or "")]
    more = " ".join(d for d in details if d)
    return f"{told}, {sent or 0} events{f' ({more})' if more else ''}"
