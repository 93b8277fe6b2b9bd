"""Known orders under new keys: the ledger is rebound to the views, or nothing changes.

Every order is matched by its public number, which its receipt has, else by its time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from syncd.core.errors import PermissionDeniedError, SyncdError
from syncd.ledger.batches import Ledger
from syncd.ledger.identity import IdentityGuard
from syncd.postgres.statements import query
from syncd.source.orders import OrderQuery, Source
from syncd.source.position import Position

PAGE = 10_000
"""Orders that are read, or matched, at a time."""

EXAMPLES = 20

STATEMENT_SECONDS = 3600
"""How long a statement may take: some write every order of the ledger."""

_FIRST = datetime(1, 1, 2, tzinfo=UTC)
_LAST = datetime(9998, 12, 31, tzinfo=UTC)

Unmatched = Literal["send", "keep"]

OnProgress = Callable[[Literal["read", "matched"], int], None]
"""Called with how many more orders of the views were read, or of the ledger matched."""


def _unseen(_: str, __: int) -> None:
    """Show no progress."""


class UndecidedError(SyncdError):
    """Orders that may have been sent match no key, and no decision was made."""


@dataclass(frozen=True, slots=True)
class Rebinding:
    """What became, or would become, of the orders.

    Attributes:
        renamed: Known under another key now.
        same: Known under the key that they had.
        before: Listed, unknown, and confirmed before the feed's start.
        unmatched: Listed, unknown, and confirmed before the views were changed: they
            may have been sent.
        new: Listed, unknown, and confirmed since.
        absent: Known to the ledger, and not listed any more.
        example: Of the first.
        keys: Some of the unmatched.
    """

    renamed: int
    same: int
    before: int
    unmatched: int
    new: int
    absent: int
    example: str | None
    keys: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Page:
    last_key: str
    orders: int


class KeyRebinding:
    """Binds the orders of one feed's ledger to the keys that the views have now."""

    def __init__(
        self, source: Source, ledger: Ledger, guard: IdentityGuard, *, size: int
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._database = ledger.database
        self._guard = guard
        self._size = size
        self._feed = {"feed": ledger.feed_id}

    def plan(self, on_progress: OnProgress = _unseen) -> Rebinding:
        """Match every order, and keep nothing of it."""
        with self._database.patient_transaction(STATEMENT_SECONDS):
            return self._match(self._held_at(), on_progress)

    def rebind(
        self, unmatched: Unmatched | None, on_progress: OnProgress = _unseen
    ) -> Rebinding:
        """Set the new keys of known orders, accept the views, and lift the hold.

        One transaction: all of it, or nothing.

        Args:
            unmatched: What becomes of orders that cannot be matched: `send`, counted
                as possible repeats, or `keep` as delivered.
            on_progress: Called after each page.

        Raises:
            UndecidedError: There are such orders, without a decision.
        """
        behind = self._guard.read()
        with self._database.patient_transaction(STATEMENT_SECONDS):
            self._database.run(query("lock_watermark"), durable=True, **self._feed)
            held_at = self._held_at()
            done = self._match(held_at, on_progress)
            if done.unmatched and unmatched is None:
                raise _undecided(done)
            self._rename()
            self._keep_initial()
            self._guard.accept(behind.identity, behind.seal)
            if done.unmatched:
                self._admit_unmatched(held_at, sends=unmatched == "send")
        return done

    def _held_at(self) -> datetime:
        """Return since when nothing was admitted; now, if it still is."""
        known = self._guard.known()
        return known.held_at if known and known.held_at else self._source.clock()

    def _match(self, held_at: datetime, on_progress: OnProgress) -> Rebinding:
        self._relist(on_progress)
        after = ""
        while page := self._database.find(
            _Page, query("match_keys"), after=after, page=PAGE, **self._feed
        ):
            after = page.last_key
            on_progress("matched", page.orders)
        return self._database.row(
            Rebinding,
            query("count_relisted"),
            named=EXAMPLES,
            held_at=held_at,
            **self._feed,
        )

    def _relist(self, on_progress: OnProgress) -> None:
        """Read every confirmed order as the views list it."""
        self._create_relisted()
        self._source.views.forget()
        after = Position(_FIRST)
        while after != Position(_LAST):
            page = self._source.page(after, _LAST, PAGE)
            after = page.end
            on_progress("read", self._relist_page(page.found.params))
        self._database.run(query("index_relisted"))

    def _relist_page(self, listed: Mapping[str, object]) -> int:
        given = self._database.values(str, query("given_keys"), keys=listed["keys"])
        numbers = self._source.orderids(given)
        self._database.run(
            query("relist"),
            keys=listed["keys"],
            times=listed["times"],
            numbered=list(numbers),
            orderids=list(numbers.values()),
        )
        return len(given)

    def _create_relisted(self) -> None:
        try:
            self._database.run(query("create_relisted"))
        except PermissionDeniedError as error:
            hint = "Grant TEMPORARY on the database to the daemon's role."
            raise PermissionDeniedError(str(error), hint) from error

    def _rename(self) -> None:
        retired = f" until {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        self._database.run(query("retire_keys"), retired=retired, **self._feed)
        self._database.run(query("rebind_keys"), retired=retired, **self._feed)
        self._database.run(query("rebind_moves"), **self._feed)
        self._database.run(query("forget_reached_keys"), **self._feed)
        self._database.run(query("erase_fingerprints"), **self._feed)

    def _keep_initial(self) -> None:
        """Keep old orders old under their new keys."""
        chunk = self._database.value(int, query("next_initial_chunk"), **self._feed)
        found = OrderQuery(query("relisted_before"), {})
        self._ledger.keep_initial(found, chunk)

    def _admit_unmatched(self, held_at: datetime, *, sends: bool) -> None:
        if sends:
            self._database.run(query("doubt_unmatched"), held_at=held_at, **self._feed)
        found = OrderQuery(query("unmatched"), {"held_at": held_at})
        self._ledger.admit(found, "reconcile", size=self._size, adopts=not sends)


def _undecided(done: Rebinding) -> UndecidedError:
    some = ", ".join(done.keys[:5])
    return UndecidedError(
        f"{done.unmatched} orders may have been sent, and cannot be matched with the "
        f"ledger: {some}; nothing was changed",
        "Decide on them: --unmatched send (each counted as a possible "
        "repeat), or --unmatched keep (they count as delivered by something else).",
    )
