"""The shop of the proof: tables, sessions, servers, and the truth, read by its own SQL.

Nothing here asks syncd or its views what is confirmed: a checker that shared that
with what it checks would share its mistakes.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import cast

import psycopg
from support.postgres import SETTINGS, Cluster, wait_until
from support.shop import Shop

from proof.shop_session import ShopSession

LOOKBACK = timedelta(milliseconds=8)
"""How far a stamp may lie before its transaction, for every subject."""

TABLES = """
CREATE TABLE payments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id bigint REFERENCES orders ON DELETE CASCADE,
    paid_at timestamptz NOT NULL
);
CREATE INDEX payments_paid_at ON payments (paid_at);
CREATE INDEX payments_order_id ON payments (order_id);
CREATE VIEW syncd.confirmed_orders AS
SELECT id AS order_key, confirmed_at FROM orders WHERE confirmed_at IS NOT NULL
 UNION ALL
SELECT order_id, paid_at FROM payments;
CREATE VIEW syncd.purchases AS
SELECT id AS order_key, 'W-' || id AS orderid, email, 'EUR' AS currency,
       total AS totalvalue, products
  FROM orders;
GRANT SELECT ON syncd.confirmed_orders, syncd.purchases TO {role};
"""
TRUTH = """
SELECT o.id::text, least(o.confirmed_at, min(p.paid_at))
  FROM orders AS o LEFT JOIN payments AS p ON p.order_id = o.id
 GROUP BY o.id
HAVING least(o.confirmed_at, min(p.paid_at)) IS NOT NULL
"""
DEAF = "SELECT count(*) = 0 FROM pg_stat_wal_receiver"
NOBODY = "SELECT current_setting('synchronous_standby_names') = 'nobody'"
HIDING = SETTINGS | {
    "synchronous_standby_names": "nobody",
    "synchronous_commit": "local",
    "max_slot_wal_keep_size": "1GB",
}
"""A server that waits for a missing standby if a transaction requires it."""

RELAXED = SETTINGS | {
    "synchronous_commit": "off",
    "wal_writer_delay": "10s",
    "max_slot_wal_keep_size": "1GB",
}
"""A server whose crash reverts the commits that no one has waited for."""

DISASTERS = {"restart-server", "crash-server", "crash-ledger", "promote"}
"""Moves after which commits of the shop and of the ledger may be lost."""

TERMINATE = """
SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE starts_with(datname, current_database())
   AND starts_with(application_name, %(name)s)
"""
STILL_THERE = "SELECT 1 FROM pg_stat_activity WHERE pid = ANY(%(pids)s)"

Rows = list[tuple[object, ...]]


class World:
    """A shop with sessions in a database of its own; its server may be restarted.

    Attributes:
        hides: Whether the server can delay the visibility of commits (`HIDING`).
        before_stop: Called before the server is restarted or crashed.

    Args:
        server: For the orders, and for the ledger unless `elsewhere` is set.
        database: Its name.
        standby: Takes over when the server is lost.
        elsewhere: Another server, for a separate ledger.
        lookback: How far a stamp may lie before its transaction.
        sessions: Number of sessions of the shop.
    """

    def __init__(
        self,
        server: Cluster,
        database: str,
        *,
        standby: Cluster | None = None,
        elsewhere: Cluster | None = None,
        lookback: timedelta | None = None,
        sessions: int = 4,
    ) -> None:
        self._standby = standby
        self._servers = [server, *([standby] if standby else [])]
        self._elsewhere = elsewhere
        self.lookback = lookback or LOOKBACK
        self.hides = server.holds(NOBODY)
        self.before_stop: Callable[[], None] = lambda: None
        server.sql(f"CREATE DATABASE {database}")
        self.database = database
        self.shop = Shop.open(server.dsn(database), views=False)
        self.shop.sql(TABLES.replace("{role}", self.shop.role))
        self.owner = self._everywhere(self.shop.owner)
        self.dsn = self._everywhere(self.shop.dsn)
        apart = elsewhere or server
        apart.sql(f"CREATE DATABASE {database}_state")
        self.state = Shop.open(apart.dsn(f"{database}_state"), views=False)
        self.ledger_dsn = self._of_ledger(self.state.dsn)
        margin = self.lookback * 0.8
        self.sessions = [
            ShopSession(self.owner, str(n), margin) for n in range(sessions)
        ]
        self.prepared: list[str] = []
        self.made: Counter[str] = Counter()
        self._own: dict[bool, psycopg.Connection] = {}

    def _everywhere(self, dsn: str) -> str:
        hosts = ",".join(str(server.folder) for server in self._servers)
        return psycopg.conninfo.make_conninfo(
            dsn, host=hosts, target_session_attrs="read-write"
        )

    def _of_ledger(self, dsn: str) -> str:
        """Return the connection string of a separate ledger."""
        return dsn if self._elsewhere else self._everywhere(dsn)

    @property
    def standby_dsn(self) -> str:
        """Return the daemon's connection string to the standby."""
        assert self._standby is not None
        return psycopg.conninfo.make_conninfo(
            self.shop.dsn, host=str(self._standby.folder)
        )

    def await_standby(self) -> None:
        """Wait until the standby shows all that is committed now."""
        assert self._standby is not None
        standby = self._standby
        ((position,),) = self.rows("SELECT pg_current_wal_flush_lsn()::text")
        wait_until(
            lambda: standby.holds(f"SELECT pg_last_wal_replay_lsn() >= '{position}'")
        )

    def hold_standby(self, *, held: bool) -> None:
        """Pause the standby's replay, or let it catch up; the primary goes on."""
        assert self._standby is not None
        how = "pause" if held else "resume"
        self._standby.sql(f"SELECT pg_wal_replay_{how}()", self.database)

    def rows(self, query: str, state: bool = False, **params: object) -> Rows:  # noqa: FBT001, FBT002
        """Read in a session of its own, from the orders or the separate ledger."""
        if state not in self._own:
            owner = self._of_ledger(self.state.owner) if state else self.owner
            self._own[state] = psycopg.connect(owner, autocommit=True)
        cursor = self._own[state].execute(query.encode(), params or None)
        return cursor.fetchall() if cursor.description else []

    def clock(self) -> datetime:
        return cast("datetime", self.rows("SELECT clock_timestamp()")[0][0])

    def confirmed(self) -> dict[str, datetime]:
        """Return the orders that are confirmed and committed now, and since when."""
        return dict(cast("list[tuple[str, datetime]]", self.rows(TRUTH)))

    def make(self, move: str) -> None:
        """Make a move of the shop: `session N: WHAT` or `shop: WHAT`."""
        who, _, what = move.partition(": ")
        self.made[what] += 1
        if who == "shop":
            moves: dict[str, Callable[[], object]] = {
                "wait": self.wait,
                "commit-prepared": lambda: self._finish("COMMIT"),
                "rollback-prepared": lambda: self._finish("ROLLBACK"),
                "restart-server": lambda: self._restart("fast"),
                "crash-server": lambda: self._restart("immediate"),
                "crash-ledger": self._crash_ledger,
                "flush": self._flush,
                "lag": self._lag,
                "promote": self._promote,
            }
            moves[what]()
            return
        session = self.sessions[int(who.removeprefix("session "))]
        if what == "leave":
            session.leave()
        elif name := session.make(what):
            self.prepared.append(name)

    def wait(self) -> None:
        """Advance the server's clock by more than the lookback."""
        self.rows(f"SELECT pg_sleep({1.5 * self.lookback.total_seconds()})")

    def drop(self, application: str) -> None:
        """Terminate connections whose application name has this prefix."""
        pids = [pid for pid, _ in self.rows(TERMINATE, name=application)]
        # pg_terminate_backend itself polls only every 100 ms
        while self.rows(STILL_THERE, pids=pids):
            pass

    def finish(self) -> None:
        """End every transaction: prepared ones commit, open ones too."""
        for session in self.sessions:
            session.make("COMMIT")
        while self.prepared:
            self._finish("COMMIT")

    def empty(self) -> None:
        """Remove all orders, for the next interleaving."""
        self.rows("TRUNCATE orders, payments")

    def close(self) -> None:
        """End all; the databases stay."""
        with suppress(psycopg.Error):
            while self.prepared:
                self._finish("ROLLBACK")
        self._leave_all()
        self.shop.close()
        self.state.close()

    def _finish(self, how: str) -> None:
        if self.prepared:
            self.rows(f"{how} PREPARED '{self.prepared.pop(0)}'")

    def _leave_all(self) -> None:
        for session in self.sessions:
            session.leave()
        for connection in self._own.values():
            connection.close()
        self._own.clear()

    def _restart(self, mode: str) -> None:
        self.before_stop()
        self._leave_all()
        self._servers[0].stop(mode)
        self._servers[0].start()

    def _flush(self) -> None:
        """Flush everything committed by now, so that it survives a crash."""
        for of_ledger in (False, True):
            self.rows("CHECKPOINT", of_ledger)

    def _crash_ledger(self) -> None:
        """Crash the server of a separate ledger; without one, do nothing."""
        if self._elsewhere:
            self._leave_all()
            self._elsewhere.stop("immediate")
            self._elsewhere.start()

    def _lag(self) -> None:
        """Stop replication to the standby; the primary goes on."""
        assert self._standby is not None
        self.await_standby()
        self._standby.set("primary_conninfo", "")
        standby = self._standby
        wait_until(lambda: standby.holds(DEAF))

    def _promote(self) -> None:
        """Lose the primary and continue with its standby; without one, do nothing."""
        if len(self._servers) > 1:
            self._leave_all()
            self.made["promoted"] += 1
            self._servers.pop(0).stop("immediate")
            self._servers[0].promote()
