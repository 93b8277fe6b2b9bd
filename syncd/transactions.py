"""Who writes to the shop's orders right now: the clock and the running transactions.

Each is read by a statement of its own, in autocommit: the poll's grace period rests
on their order (ADR-0003). On a hot standby's primary they are read there.
"""

from datetime import datetime
from typing import cast

from syncd.core.window import Vxid, Xid
from syncd.database import Database, named


class Transactions:
    """The transactions of the server where the shop writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def clock(self) -> datetime:
        """Read the server's clock."""
        return cast("datetime", self._database.one(named("clock"))[0])

    def running(self) -> frozenset[Vxid]:
        """Read the transactions that run now, one's own excepted."""
        return frozenset(Vxid(str(v)) for (v,) in self._database.all(named("running")))

    def prepared(self) -> frozenset[Xid]:
        """Read the prepared transactions of now."""
        return frozenset(Xid(str(x)) for (x,) in self._database.all(named("prepared")))

    def holders(self) -> list[tuple[object, ...]]:
        """Name the sessions with the oldest transactions: pid, name, state, start."""
        return self._database.all(named("holders"))
