"""Whether a ledger is the one that was served before, a later state of it, or a copy.

The ledger and the daemon's own memory both hold a mark that grows while the daemon
runs. Only a ledger that went back in time has a smaller one than the daemon remembers.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

LOSS_LIMIT = timedelta(minutes=10)
"""What a promoted standby may lack at most; more is a restore."""


class Continuity(Enum):
    """What became of a ledger since it was served last."""

    SAME = "same"
    PROMOTED = "promoted"  # a standby took over; its last moments may be lost
    REWOUND = "rewound"  # restored to an earlier moment, or another database
    UNKNOWN_HOST = (
        "unknown host"  # promoted, and this host never served it: maybe a clone
    )


@dataclass(frozen=True, slots=True)
class Mark:
    """A point in a ledger's history.

    Attributes:
        place: Cluster and database.
        number: Grows with each mark.
        at: When it was made, by the ledger's clock.
        timeline: The cluster's; grows with each promotion.
    """

    place: tuple[int, int]
    number: int
    at: datetime
    timeline: int


def continuity_of(
    remembered: Mark | None, ledger: Mark, timeline: int, *, is_known_host: bool
) -> Continuity:
    """Compare a ledger with what the daemon remembers of it.

    Args:
        remembered: The daemon's memory; None without one, or when a person has
            accepted the ledger as it is since.
        ledger: The ledger's own last mark.
        timeline: Of the ledger's cluster now.
        is_known_host: Whether a daemon ran on this host for this ledger before.
    """
    promoted = timeline > ledger.timeline
    later = Continuity.PROMOTED if promoted else Continuity.SAME
    if remembered is None:
        return Continuity.UNKNOWN_HOST if promoted and not is_known_host else later
    if remembered.place != ledger.place or remembered.timeline > timeline:
        return Continuity.REWOUND
    if remembered.number > ledger.number:
        lost = remembered.at - ledger.at
        slight = timeline > remembered.timeline and lost <= LOSS_LIMIT
        return Continuity.PROMOTED if slight else Continuity.REWOUND
    return later
