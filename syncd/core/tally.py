"""The account of confirmed orders: each counted once, and one sentence to sign."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime

_STANDINGS: Mapping[str, str] = {
    "sending": "pending",
    # The batch ended without the order: it would never be sent, without a reason.
    "emptied": "missing",
    # A cancelled backfill gave it back: as if the ledger had never had it.
    "released": "initial",
}


@dataclass(frozen=True, slots=True)
class ReconciliationTally:
    """Confirmed orders by where they stand; each is in one of the numbers.

    Attributes:
        adopted: Declared as delivered by something else: not sent.
        withdrawn: Stopped being confirmed before they were sent.
        held: May have arrived; a person decides.
        discarded: Given up by a person.
        erased: Erased on request; never sent, or never again.
        reused: Under keys that stood for other orders before; not sent by themselves.
        initial: Listed when the feed was started: not sent, unless a backfill asks.
        arriving: Above the watermark, so that a capture has yet to take them.
        missing: No capture had taken them.
        captured: Those of the missing that are in the ledger now.
    """

    delivered: int = 0
    pending: int = 0
    adopted: int = 0
    rejected: int = 0
    withdrawn: int = 0
    held: int = 0
    discarded: int = 0
    erased: int = 0
    reused: int = 0
    initial: int = 0
    arriving: int = 0
    missing: int = 0
    captured: int = 0

    @property
    def confirmed(self) -> int:
        """All of them; those captured are among the missing."""
        counts = (f.name for f in fields(ReconciliationTally))
        orders: int = sum(getattr(self, name) for name in counts)
        return orders - self.captured

    @property
    def unexplained(self) -> int:
        """Orders that are confirmed and will not be sent, for no known reason."""
        return self.missing - self.captured


def tally_of(standings: Mapping[str, int]) -> ReconciliationTally:
    """Count orders by the state of their exception, or else of their batch."""
    counts = dict.fromkeys((f.name for f in fields(ReconciliationTally)), 0)
    for standing, orders in standings.items():
        counts[_STANDINGS.get(standing, standing)] += orders
    return ReconciliationTally(**counts)


def sentence(
    lower: datetime,
    upper: datetime,
    account: ReconciliationTally,
    without_time: int = 0,
    unreadable: int = 0,
) -> str:
    """Return one sentence: what became of every order confirmed in a range.

    Args:
        lower: Excluded.
        upper: Included.
        account: Of all orders between them.
        without_time: New orders that lie in no range, since they have no usable time.
        unreadable: Orders over whose own row the view fails: no number has them, so
            that nothing can be said of all.
    """
    parts = [f"{account.confirmed:,} confirmed", f"{account.delivered:,} delivered"]
    parts += [f"{orders:,} {words}" for orders, words in _others(account) if orders]
    if account.captured:
        parts[-1] += f" ({account.captured:,} captured now)"
    if account.unexplained or not unreadable:
        parts.append(f"{account.unexplained:,} unexplained")
    text = f"between {moment(lower)} and {moment(upper)}: {', '.join(parts)}"
    if without_time:
        text += f"; {without_time:,} confirmed without a usable time, and not sent"
    if unreadable:
        are = "is" if unreadable == 1 else "are"
        text += f"; {unreadable:,} cannot be read, and {are} not accounted for"
    return text


def _others(account: ReconciliationTally) -> Sequence[tuple[int, str]]:
    """List the orders that are not delivered, with the words for them."""
    return (
        (account.pending, "pending"),
        (account.adopted, "adopted"),
        (account.rejected, "rejected"),
        (account.withdrawn, "withdrawn"),
        (account.held, "held"),
        (account.discarded, "discarded"),
        (account.erased, "erased"),
        (account.reused, "under a reused key"),
        (account.initial, "from before the start"),
        (account.arriving, "yet to be captured"),
        (account.missing, "missing"),
    )


def moment(time: datetime) -> str:
    """Write a time in UTC, exactly, as short as that may be."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
