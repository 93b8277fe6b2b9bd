"""Capture from the WAL: orders are taken from the slot once they are visible.

The invariant: nothing is acknowledged before the ledger has it for good. What a crash
or an error leaves undone, the slot sends again; the ledger's key makes that harmless.
"""

import time

from syncd.capture.follower import StepResult
from syncd.capture.tuning import WAL, WalTuning
from syncd.capture.wal.monitor import SlotMonitor
from syncd.capture.wal.slot import NOWHERE, SlotPosition, SlotPositionStore
from syncd.capture.wal.stream import ReplicationStream, stream_of
from syncd.config.settings import Settings
from syncd.core.errors import PausedError, StreamBrokenError, SyncdError
from syncd.core.pgoutput import Begin, Commit, Keepalive, Message, RowChange
from syncd.core.transaction_buffer import Snapshot, TransactionBuffer
from syncd.ledger.admission import Admitted, Capture
from syncd.ledger.batches import Ledger
from syncd.ledger.feed import Feed
from syncd.log.log import Log
from syncd.postgres.statements import query
from syncd.source.connections import Connections, source_on
from syncd.source.orders import Source

_SHORTEST, _LONGEST = 0.002, 0.2


class WalCapture:
    """Follows tables through a replication slot; `step` again and again.

    Args:
        source: The views, on a connection to the database of the slot.
        size: Orders that a batch may hold.
    """

    def __init__(
        self,
        stream: ReplicationStream,
        monitor: SlotMonitor,
        source: Source,
        ledger: Ledger,
        size: int,
        tuning: WalTuning = WAL,
    ) -> None:
        self._tuning = tuning
        self._stream = stream
        self._monitor = monitor
        self._source = source
        self._ledger = ledger
        self._progress = SlotPositionStore(ledger.database, ledger.feed_id)
        self._size = size
        self._forget()

    @property
    def capture(self) -> Capture:
        """Its name in the ledger."""
        return "wal"

    @property
    def is_open(self) -> bool:
        """Whether changes are coming."""
        return self._stream.is_open

    @property
    def held(self) -> int:
        """How many keys were received that the ledger does not have yet."""
        return len(self._buffer)

    def step(self, seconds: float) -> StepResult:
        """Wait for changes, at most about `seconds`; write what is new to the ledger.

        Raises:
            SyncdError: The database failed, or the slot is lost; what the ledger does
                not have comes again.
        """
        try:
            return self._step(time.monotonic() + seconds)
        except SyncdError as error:
            self.close()
            if isinstance(error, StreamBrokenError):
                self._monitor.explain(error)
            raise

    def close(self) -> None:
        """End the connection; what the ledger does not have comes again."""
        self._stream.close()
        self._forget()

    def _forget(self) -> None:
        self._buffer = TransactionBuffer()
        self._received = 0  # every commit at or before it was taken out of the buffer
        self._confirmed = 0
        self._is_asked = False
        self._noted_at = float("-inf")
        self._hidden_since: float | None = None
        self._pause = _SHORTEST
        self._caught_up = False
        self._written, self._written_at = NOWHERE, 0.0
        self._reached_at = NOWHERE.at

    def _step(self, deadline: float) -> StepResult:
        if not self._stream.is_open and not self._open():
            time.sleep(max(0.0, deadline - time.monotonic()))
            return StepResult(is_listening=False)
        self._monitor.check(self._tuning)
        while True:
            self._gather(deadline - time.monotonic())
            followed = self._admit()
            if followed.keys or time.monotonic() >= deadline:
                return followed

    def _open(self) -> bool:
        """Begin to stream; False when another instance does."""
        self._refuse_paused()
        opening = self._monitor.open()
        if opening.active_pid or not self._stream.open(opening.keys, opening.confirmed):
            self._monitor.wait_for(opening.active_pid)
            return False
        self._monitor.begin(opening)
        self._confirmed = opening.confirmed
        self._reached_at = opening.reached.at
        self._written, self._written_at = opening.written, time.monotonic()
        return True

    def _refuse_paused(self) -> None:
        """Leave the slot alone while capture is paused, but check it."""
        try:
            with self._ledger.admission():
                pass
        except PausedError:
            self._monitor.check(self._tuning)
            raise

    # Receive

    def _gather(self, seconds: float) -> None:
        """Receive changes, or wait for those that are not visible yet."""
        if self._hidden_since is not None:
            self._pause = min(2 * self._pause, _LONGEST)
            seconds = min(seconds, self._pause)
        seconds = max(seconds, 0.0)
        tuning = self._tuning
        if self.held < (tuning.most_keys if self._hidden_since else tuning.page):
            for message in self._stream.receive(seconds):
                self._handle(message)
            return
        self._stream.keep_alive()
        if self._hidden_since:
            time.sleep(seconds)

    def _handle(self, message: Message | Keepalive) -> None:
        match message:
            case Begin(xid):
                self._buffer.begin(xid)
            case RowChange(key):
                self._buffer.touch(key)
            case Commit(end):
                self._buffer.commit(end)
            case Keepalive(position, wants_reply):
                self._is_asked |= wants_reply
                if self._buffer.is_empty:
                    self._received = max(self._received, position)

    # Admit

    def _admit(self) -> StepResult:
        started = time.monotonic()
        keys, position = self._take()
        if keys:
            admitted = self._write(keys, position)
            took = time.monotonic() - started
            return StepResult(
                admitted.orders, keys, self._caught_up, took, admitted.without_time
            )
        self._note()
        return StepResult(is_listening=self._caught_up)

    def _take(self) -> tuple[list[str], int | None]:
        """Take what is visible; an incomplete transaction, in pages."""
        buffer = self._buffer
        if buffer.is_empty or (buffer.is_open and len(buffer) < self._tuning.page):
            return [], None
        snapshot = Snapshot.parse(self._source.database.value(str, query("snapshot")))
        taken = buffer.take(snapshot, self._tuning.page)
        self._wait_for_hidden(buffer.hidden(snapshot))
        if taken.position:
            self._received = max(self._received, taken.position)
        return taken.keys, taken.position

    def _wait_for_hidden(self, transactions: int) -> None:
        if not transactions:
            self._hidden_since, self._pause = None, _SHORTEST
            return
        now = time.monotonic()
        self._hidden_since = self._hidden_since or now
        if now - self._hidden_since > self._tuning.hidden_seconds:
            self._monitor.hold(transactions, now - self._hidden_since)

    def _write(self, keys: list[str], position: int | None) -> Admitted:
        """Write orders, with the position behind them, into the ledger; acknowledge."""
        with self._ledger.admission():
            found = self._source.of_keys(keys)
            admitted = self._ledger.admit(found, "wal", size=self._size)
            if position:
                self._move(position)
        if position:
            self._confirm(position)
        return admitted

    def _note(self) -> None:
        """Move the position without orders, now and then and when the server asks.

        A server that shuts down asks, and waits for the answer; the ledger's own
        connection is gone by then, and the error that this raises lets it end.
        """
        due = time.monotonic() - self._noted_at > self._tuning.note_seconds
        due |= not self._caught_up and self._received >= self._written.position
        if self._received > self._confirmed and (due or self._is_asked):
            with self._ledger.admission():
                self._move(self._received)
            self._confirm(self._received)
        elif self._is_asked:
            self._confirm(self._confirmed)

    def _move(self, position: int) -> None:
        """Note the position, within the ledger's transaction."""
        self._ledger.database.run(query("commit_durably"))
        self._date(position)
        self._progress.move(SlotPosition(position, self._reached_at))

    def _confirm(self, position: int) -> None:
        self._confirmed = position
        self._is_asked = False
        self._noted_at = time.monotonic()
        self._stream.confirm(position)

    def _date(self, position: int) -> None:
        """Find out as of when every change was received."""
        if position >= self._written.position:
            self._caught_up = True
            self._reached_at = self._written.at
            if time.monotonic() - self._written_at > self._tuning.note_seconds:
                self._written = self._monitor.written()
                self._written_at = time.monotonic()


def follow_wal(
    settings: Settings,
    feed: Feed,
    connections: Connections,
    log: Log,
    tuning: WalTuning = WAL,
) -> WalCapture:
    """Make the follower of a feed's slot; it connects at its first step."""
    source = connections.source
    ledger = Ledger(connections.ledger, feed.feed_id)
    monitor = SlotMonitor(
        source,
        SlotPositionStore(connections.ledger, feed.feed_id),
        feed,
        settings.feed,
        log,
        settings.source.lookback,
    )
    return WalCapture(
        stream_of(settings, tuning),
        monitor,
        source_on(settings, connections),
        ledger,
        settings.squeezely.orders_per_batch,
        tuning,
    )
