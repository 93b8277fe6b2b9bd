"""Capture from the WAL: every committed order is captured, in commit order, once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from support.postgres import Cluster, cluster, wait_until
from support.shop import Shop
from support.wal_harness import QUICK, SLOT, WAL_SETTINGS, WalHarness, opened_shop
from typing_extensions import override

from syncd.capture.follower import StepResult
from syncd.capture.tuning import WalTuning
from syncd.capture.wal.stream import FRAMES, ReplicationStream
from syncd.core.errors import DatabaseUnavailableError
from syncd.core.pgoutput import Begin, Keepalive, Message
from syncd.ledger.admission import Admitted
from syncd.ledger.batches import Ledger

pytestmark = pytest.mark.db

NOBODY = "SELECT current_setting('synchronous_standby_names') = 'nobody'"
INSERT = "INSERT INTO orders (confirmed_at) VALUES (clock_timestamp()) RETURNING id"


def confirm(session: psycopg.Connection) -> str:
    row = session.execute(INSERT).fetchone()
    assert row is not None
    return str(row[0])


# What is captured


def test_committed_orders_are_captured_at_once(wal_feed: WalHarness) -> None:
    """An order inserted as confirmed, and one that an update confirms."""
    wal_feed.shop.sql("INSERT INTO orders DEFAULT VALUES")
    wal_feed.step_until_read()
    assert wal_feed.keys() == []
    wal_feed.shop.sql("UPDATE orders SET confirmed_at = now()")
    wal_feed.shop.confirm(2)
    wal_feed.step_until_admitted(3)
    assert wal_feed.keys() == ["1", "2", "3"]


def test_orders_are_captured_in_commit_order(wal_feed: WalHarness) -> None:
    """Batches follow it, although the later transaction began first."""
    with wal_feed.session() as first, wal_feed.session() as second:
        early, late = confirm(first), confirm(second)
        second.commit()
        wal_feed.step_until_admitted(1)
        first.commit()
        wal_feed.step_until_admitted(2)
    assert sorted(wal_feed.keys()) == [early, late]
    assert wal_feed.shop.captures() == {"wal"}


def test_an_order_stamped_long_before_its_commit_is_captured(
    wal_feed: WalHarness,
) -> None:
    """The confirmation time plays no role: an order that is not initial is new."""
    floor = wal_feed.shop.row_of("feed").floor_at
    wal_feed.shop.sql(
        "INSERT INTO orders (confirmed_at) "
        f"VALUES (now() - interval '2 years'), ('{floor}')"
    )
    wal_feed.step_until_admitted(2)
    assert wal_feed.keys() == ["1", "2"]


def test_a_rolled_back_order_is_not_captured(wal_feed: WalHarness) -> None:
    """Transactions and savepoints; rows of a committed subtransaction are captured."""
    with wal_feed.session() as session:
        confirm(session)
        session.rollback()
        session.execute("SAVEPOINT a")
        confirm(session)
        session.execute("ROLLBACK TO a")
        kept = [confirm(session)]
        session.execute("SAVEPOINT b")
        kept.append(confirm(session))
        session.commit()
    wal_feed.step_until_admitted(2)
    assert wal_feed.keys() == kept


def test_a_prepared_transaction_is_captured_when_it_commits(
    wal_feed: WalHarness,
) -> None:
    """It is not captured when it is prepared, nor after a rollback."""
    key = ""
    for name, end in (("one", "ROLLBACK"), ("two", "COMMIT")):
        with wal_feed.session() as session:
            key = confirm(session)
            session.execute(
                f"PREPARE TRANSACTION '{wal_feed.shop.role}{name}'".encode()
            )
            session.rollback()
        wal_feed.step_until_read()
        assert wal_feed.admitted() == 0
        wal_feed.shop.sql(f"{end} PREPARED '{wal_feed.shop.role}{name}'")
    wal_feed.step_until_admitted(1)
    assert wal_feed.keys() == [key]


def test_a_payment_confirms_the_order_that_it_references(
    wal_shop: Shop, tmp_path: Path
) -> None:
    """Several tables, each with its key column; a payment without order adds none."""
    wal_shop.sql(
        "CREATE TABLE payments (id bigint PRIMARY KEY, order_id integer);"
        "CREATE OR REPLACE VIEW syncd.confirmed_orders AS SELECT o.id AS order_key, "
        "o.confirmed_at FROM orders o JOIN payments p ON p.order_id = o.id"
    )
    wal_feed = WalHarness(wal_shop, tmp_path, tables=["orders:id", "payments:order_id"])
    try:
        wal_shop.confirm(2)
        wal_feed.step_until_read()
        assert wal_feed.admitted() == 0
        wal_shop.sql("INSERT INTO payments VALUES (1, NULL), (2, 2)")
        wal_feed.step_until_admitted(1)
        assert wal_feed.keys() == ["2"]
    finally:
        wal_feed.close()


def test_a_large_transaction_is_admitted_in_pages(
    wal_feed: WalHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory holds a page and one read; the position moves at its end."""
    wal_feed.retune(page=100)
    held, sizes = [], []
    admit = Ledger.admit

    def admitting(self: Ledger, *args: object, **kwargs: object) -> Admitted:
        held.append(wal_feed.held())
        admitted = admit(self, *args, **kwargs)  # type: ignore[arg-type]
        sizes.append((admitted.orders, wal_feed.reached()))
        return admitted

    monkeypatch.setattr(Ledger, "admit", admitting)
    wal_feed.shop.confirm(8000)
    wal_feed.step_until_admitted(8000)
    assert max(held) <= 100 + FRAMES
    assert {orders for orders, _ in sizes} == {100}
    assert len({reached for _, reached in sizes}) == 1
    wal_feed.step_until_read()
    assert wal_feed.reached() != sizes[-1][1]


# Nothing is acknowledged too early


def test_nothing_is_acknowledged_before_the_ledger_has_it(
    wal_feed: WalHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the admission fails, the slot keeps the order and sends it again."""
    admit = Ledger.admit

    def failing(*_: object, **__: object) -> Admitted:
        raise DatabaseUnavailableError("no", "no")

    monkeypatch.setattr(Ledger, "admit", failing)
    wal_feed.shop.confirm(1)
    end = wal_feed.value("SELECT (pg_current_wal_lsn() - '0/0')::bigint")
    with pytest.raises(DatabaseUnavailableError):
        wal_feed.step(5)
    assert wal_feed.confirmed_position() < end  # type: ignore[operator]
    assert wal_feed.reached() < end  # type: ignore[operator]
    monkeypatch.setattr(Ledger, "admit", admit)
    wal_feed.step_until_admitted(1)


def test_a_crash_between_ledger_and_acknowledgement_repeats_nothing(
    wal_feed: WalHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slot sends the order again, the ledger recognises its key."""
    confirm_ = ReplicationStream.confirm
    before = wal_feed.confirmed_position()

    def failing(*_: object) -> None:
        raise DatabaseUnavailableError("the daemon died", "no")

    monkeypatch.setattr(ReplicationStream, "confirm", failing)
    wal_feed.shop.confirm(1)

    def discard_follower() -> bool:
        with pytest.raises(DatabaseUnavailableError):
            wal_feed.step(5)
        return wal_feed.admitted() == 1

    wait_until(discard_follower)
    assert wal_feed.confirmed_position() == before
    monkeypatch.setattr(ReplicationStream, "confirm", confirm_)
    assert wal_feed.next_keys() == ["1"]
    wal_feed.step_until_read()
    assert wal_feed.admitted() == 1
    assert wal_feed.shop.batch_orders() == 1


def test_a_terminated_connection_is_replaced(wal_feed: WalHarness) -> None:
    """The step fails, the next ones continue from the ledger's position."""
    wal_feed.shop.sql(SLOT.format("pg_terminate_backend(active_pid)"))
    wal_feed.shop.confirm(2)

    def stepped() -> bool:
        try:
            wal_feed.step()
        except DatabaseUnavailableError:
            return False
        return wal_feed.admitted() == 2

    wait_until(stepped)


def test_acknowledged_orders_survive_a_crash_of_the_server(tmp_path: Path) -> None:
    """Commits may be asynchronous; only the slot itself may go back."""
    settings = WAL_SETTINGS | {
        "synchronous_commit": "off",
        "wal_writer_delay": "10s",
        "fsync": "on",
    }
    with cluster(settings) as server, opened_shop(server, "shop") as shop:
        wal_feed = WalHarness(shop, tmp_path)
        wal_feed.step(5)
        with wal_feed.session("-c synchronous_commit=on") as session:
            confirm(session)
        wal_feed.step_until_admitted(1)
        reached, confirmed = wal_feed.reached(), wal_feed.confirmed_position()
        assert confirmed == reached
        server.stop("immediate")
        server.start()
        assert wal_feed.admitted() == 1
        assert wal_feed.reached() == reached
        assert wal_feed.confirmed_position() < confirmed
        wal_feed.close()
        assert wal_feed.next_keys() == ["1"]
        assert wal_feed.admitted() == 1
        wal_feed.close()


def test_the_server_shuts_down_without_waiting_for_the_follower(tmp_path: Path) -> None:
    """At its shutdown every reader has to acknowledge, even an idle one."""
    with cluster(WAL_SETTINGS) as server, opened_shop(server, "shop") as shop:
        wal_feed = WalHarness(shop, tmp_path, tuning=WalTuning(note_seconds=1000))
        wal_feed.step(1)
        wal_feed.step(1)
        shop.sql("CREATE TABLE other ()")
        wal_feed.step(0.3)
        stopped = threading.Thread(target=server.stop)
        stopped.start()
        with pytest.raises(DatabaseUnavailableError):
            wal_feed.step_until(lambda: not stopped.is_alive(), 0.1)
        stopped.join(5)
        assert not stopped.is_alive()
        wal_feed.close()


# Visible or not


@contextmanager
def require_missing_standby(server: Cluster, wal_feed: WalHarness) -> Iterator[None]:
    """Require a standby that never comes, for the commits of `WaitingCommit` only."""
    server.sql("ALTER ROLE ALL SET synchronous_commit = local")
    wal_feed.close()  # its next connections have the setting
    wal_feed.step()
    server.set("synchronous_standby_names", "nobody")
    try:
        wait_until(lambda: server.holds(NOBODY))
        yield
    finally:
        server.set("synchronous_standby_names", "")
        server.sql("ALTER ROLE ALL RESET synchronous_commit")


class WaitingCommit(threading.Thread):
    """A commit that waits for a standby, in a thread of its own."""

    def __init__(self, wal_feed: WalHarness, orders: int = 1) -> None:
        super().__init__(daemon=True)
        self._session = wal_feed.session("-c synchronous_commit=on")
        self._session.execute(
            "INSERT INTO orders (confirmed_at) SELECT clock_timestamp() "
            "FROM generate_series(1, %s)",
            (orders,),
        )
        self.start()

    @override
    def run(self) -> None:
        self._session.commit()
        self._session.close()


def test_a_commit_that_is_not_visible_yet_is_waited_for(
    wal_server: Cluster, wal_feed: WalHarness
) -> None:
    """Later orders are captured and the position stays; then the order is captured."""
    wal_feed.retune(hidden_seconds=0.1)
    with require_missing_standby(wal_server, wal_feed):
        waiting = WaitingCommit(wal_feed)
        wal_feed.step_until(lambda: wal_feed.events("stream.commits_invisible"), 0.1)
        before = wal_feed.confirmed_position()
        wal_feed.shop.confirm(2)
        wal_feed.step_until_admitted(2)
        assert sorted(wal_feed.keys()) == ["2", "3"]
        assert [wal_feed.step(0.05).keys for _ in range(3)] == [()] * 3
        assert wal_feed.confirmed_position() == before
    waiting.join(10)
    wal_feed.step_until_admitted(3)
    wal_feed.step_until_read()
    assert sorted(wal_feed.keys()) == ["1", "2", "3"]


def test_a_large_invisible_commit_is_not_held_in_memory(
    wal_server: Cluster, wal_feed: WalHarness
) -> None:
    """Reading pauses, the server keeps the rest, and the connection stays alive."""
    wal_feed.retune(most_keys=2000)
    with require_missing_standby(wal_server, wal_feed):
        waiting = WaitingCommit(wal_feed, 30_000)
        wal_feed.step_until(lambda: wal_feed.held() >= 2000, 0.05)
        for _ in range(10):
            wal_feed.step(0.02)
        assert wal_feed.held() <= 2000 + FRAMES
        assert wal_feed.admitted() == 0
    waiting.join(10)
    wal_feed.step_until_admitted(30_000)
    assert not wal_feed.events("database.unavailable")


def test_an_invisible_commit_is_read_again_after_a_reconnect(
    wal_server: Cluster, wal_feed: WalHarness
) -> None:
    """What was in memory is dropped with the connection."""
    with require_missing_standby(wal_server, wal_feed):
        waiting = WaitingCommit(wal_feed)
        wal_feed.step_until(lambda: wal_feed.held() == 1, 0.1)
        wal_feed.wal.close()
        wal_feed.step_until(lambda: wal_feed.held() == 1, 0.1)
        assert wal_feed.admitted() == 0
    waiting.join(10)
    wal_feed.step_until_admitted(1)


@pytest.mark.parametrize("epoch", [1, 3])
def test_transaction_ids_are_unambiguous_after_a_wraparound(
    tmp_path: Path, epoch: int
) -> None:
    """A BEGIN message has only the lower 32 bits of a transaction id."""
    with cluster(WAL_SETTINGS) as server:
        server.count_from(epoch - 1, 0xFFFFFE00)
        with opened_shop(server, "shop") as shop:
            wal_feed = WalHarness(shop, tmp_path)
            wal_feed.step(1)
            before = shop.value("SELECT pg_current_xact_id()::text::bigint >> 32")
            for _ in range(30):
                shop.sql(
                    "DO 'BEGIN FOR i IN 1..20 LOOP PERFORM txid_current(); COMMIT;"
                    "END LOOP; END'"
                )
                shop.confirm(1)
            wal_feed.step_until_admitted(30)
            after = shop.value("SELECT pg_current_xact_id()::text::bigint >> 32")
            assert (before, after) == (epoch - 1, epoch)
            wal_feed.close()


# The slot's position


def test_an_idle_slot_advances_while_other_tables_are_written(
    wal_feed: WalHarness,
) -> None:
    """The server does not retain their WAL for the followed tables."""
    wal_feed.retune(note_seconds=0)
    restart = SLOT.format("(restart_lsn - '0/0')::bigint")
    before = wal_feed.value(restart)
    wal_feed.shop.sql("CREATE TABLE other (filler text)")
    for _ in range(3):
        wal_feed.shop.sql(
            "INSERT INTO other SELECT repeat('x', 500) FROM generate_series(1, 20000)"
        )
        wal_feed.shop.sql("CHECKPOINT")
        wal_feed.step_until_read()
    wal_feed.step_until_read()
    after = wal_feed.value(restart)
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert after - before > 20_000_000
    assert wal_feed.admitted() == 0


def test_the_position_is_recorded_before_it_is_acknowledged(
    wal_feed: WalHarness,
) -> None:
    """So a slot ahead of the ledger is always the doing of something else."""
    for _ in range(20):
        wal_feed.shop.confirm(1)
        wal_feed.step(0.5)
        reached = wal_feed.reached()
        assert isinstance(reached, int)
        assert reached >= wal_feed.confirmed_position()


def test_the_position_never_passes_unsent_transactions(
    wal_feed: WalHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A keepalive between two transactions lies before every later one."""
    receive = ReplicationStream.receive
    seen: list[Message | Keepalive] = []

    def recording(self: ReplicationStream, seconds: float) -> list[Message | Keepalive]:
        messages = receive(self, seconds)
        seen.extend(messages)
        return messages

    monkeypatch.setattr(ReplicationStream, "receive", recording)
    begun = wal_feed.shop.value("SELECT txid_current()")
    for _ in range(30):
        wal_feed.shop.confirm(3)
        wal_feed.step(0.05)
    wal_feed.step_until_admitted(90)
    position = 0
    for message in seen:
        if isinstance(message, Keepalive):
            position = message.position
        elif getattr(message, "end", position + 1) <= position:
            pytest.fail("a commit came after a keepalive that claimed it")
    assert sum(isinstance(m, Begin) for m in seen) == 30
    assert begun


def test_every_earlier_commit_is_in_the_ledger_at_the_recorded_time(
    wal_feed: WalHarness,
) -> None:
    """The recorded time advances with the position."""
    before = wal_feed.shop.row_of("replication_position").reached_at
    wal_feed.wal.close()
    wal_feed.shop.confirm(1)
    now = wal_feed.value("SELECT clock_timestamp()")
    wal_feed.step_until_admitted(1)
    wal_feed.step_until_read()
    assert before < now <= wal_feed.shop.row_of("replication_position").reached_at


def test_the_recorded_time_waits_for_unread_transactions(
    wal_feed: WalHarness,
) -> None:
    """A time that was read at the opening holds once everything before it was read."""
    wal_feed.retune(page=1)
    wal_feed.shop.confirm(1)
    between = wal_feed.value("SELECT clock_timestamp()")
    wal_feed.shop.confirm(1)
    wal_feed.step_until_admitted(1)
    assert wal_feed.shop.row_of("replication_position").reached_at < between
    wal_feed.step_until_admitted(2)
    wal_feed.step_until_read()
    assert wal_feed.shop.row_of("replication_position").reached_at > between


def test_another_instance_waits_and_takes_over(wal_feed: WalHarness) -> None:
    """It logs that once, does not count as listening, and continues at the position."""
    other = wal_feed.follower()
    try:
        assert other.step(0.05) == other.step(0.05) == StepResult(is_listening=False)
        assert len(wal_feed.events("stream.waiting")) == 1
        wal_feed.wal.close()
        wal_feed.shop.confirm(1)
        wait_until(lambda: other.step(0.2).keys)
        assert wal_feed.admitted() == 1
        assert len(wal_feed.events("stream.opened")) == 2
    finally:
        other.close()


def test_it_counts_as_listening_only_once_it_has_caught_up(
    wal_feed: WalHarness,
) -> None:
    """What the poll finds before that is not a missed change."""
    wal_feed.retune(page=500)
    wal_feed.shop.confirm(3000)
    steps = [wal_feed.step(5) for _ in range(4)]
    assert [step.is_listening for step in steps] == [False] * 4
    wait_until(lambda: wal_feed.step().is_listening)


def test_the_follower_sends_feedback_while_it_waits(
    tmp_path: Path,
) -> None:
    """The server would otherwise end the connection while a commit is not visible."""
    tuning = replace(QUICK, status_seconds=0.2, most_keys=0)
    settings = WAL_SETTINGS | {"wal_sender_timeout": "1s"}
    with cluster(settings) as server, opened_shop(server, "shop") as shop:
        wal_feed = WalHarness(shop, tmp_path, tuning=tuning)
        with require_missing_standby(server, wal_feed):
            waiting = WaitingCommit(wal_feed)
            wal_feed.step_until(lambda: wal_feed.held() == 1, 0.1)
            for _ in range(25):
                wal_feed.step(0.1)
        waiting.join(10)
        wal_feed.step_until_admitted(1)
        wal_feed.step_until_read()
        assert len(wal_feed.events("stream.opened")) == 1
        wal_feed.close()


def test_a_silent_server_is_disconnected(wal_feed: WalHarness) -> None:
    """A connection may be dead without an error; the next one continues."""
    wal_feed.retune(status_seconds=0.1, silence_seconds=0.5)
    wal_feed.step_until(lambda: wal_feed.wal.is_open)
    (pid,) = wal_feed.shop.rows(SLOT.format("active_pid"))[0]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(DatabaseUnavailableError, match="has been silent"):
            wal_feed.step_until(lambda: False)
    finally:
        os.kill(pid, signal.SIGCONT)
    wal_feed.shop.confirm(1)
    wait_until(lambda: wal_feed.value(SLOT.format("NOT active")))
    wal_feed.step_until_admitted(1)
