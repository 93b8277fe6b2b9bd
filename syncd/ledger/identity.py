"""The guard of what stands behind the views: the same tables, the same keys.

The invariant: orders are admitted under the views whose keys were compared with the
ledger's; under any others, nothing is admitted until they were compared (ADR-0027).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from syncd.core.errors import KeysChangedError
from syncd.core.identity import (
    FOLLOWED,
    NEAR,
    Identity,
    Keys,
    are_alike,
    compare_keys,
    replaced,
)
from syncd.core.known import KnownOrder, ListedOrder
from syncd.ledger.known_identity import (
    Behind,
    BehindAsText,
    IdentityCheck,
    KeptIdentity,
    Known,
)
from syncd.postgres.database import Database
from syncd.postgres.statements import compose, query
from syncd.source.orders import Source

SAMPLE = 200
"""Orders that are compared after the views were changed."""

NEIGHBOURS = 10_000
"""Orders around their time that are searched for keys of another type."""

REBIND = "`syncd rebind-keys --dry-run` shows which orders are known under new keys."
"""What to do when the keys are not those of the ledger."""


class IdentityGuard:
    """Compares what stands behind one feed's views with what was accepted.

    Args:
        source: The views; their database is where the shop's tables are.
        ledger: The ledger's database, where what was accepted is kept.
        feed_id: The feed.
        feed: Its name, by which its triggers are found; empty: they do not matter.
        publication: Its publication's name.
        capture: The configured one.
    """

    def __init__(
        self,
        source: Source,
        ledger: Database,
        feed_id: int,
        feed: str = "",
        *,
        publication: str = "",
        capture: str = "poll",
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._feed_id = feed_id
        self._feed = feed
        self._publication = publication
        followed = {"listen": ("triggers",), "wal": ("publication",)}.get(capture, ())
        self._behind = ("orders", "events", *followed)

    def begin(self) -> None:
        """Accept what stands behind the views now; for a feed that is started."""
        self.accept(self._read(()))

    def check(self) -> IdentityCheck:
        """Compare; accept what is the same, hold what is not.

        Raises:
            SyncdError: A database failed, or the views cannot be read.
        """
        known = self.known()
        if known is None:
            self.begin()
            return IdentityCheck()
        behind = self._read_beside(known)
        compared = self._compare(known, behind)
        if compared.held is not None:
            self._ledger.run(
                query("hold_identity"), feed=self._feed_id, reason=compared.held
            )
        elif behind.identity.rules and self._is_news(known, behind, compared):
            then = known.identity.then(behind.identity)
            self.accept(replace(behind, identity=then), compared.accepted)
        return compared

    def preview(self) -> IdentityCheck:
        """Compare, and write nothing."""
        known = self.known()
        if known is None:
            return IdentityCheck()
        return self._compare(known, self._read_beside(known))

    def read(self) -> Behind:
        """Read what stands behind the views."""
        return self._read(())

    def compare_views(self) -> bool:
        """Accept the views if their keys are still the ledger's; False: they are not.

        It holds nothing: that is for `check`, in a transaction of its own.

        Raises:
            SyncdError: A database failed, or the views cannot be read.
        """
        known = self.known()
        if known is None:
            self.begin()
            return True
        behind = self._read_beside(known)
        compared = self._compare(known, behind)
        if compared.held is None and behind.identity.key_type:
            then = known.identity.then(behind.identity)
            self.accept(replace(behind, identity=then), compared.accepted)
        return compared.held is None

    def accept(self, behind: Behind, change: str | None = None) -> None:
        """Admit orders from these views from now on, and lift a hold.

        Args:
            behind: What stands behind them.
            change: What was changed in the views.
        """
        self._ledger.run(
            query("keep_identity"),
            feed=self._feed_id,
            known=msgspec.json.encode(behind.identity).decode(),
            seal=behind.seal,
            change=change,
        )

    @staticmethod
    def _is_news(known: Known, behind: Behind, compared: IdentityCheck) -> bool:
        if compared.accepted or known.held_at or known.seal != behind.seal:
            return True
        return known.identity.then(behind.identity) != known.identity

    def known(self) -> Known | None:
        """Read what was accepted; None before the feed's start."""
        kept = self._ledger.find(
            KeptIdentity, query("known_identity"), feed=self._feed_id
        )
        return kept.known if kept else None

    def _read_beside(self, known: Known) -> Behind:
        return self._read([table.name for table in known.identity.tables])

    def _read(self, names: Sequence[str]) -> Behind:
        views = self._source.views
        behind = self._source.database.row(
            BehindAsText,
            compose("behind", seal=query("seal")),
            **views.params,
            feed=self._feed,
            publication=self._publication,
            names=list(names),
        )
        return Behind(
            msgspec.json.decode(behind.identity, type=Identity),
            behind.seal,
            msgspec.json.decode(behind.namesakes, type=dict[str, int]),
        )

    def refuse_held(self) -> None:
        """Refuse to continue while the views' keys are not those of the ledger.

        Raises:
            KeysChangedError: They are not.
        """
        known = self.known()
        if known is not None and known.held_reason is not None:
            raise KeysChangedError(known.held_reason, REBIND)

    # Compare

    def _compare(self, known: Known, behind: Behind) -> IdentityCheck:
        now = behind.identity
        found = (*replaced(known.identity, now, behind.namesakes, self._behind),)
        if not now.key_type:  # the views are missing, which others report
            return IdentityCheck(found)
        change = known.identity.changed(now)
        if change is None:
            return IdentityCheck(found)
        # The views were recreated: they read what they are meant to read.
        followed = (*(r for r in found if r.behind in FOLLOWED),)
        orders = self._recent()
        keys = self._compare_keys(known.identity, now, orders)
        if keys is Keys.OTHER:
            return IdentityCheck(followed, held=_held(change, orders))
        return IdentityCheck(followed, accepted=change, compared=len(orders))

    def _recent(self) -> list[KnownOrder]:
        return self._ledger.rows(
            KnownOrder, query("recent_orders"), feed=self._feed_id, limit=SAMPLE
        )

    def _compare_keys(
        self, known: Identity, now: Identity, orders: Sequence[KnownOrder]
    ) -> Keys:
        self._source.views.forget()
        unreadable = set(self._source.views.left_out)  # not known to be elsewhere
        orders = [order for order in orders if order.key not in unreadable]
        is_alike = are_alike(known.key_type, now.key_type)
        listed = {
            order.key: order
            for order in self._source.listed_orders([o.key for o in orders])
        }
        lost = [order for order in orders if order.key not in listed]
        candidates = self._candidates(lost) if lost and is_alike else []
        keys = compare_keys(orders, listed, candidates, is_alike=is_alike)
        return Keys.OTHER if keys is Keys.GONE and self._are_old_unknown() else keys

    def _are_old_unknown(self) -> bool:
        """Return whether orders from before the start would count as new."""
        started_at = self._ledger.value(
            datetime, query("feed_start"), feed=self._feed_id
        )
        statement = self._source.views.statement("listed_before")
        old = self._source.database.values(
            str, statement, upper=started_at, limit=SAMPLE
        )
        return bool(old) and 2 * len(self._unknown(old)) >= len(old)

    def _candidates(self, lost: Sequence[KnownOrder]) -> list[ListedOrder]:
        """Find orders that may be the lost ones under keys that the ledger lacks."""
        views, database = self._source.views, self._source.database
        times = [order.confirmed_at for order in lost]
        found = database.rows(
            ListedOrder,
            views.statement("listed_about"),
            lower=min(times) - NEAR,
            upper=max(times) + NEAR,
            limit=NEIGHBOURS,
        )
        found += self._under_numbers(lost)
        unknown = self._unknown([order.key for order in found])
        return [order for order in found if order.key in unknown]

    def _under_numbers(self, lost: Sequence[KnownOrder]) -> list[ListedOrder]:
        """Find orders of the same numbers, with a time that no order is near to."""
        numbers = [order.orderid for order in lost if order.orderid is not None]
        if not numbers:
            return []
        under = self._source.database.mapping(
            str, str, self._source.views.statement("listed_under"), numbers=numbers
        )
        far = lost[0].confirmed_at - 2 * NEAR
        return [ListedOrder(key, far, number) for key, number in under.items()]

    def _unknown(self, keys: Sequence[str]) -> set[str]:
        unknown = self._ledger.values(
            str, compose("unknown_keys"), feed=self._feed_id, keys=list(keys)
        )
        return set(unknown)


def _held(change: str, orders: Sequence[KnownOrder]) -> str:
    """Explain in one line why nothing is admitted, and what to do."""
    example = f", like {orders[0].key}" if orders else ""
    what = f"the {len(orders)} newest orders of the ledger{example}"
    return f"{change}, and {what} are not listed under their keys any more"
