"""Orders of a claim that could not be read: they wait for the view, by themselves."""

from collections.abc import Sequence
from datetime import timedelta

from syncd.core.errors import (
    SlowStatementError,
    SyncdError,
    TableBusyError,
    UnreadableRowError,
)
from syncd.core.read_history import BLAME_AFTER, SHORTEST_WAIT, ReadHistory, wait_of
from syncd.delivery.delivery_log import DeliveryLog
from syncd.delivery.reading import Reading
from syncd.ledger.batches import Ledger
from syncd.ledger.claim import Claim, ExcludedOrder, Receipt
from syncd.postgres.errors import STATEMENT_SECONDS


class Unread:
    """Settles the orders that could not be read; the claim keeps the rest.

    Args:
        ledger: Of the claims.
        report: Writes the log lines.
        history: How rows were read lately; shared by the workers.
    """

    def __init__(
        self, ledger: Ledger, report: DeliveryLog, history: ReadHistory
    ) -> None:
        self._ledger = ledger
        self._report = report
        self._history = history

    def settle(self, claim: Claim, reading: Reading) -> list[ExcludedOrder] | None:
        """Move away what could not be read; keep in the claim what could.

        Returns:
            Orders to reject, since their own row failed again; None: nothing is left
            of the claim.
        """
        self._history.note_read(len(reading.rows), claim.claimed_at)
        if reading.rows and claim.read_reason is not None:
            self._ledger.try_unread(claim.read_reason)
        blamed = [key for key, f in reading.failed.items() if self._blames(claim, f)]
        groups = self._groups(claim, reading, frozenset(blamed))
        moved = sum(len(keys) for keys, _, _ in groups)
        if len(groups) == 1 and moved == len(claim.orders):
            self._put_back(claim, *groups[0])
            return None
        for keys, reason, wait in groups:
            if not self._ledger.move_unread(claim, keys, reason, wait):
                return None
            self._report.unreadable(claim, keys, reason, wait)
        if moved == len(claim.orders):
            self._ledger.close_empty(
                claim, Receipt("unread", reason=str(reading.fault))
            )
            return None
        return [
            ExcludedOrder(key, "rejected", str(reading.failed[key]), None, "view")
            for key in blamed
        ]

    def _blames(self, claim: Claim, fault: SyncdError) -> bool:
        """Whether a row's own data is at fault, for certain."""
        if not isinstance(fault, UnreadableRowError):
            return False
        if claim.read_failed_at is None:
            self._history.note_failed()
        return self._history.may_blame(claim.read_failed_at, claim.claimed_at)

    def _groups(
        self, claim: Claim, reading: Reading, blamed: frozenset[str]
    ) -> list[tuple[list[str], str, timedelta]]:
        """Sort what was not read into batches: keys, why, how long they wait."""
        wait = wait_of(claim.read_failed_at, claim.claimed_at)
        groups: dict[tuple[str, timedelta], list[str]] = {}
        for key, fault in reading.failed.items():
            if key not in blamed:
                reason = _reason(key, fault)
                groups.setdefault((reason, _wait(fault, wait)), []).append(key)
        continues = (
            isinstance(reading.fault, SlowStatementError) or wait == SHORTEST_WAIT
        )
        later = timedelta(0) if continues else wait
        pieces = [(piece, str(reading.fault), later) for piece in reading.unread]
        return [*pieces, *((keys, why, due) for (why, due), keys in groups.items())]

    def _put_back(
        self, claim: Claim, keys: Sequence[str], reason: str, wait: timedelta
    ) -> None:
        """Postpone the whole batch."""
        receipt = Receipt("unread", reason=reason)
        self._ledger.requeue(claim, receipt, wait=wait)
        self._report.unreadable(claim, keys, reason, wait)


def _reason(key: str, fault: SyncdError) -> str:
    if isinstance(fault, SlowStatementError):
        return f"order {key} cannot be read within {STATEMENT_SECONDS} s"
    return str(fault)


def _wait(fault: SyncdError, wait: timedelta) -> timedelta:
    """Choose when an order is read again: a lock ends, a row may be corrected."""
    if isinstance(fault, TableBusyError):
        return SHORTEST_WAIT
    if isinstance(fault, UnreadableRowError):
        return max(wait, BLAME_AFTER)
    return wait
