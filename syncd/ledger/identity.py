"""The guard of what stands behind the views: the same tables, the same keys.

The invariant: orders are admitted under the views whose keys were compared with the
ledger's; under any others, nothing is admitted until they were compared (ADR-0027).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from syncd.core.errors import KeysChangedError
from syncd.core.identity import FOLLOWED, Identity, replaced
from syncd.ledger.key_comparison import IdentityCheck, KeyComparison
from syncd.postgres.database import Database
from syncd.postgres.statements import compose, query
from syncd.source.orders import Source

REBIND = "`syncd rebind-keys --dry-run` shows which orders are known under new keys."
"""What to do when the keys are not those of the ledger."""


@dataclass(frozen=True, slots=True)
class Known:
    """What was accepted, under which seal; and why the views are held, if they are.

    Attributes:
        known: The identity, as JSON.
        change: What was changed in the views when they were accepted last.
    """

    known: str
    seal: str
    held_at: datetime | None
    held_reason: str | None
    changed_at: datetime
    change: str | None

    @property
    def identity(self) -> Identity:
        """What stood behind the views."""
        return msgspec.json.decode(self.known, type=Identity)


@dataclass(frozen=True, slots=True)
class Behind:
    """What stands behind the views now, and the oids of the accepted names; as JSON."""

    found: str
    seal: str
    names: str

    @property
    def identity(self) -> Identity:
        """What stands behind the views."""
        return msgspec.json.decode(self.found, type=Identity)

    @property
    def namesakes(self) -> dict[str, int]:
        """The oid that each accepted name has now; absent where it has none."""
        return msgspec.json.decode(self.names, type=dict[str, int])


class IdentityGuard:
    """Compares what stands behind one feed's views with what was accepted.

    Args:
        source: The views; their database is where the shop's tables are.
        ledger: The ledger's database, where what was accepted is kept.
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
        self._keys = KeyComparison(source, ledger, feed_id)
        self._feed = feed
        self._publication = publication
        followed = {"listen": ("triggers",), "wal": ("publication",)}.get(capture, ())
        self._behind = ("orders", "events", *followed)

    def begin(self) -> None:
        """Accept what stands behind the views now; for a feed that is started."""
        behind = self.read()
        self.accept(behind.identity, behind.seal)

    def check(self) -> IdentityCheck:
        """Compare; accept what is the same, hold what is not."""
        compared = self.compare()
        if compared.held is not None:
            self._ledger.run(
                query("hold_identity"), feed=self._feed_id, reason=compared.held
            )
        return compared

    def compare(self) -> IdentityCheck:
        """Compare, and accept what is the same.

        Nothing is held: that is for `check`, in a transaction of its own.
        """
        known = self.known()
        if known is None:
            self.begin()
            return IdentityCheck()
        behind = self._read_beside(known)
        compared = self._compare(known, behind)
        if compared.held is None:
            self._accept_news(known, behind, compared)
        return compared

    def preview(self) -> IdentityCheck:
        """Compare, and write nothing."""
        known = self.known()
        if known is None:
            return IdentityCheck()
        return self._compare(known, self._read_beside(known))

    def accept(self, identity: Identity, seal: str, change: str | None = None) -> None:
        """Admit orders from these views from now on, and lift a hold.

        Args:
            identity: What stands behind the views.
            seal: Theirs.
            change: What was changed in them.
        """
        self._ledger.run(
            query("keep_identity"),
            feed=self._feed_id,
            known=msgspec.json.encode(identity).decode(),
            seal=seal,
            change=change,
        )

    def note_compared(self) -> None:
        """Admit orders from the past for a minute, unless the keys are held."""
        self._ledger.run(query("note_compared"), feed=self._feed_id)

    def _accept_news(
        self, known: Known, behind: Behind, compared: IdentityCheck
    ) -> None:
        """Accept what differs from what is known; never that a view is missing."""
        before, now = known.identity, behind.identity
        then = before.then(now)
        is_old = known.seal == behind.seal and before == then
        is_news = compared.accepted or known.held_at or not is_old
        if is_news and now.key_type:
            self.accept(then, behind.seal, compared.accepted)

    def known(self) -> Known | None:
        """Read what was accepted; None before the feed's start."""
        return self._ledger.find(Known, query("known_identity"), feed=self._feed_id)

    def _read_beside(self, known: Known) -> Behind:
        return self.read([table.name for table in known.identity.tables])

    def read(self, names: Sequence[str] = ()) -> Behind:
        """Read what stands behind the views, and the oids of some tables' names."""
        return self._source.database.row(
            Behind,
            compose("behind", seal=query("seal")),
            **self._source.views.params,
            feed=self._feed,
            publication=self._publication,
            names=list(names),
        )

    def refuse_held(self) -> None:
        """Refuse to continue while the views' keys are not those of the ledger.

        Raises:
            KeysChangedError: They are not.
        """
        known = self.known()
        if known is not None and known.held_reason is not None:
            raise KeysChangedError(known.held_reason, REBIND)

    def _compare(self, known: Known, behind: Behind) -> IdentityCheck:
        now = behind.identity
        found = (*replaced(known.identity, now, behind.namesakes, self._behind),)
        if not now.key_type:  # the views are missing, which others report
            return IdentityCheck(found)
        change = known.identity.changed(now)
        if change is None:
            return replace(self._keys.unchanged(known.changed_at), replaced=found)
        # The views were recreated: they read what they are meant to read.
        followed = (*(r for r in found if r.behind in FOLLOWED),)
        compared = self._keys.after_change(known.identity, now, change)
        return replace(compared, replaced=followed)
