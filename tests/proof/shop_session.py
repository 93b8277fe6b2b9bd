"""A session of the shop, and the operations that it performs on orders."""

import threading
from contextlib import suppress
from datetime import datetime, timedelta
from typing import cast

import psycopg
from psycopg.pq import TransactionStatus

UNCONFIRMED = """
SELECT id FROM orders
 WHERE confirmed_at IS NULL
   AND NOT EXISTS (SELECT FROM payments WHERE order_id = id)
 ORDER BY id LIMIT 1
   FOR NO KEY UPDATE SKIP LOCKED
"""
# Margins stay inside the lookback, counted from the transaction's own start.
MARGIN = "make_interval(secs => {seconds})"
HIDDEN = "SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = %s"
"""Whether a commit is done but not visible, as a standby has not confirmed it."""

STATEMENTS = {
    "order": "INSERT INTO orders (confirmed_at) VALUES (now())",
    "order-by-clock": "INSERT INTO orders (confirmed_at) VALUES (clock_timestamp())",
    "order-by-application": "INSERT INTO orders (confirmed_at) "
    f"VALUES (greatest(%(stamp)s, now() - {MARGIN}))",
    "order-backdated": f"INSERT INTO orders (confirmed_at) VALUES (now() - {MARGIN})",
    "order-unconfirmed": "INSERT INTO orders (confirmed_at) VALUES (NULL)",
    "orders-of-one-instant": "INSERT INTO orders (confirmed_at) "
    "SELECT now() FROM generate_series(1, 7)",
    "confirm": f"UPDATE orders SET confirmed_at = now() WHERE id = ({UNCONFIRMED})",
    "pay": "INSERT INTO payments (order_id, paid_at) "
    f"SELECT id, now() FROM ({UNCONFIRMED}) AS u",
    "delete": "DELETE FROM orders WHERE id = (SELECT id FROM orders "
    "ORDER BY id DESC LIMIT 1 FOR UPDATE SKIP LOCKED)",
}


class ShopSession:
    """A session of the shop that executes moves; never waits for another's lock."""

    def __init__(self, dsn: str, name: str, margin: timedelta) -> None:
        self._dsn = dsn
        self._name = name
        self._margin = MARGIN.format(seconds=margin.total_seconds())
        self._transactions = 0
        self._stamp: datetime | None = None
        self._connection: psycopg.Connection | None = None
        self._late: threading.Thread | None = None

    def make(self, move: str) -> str | None:
        """Make a move if it applies now.

        Returns:
            The name of the transaction that was prepared, if one was.
        """
        self.show()
        if move == "read-clock":
            row = self._session.execute("SELECT clock_timestamp()").fetchone()
            self._stamp = cast("tuple[datetime]", row)[0]
        elif move in STATEMENTS:
            self._run(STATEMENTS[move].replace(MARGIN, self._margin))
        elif move == "prepare":
            return self._prepare()
        elif move == "commit-late":
            self._commit_late()
        else:
            self._control(move)
        return None

    @property
    def _session(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._dsn,
                autocommit=True,
                application_name=f"session-{self._name}",
                options="-c lock_timeout=2s",
            )
        return self._connection

    @property
    def is_open(self) -> bool:
        """Return whether a transaction is open."""
        status = self._session.info.transaction_status
        return status is TransactionStatus.INTRANS

    def _run(self, statement: str) -> None:
        now = "clock_timestamp()" if self._stamp is None else "%(stamp)s"
        text = statement.replace("%(stamp)s", f"{now}::timestamptz")
        self._session.execute(text.encode(), {"stamp": self._stamp})

    def _control(self, move: str) -> None:
        """Execute BEGIN, COMMIT, …; out of place they do nothing."""
        if self.is_open is (move == "BEGIN"):
            return
        if move == "ROLLBACK TO SAVEPOINT s":
            with suppress(psycopg.errors.InvalidSavepointSpecification):
                self._session.execute(move.encode())
                return
            move = "ROLLBACK"
        self._session.execute(move.encode())

    def _prepare(self) -> str | None:
        if not self.is_open:
            return None
        self._transactions += 1
        name = f"{self._name}-{self._transactions}"
        self._session.execute(f"PREPARE TRANSACTION '{name}'".encode())
        return name

    def _commit_late(self) -> None:
        """Commit; until the session's next move the order is visible in the WAL only.

        On a server that waits for a missing standby.
        """
        if not self.is_open:
            return
        session = self._session
        session.execute("SET LOCAL synchronous_commit = on")
        self._late = threading.Thread(target=session.execute, args=("COMMIT",))
        self._late.start()
        with psycopg.connect(self._dsn, autocommit=True) as other:
            pid = session.info.backend_pid
            while self._late.is_alive():
                if other.execute(HIDDEN, (pid,)).fetchone() == (True,):
                    break

    def show(self) -> None:
        """End the wait of a late commit: it is visible when this returns."""
        late, self._late = self._late, None
        if late is not None:
            with psycopg.connect(self._dsn, autocommit=True) as other:
                pid = self._session.info.backend_pid
                other.execute("SELECT pg_cancel_backend(%s)", (pid,))
            late.join()

    def leave(self) -> None:
        """Drop the connection; the server rolls back."""
        self.show()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
