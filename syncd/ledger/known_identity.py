"""What stands behind the views: as it was accepted, and as it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from syncd.core.identity import Identity, Replacement


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
