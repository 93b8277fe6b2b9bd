import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest
from support.postgres import wait_until
from support.process import Process
from support.shop import Shop
from typing_extensions import override

from syncd.demo.sandbox import Sandbox

pytestmark = [pytest.mark.db, pytest.mark.timeout(180)]

RUN_AND_DIE = Path(__file__).with_name("run_and_die.py")
SIZE = 6
"""Twice the orders confirmed at a time: a batch of one order uses up no refusal."""
CAPTURING = [
    ("before-admit", 1),  # while the feed is started for the first time
    ("before-admit", 4),
    ("after-admit", 2),
    ("admitted", 2),
    ("before-move-watermark", 1),
    ("after-move-watermark", 1),
]
SENDING = [
    ("after-claim", 2),
    ("after-render", 2),
    ("before-post", 2),
    ("after-post", 2),
    ("before-deliver", 2),
    ("after-deliver", 2),
]
MOST_WAITING = 120
HALVING = ["before-split", "after-split-piece", "before-close_empty", "after-split"]
FAILING = ["after-endpoint-failed", "before-put-back", "after-put-back"]


class CrashHarness:
    """A shop whose daemon is killed; checks at the end what became of every order."""

    def __init__(self, shop: Shop, sandbox: Sandbox, folder: Path) -> None:
        self.shop = shop
        self.sandbox = sandbox
        self.config = shop.configure(folder, sandbox.endpoint, batch_size=SIZE)
        self.orders: list[str] = []

    def start_to_be_killed(self, step: str, number: int) -> Process:
        program = str(RUN_AND_DIE), step, str(number)
        return self.shop.start(self.config, program=program)

    def has_started(self) -> bool:
        return self.shop.count("feed") == 1

    def confirm_until_dead(self, process: Process) -> None:
        """Confirm orders while the daemon runs; it has to end by SIGKILL.

        A slow start of the daemon must not accumulate thousands of orders.
        """

        def is_dead() -> bool:
            is_alive = process.poll() is None and self.has_started()
            if is_alive and len(self.lost()) < MOST_WAITING:
                self.orders += self.shop.confirm(3)
            return process.poll() is not None

        wait_until(is_dead)
        assert process.wait() == -signal.SIGKILL, self.log()

    def start_again(self) -> Process:
        process = self.shop.start(self.config)
        wait_until(self.has_started)
        self.orders += self.shop.confirm(3)
        return process

    def lost(self) -> list[str]:
        return [
            order for order in self.orders if not self.sandbox.received.posts(order)
        ]

    def unsettled(self) -> object:
        return self.shop.unsettled()

    def wait_for_all(self, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while (self.lost() or self.unsettled()) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not self.lost(), self.log()
        assert self.unsettled() == 0, self.log()

    def check(self) -> int:
        """Check that every repeat was counted and that the ledger is consistent.

        Returns:
            Number of repeated events.
        """
        counted = self.shop.uncertain_attempts_of_orders()
        repeats = {
            order: self.sandbox.received.posts(order) - 1 for order in self.orders
        }
        assert not {o: n for o, n in repeats.items() if n > counted[o]}, self.log()
        assert set(self.orders) <= set(counted)
        assert self.shop.counts_agree()
        return sum(repeats.values())

    def log(self) -> str:
        return self.config.with_suffix(".log").read_text()[-4000:]


@pytest.fixture
def crash(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> CrashHarness:
    return CrashHarness(shop, sandbox, tmp_path)


def kill_at(crash: CrashHarness, step: str, number: int = 1) -> None:
    """Wait until a daemon has recovered from the last kill, then kill it at `step`."""
    crash.shop.end_back_off()
    crash.confirm_until_dead(crash.start_to_be_killed(step, number))
    crash.sandbox.clear_faults()
    assert crash.shop.counts_agree(), step


def recover(crash: CrashHarness) -> None:
    crash.shop.end_back_off()
    crash.start_again()
    crash.wait_for_all()
    crash.check()


@pytest.mark.parametrize("steps", [CAPTURING, SENDING], ids=["capturing", "sending"])
def test_no_order_is_lost_when_killed_at_each_step(
    crash: CrashHarness, steps: list[tuple[str, int]]
) -> None:
    """Kills at each step of delivery, one after the other, lose and hide nothing."""
    for step, number in steps:
        kill_at(crash, step, number)
    recover(crash)


def test_no_order_is_lost_when_killed_while_halving(crash: CrashHarness) -> None:
    """A kill while a refused batch is halved leaves the whole batch or both halves."""
    for step in HALVING:
        crash.sandbox.fail("refused")
        kill_at(crash, step)
    recover(crash)


def test_no_order_is_lost_when_killed_after_a_failure(crash: CrashHarness) -> None:
    """A kill while a failed batch is requeued loses nothing."""
    for step in FAILING:
        crash.sandbox.fail("server-error", times=None)
        kill_at(crash, step)
    recover(crash)


def test_an_unready_order_survives_a_kill(crash: CrashHarness) -> None:
    """A kill while an order without an address is postponed keeps it and the others."""
    crash.shop.sql("ALTER TABLE orders ALTER email DROP DEFAULT")
    kill_at(crash, "before-postpone")
    kill_at(crash, "after-postpone")
    crash.shop.sql("ALTER TABLE orders ALTER email SET DEFAULT 'mila@example.com'")
    crash.shop.sql("UPDATE orders SET email = DEFAULT")
    recover(crash)


@pytest.mark.parametrize("step", ["before-except", "after-except"])
def test_a_rejected_order_does_not_affect_others(
    crash: CrashHarness, step: str
) -> None:
    """A kill while an order is rejected leaves it rejected once, the others sent."""
    shop = crash.shop
    process = crash.start_to_be_killed(step, 1)
    wait_until(crash.has_started)
    bad = shop.value(
        "INSERT INTO orders (confirmed_at, email) "
        "VALUES (clock_timestamp(), 'nowhere') RETURNING id"
    )
    crash.confirm_until_dead(process)
    recover(crash)
    assert shop.row_of("ledger", state="rejected").order_key == str(bad)
    assert crash.sandbox.received.posts(f"W-{bad}") == 0


class OrderWriter(threading.Thread):
    """Confirms orders without a pause: immediately, with delay, or rolled back."""

    def __init__(self, owner: str, seed: int) -> None:
        super().__init__()
        self._owner = owner
        self._random = random.Random(seed)  # noqa: S311  # a schedule, not a secret
        self.orders: list[str] = []
        self.stopping = threading.Event()

    @override
    def run(self) -> None:
        with psycopg.connect(self._owner, autocommit=True) as connection:
            while not self.stopping.is_set():
                self._confirm(connection)
                self.stopping.wait(self._random.uniform(0, 0.1))

    def _confirm(self, connection: psycopg.Connection) -> None:
        chance = self._random.random()
        with connection.transaction(force_rollback=chance < 0.1):
            row = connection.execute(
                "INSERT INTO orders (confirmed_at) VALUES (now()) RETURNING id"
            ).fetchone()
            if chance > 0.8:
                self.stopping.wait(self._random.uniform(0, 3))
        if row and chance >= 0.1:
            self.orders.append(f"W-{row[0]}")


def wait_for_requests(sandbox: Sandbox, number: int) -> None:
    assert sandbox.received.wait_until(lambda totals: totals.requests >= number, 60)


def kill_at_random(crash: CrashHarness, kills: int, seed: int) -> tuple[int, int]:
    """Kill the daemon repeatedly while orders are confirmed.

    Returns:
        Numbers of orders and of repeated events.
    """
    chance = random.Random(seed)  # noqa: S311  # a schedule, not a secret
    process = crash.start_again()
    writers = [OrderWriter(crash.shop.owner, seed + number) for number in range(4)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(kills):
            busy = crash.sandbox.received.totals.requests + chance.randrange(1, 6)
            wait_for_requests(crash.sandbox, busy)
            time.sleep(chance.uniform(0, 0.05))
            process.kill()
            process.wait()
            process = crash.shop.start(crash.config)
    finally:
        for writer in writers:
            writer.stopping.set()
        for writer in writers:
            writer.join()
    crash.orders += [order for writer in writers for order in writer.orders]
    crash.wait_for_all(30)
    return len(crash.orders), crash.check()


def report(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{text}\n")


def test_no_order_is_lost_over_a_few_random_kills(
    crash: CrashHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight kills at random instants lose no order and hide no repeat."""
    orders, repeats = kill_at_random(crash, 8, seed=8)
    report(capsys, f"8 kills, {orders} orders, 0 lost, {repeats} repeated")


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_no_order_is_lost_over_many_random_kills(
    crash: CrashHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """SYNCD_TEST_KILLS kills at random instants lose no order and hide no repeat."""
    kills = int(os.environ.get("SYNCD_TEST_KILLS", "100"))
    seed = int(os.environ.get("SYNCD_TEST_SEED", "100"))
    orders, repeats = kill_at_random(crash, kills, seed)
    report(capsys, f"{kills} kills, {orders} orders, 0 lost, {repeats} repeated")
