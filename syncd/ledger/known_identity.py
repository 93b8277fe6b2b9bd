"""What stands behind the views: as it was accepted, and as it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from syncd.core.identity import (
    Identity,
    Replacement,
)


@dataclass(frozen=True, slots=True)
class Known:
    """What was accepted, under which seal; and why the views are held, if they are.

    Attributes:
        change: What was changed in the views when they were accepted last.
    """

    identity: Identity
    seal: str
    held_at: datetime | None
    held_reason: str | None
    changed_at: datetime
    change: str | None


@dataclass(frozen=True, slots=True)
class KeptIdentity:
    """What the ledger keeps of what was accepted; the identity as JSON."""

    identity: str
    seal: str
    held_at: datetime | None
    held_reason: str | None
    changed_at: datetime
    change: str | None

    @property
    def known(self) -> Known:
        """What was accepted."""
        return Known(
            msgspec.json.decode(self.identity, type=Identity),
            self.seal,
            self.held_at,
            self.held_reason,
            self.changed_at,
            self.change,
        )


@dataclass(frozen=True, slots=True)
class Behind:
    """What stands behind the views now, and the oids of the accepted names."""

    identity: Identity
    seal: str
    namesakes: dict[str, int]


@dataclass(frozen=True, slots=True)
class BehindAsText:
    """What stands behind the views now; identity and oids as JSON."""

    identity: str
    seal: str
    namesakes: str


@dataclass(frozen=True, slots=True)
class IdentityCheck:
    """What one comparison found.

    Attributes:
        replaced: Names that stand for other tables than those that are read or heard.
        held: Why nothing may be admitted or sent; None: it may.
        accepted: What was changed, although the keys still stand for the same orders.
        compared: Orders that were compared for that.
        unlisted: Which known orders are listed no more; None: not the newest.
        shared: Which orders have one number; None: none of the last day.
    """

    replaced: Sequence[Replacement] = ()
    held: str | None = None
    accepted: str | None = None
    compared: int = 0
    unlisted: str | None = None
    shared: str | None = None

    @property
    def alarms(self) -> Sequence[str | None]:
        """What needs attention although capture and delivery go on."""
        return self.unlisted, self.shared
