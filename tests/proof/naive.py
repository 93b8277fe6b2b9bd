"""Captures with known bugs, and one without, on which the checker is checked.

Each is written as people write it, small and without anything of syncd's. What a
capture of this kind would keep on disk (its position, its orders) survives a crash.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import ClassVar, cast

import psycopg
from typing_extensions import override

from proof.stepwise import Start, Stepwise
from proof.world import World

CLOCK = "SELECT clock_timestamp()"
RUNNING = (
    "SELECT l.virtualxid FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) "
    "WHERE l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' "
    "AND l.pid <> pg_backend_pid() AND a.datname = current_database()"
)
WRITING = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
PREPARED = (
    "SELECT transaction::text FROM pg_prepared_xacts "
    "WHERE database = current_database()"
)
FOUND = """
SELECT id::text, at, id FROM (
    SELECT id, confirmed_at AS at, xmin FROM orders WHERE confirmed_at IS NOT NULL
     UNION ALL
    SELECT order_id, paid_at, xmin FROM payments) AS f
"""

Row = tuple[object, ...]


class Naive(Stepwise):
    """A capture with a connection of its own, and state that survives a crash."""

    application = "naive"

    def __init__(self, world: World) -> None:
        self._connection: psycopg.Connection | None = None
        self.keys: list[str] = []
        self.failed = False
        self.renew()
        super().__init__(world)

    def run(self, statement: str, **params: object) -> list[Row]:
        """Run a statement, when it is this subject's turn."""
        self.pause()
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self.world.owner, autocommit=True, application_name="naive"
            )
        cursor = self._connection.execute(statement.encode(), params or None)
        return cursor.fetchall() if cursor.description else []

    def take(self, rows: Sequence[Row]) -> None:
        known = set(self.keys)
        self.keys += {str(row[0]) for row in rows} - known

    @override
    def one_cycle(self) -> None:
        self.failed = True
        try:
            self.find()
            self.failed = False
        except psycopg.OperationalError:
            self.renew()

    def find(self) -> None:
        """Run one cycle."""
        raise NotImplementedError

    @override
    def renew(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def watermark(self) -> datetime | None:
        return None

    def taken(self) -> list[str]:
        return self.keys

    @override
    def is_settled(self, moment: datetime) -> bool:
        return not self.failed

    @override
    def close(self) -> None:
        super().close()
        self.renew()


class Cursor(Naive):
    """Captures what lies past the last row that it saw."""

    columns: ClassVar[slice]
    condition: ClassVar[str] = ""

    def __init__(self, world: World) -> None:
        self.last: Row = ()
        super().__init__(world)

    @override
    def find(self) -> None:
        rows = self.run(FOUND + self.condition)
        fresh = [row for row in rows if row[self.columns] > self.last]
        self.take(fresh)
        self.last = max([self.last, *(row[self.columns] for row in fresh)])


class IdCursor(Cursor):
    """`WHERE id > last`."""

    columns = slice(2, 3)


class TimeCursor(Cursor):
    """`WHERE (confirmed_at, id) > (last_time, last_id)`."""

    columns = slice(1, 3)


class HorizonOnId(Cursor):
    """`WHERE id > last`, for rows older than every transaction that still writes."""

    columns = slice(2, 3)
    condition = (
        "WHERE xmin::text::bigint < pg_snapshot_xmin(pg_current_snapshot())"
        "::text::bigint"
    )


class Window(Naive):
    """Closes windows of time after a complete grace period, in four steps."""

    def __init__(self, world: World) -> None:
        self.lookback = world.lookback
        self.mark = world.clock() - world.lookback
        super().__init__(world)

    @override
    def watermark(self) -> datetime | None:
        return self.mark

    @override
    def is_settled(self, moment: datetime) -> bool:
        return self.mark >= moment

    @override
    def renew(self) -> None:
        super().renew()
        self.upper: datetime | None = None

    @override
    def find(self) -> None:
        self.grace()
        if self.upper is not None and not self.running and not self.prepared:
            self.close_window(self.upper)

    def grace(self) -> None:
        """Open a window, or check which of the transactions that ran then still do."""
        if self.upper is None:
            self.open_window()
        self.running &= self.values(RUNNING)
        self.see_prepared()

    def open_window(self) -> None:
        self.prepared: set[object] | None = None
        upper = self.clock()
        self.running = self.values(RUNNING)
        self.upper = upper

    def see_prepared(self) -> None:
        if not self.running:
            now = self.values(PREPARED)
            self.prepared = now if self.prepared is None else self.prepared & now

    def close_window(self, upper: datetime) -> None:
        rows = self.run(FOUND + "WHERE at > %(mark)s AND at <= %(upper)s",
                        mark=self.mark, upper=upper)  # fmt: skip
        self.take(rows)
        self.mark = max(self.mark, upper)
        self.upper = None

    def clock(self) -> datetime:
        return cast("datetime", self.run(CLOCK)[0][0]) - self.lookback

    def values(self, statement: str) -> set[object]:
        return {row[0] for row in self.run(statement)}


class WithoutWaiting(Window):
    """Treats each window as complete at once: a fixed delay."""

    @override
    def grace(self) -> None:
        super().grace()
        self.running, self.prepared = set(), set()


class WithoutPrepared(Window):
    """Steps 1, 2 and 4: queries running transactions only."""

    @override
    def see_prepared(self) -> None:
        self.prepared = set()


class PreparedTooEarly(Window):
    """Step 3 together with step 2: a transaction prepared later is in neither list."""

    @override
    def open_window(self) -> None:
        super().open_window()
        self.prepared = self.values(PREPARED)

    @override
    def see_prepared(self) -> None:
        if self.prepared:
            self.prepared &= self.values(PREPARED)


class RunningBeforeClock(Window):
    """Step 1 after step 2: a transaction that starts in between is not waited for."""

    @override
    def open_window(self) -> None:
        self.prepared = None
        self.running = self.values(RUNNING)
        self.upper = self.clock()


class OneSnapshot(Window):
    """Everything in one transaction, under a default of repeatable read."""

    @override
    def find(self) -> None:
        with self.transaction():
            super().find()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
        yield
        self.run("COMMIT")


class WritersOnly(Window):
    """Waits for transactions that have written: others may have begun, and stamped."""

    @override
    def open_window(self) -> None:
        super().open_window()
        self.running = set()
        (self.horizon,) = self.run("SELECT pg_snapshot_xmax(pg_current_snapshot())"
                                   "::text::bigint")[0]  # fmt: skip

    @override
    def see_prepared(self) -> None:
        (oldest,) = self.run(WRITING)[0]
        is_past = cast("int", oldest) >= cast("int", self.horizon)
        self.prepared = set() if is_past else {oldest}


class WithoutLookback(Window):
    """All four steps, and no margin for stamps older than their transaction."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.lookback = timedelta(0)


KNOWN_BUGS: dict[str, Start] = {
    "id-cursor": IdCursor,
    "time-cursor": TimeCursor,
    "horizon-on-id": HorizonOnId,
    "fixed-delay": WithoutWaiting,
    "writers-only": WritersOnly,
    "without-prepared": WithoutPrepared,
    "prepared-too-early": PreparedTooEarly,
    "running-before-clock": RunningBeforeClock,
    "one-snapshot": OneSnapshot,
    "without-lookback": WithoutLookback,
}
