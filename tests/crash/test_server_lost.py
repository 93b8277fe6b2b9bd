"""The server is lost between two steps of a daemon that survives, with its commits.

It crashes with commits that are not on disk yet (`synchronous_commit = off`), or a
lagging standby takes over. Whatever is lost with it: no order is lost, none is
delivered that was not sent, and each repeat is counted.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, cast

import pytest
from psycopg.conninfo import make_conninfo
from support.feed_harness import ago
from support.postgres import SETTINGS, Cluster, cluster, wait_until
from support.shop import Shop

import syncd
from syncd.demo.sandbox import Sandbox
from syncd.ledger.batches import Ledger
from syncd.ledger.feed import FeedStore
from syncd.postgres.database import Database
from syncd.source.connections import Connections
from syncd.source.orders import Source

pytestmark = [pytest.mark.db, pytest.mark.timeout(900)]

BESIDE_A_CRASH = Path(__file__).with_name("run_beside_a_crash.py")
LEFT = 75
RELAXED = {**SETTINGS, "synchronous_commit": "off", "wal_writer_delay": "10s"}
DURABLY = "-c synchronous_commit=on"


class ServerLossHarness:
    """A shop whose server is lost while a pass of the daemon waits."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self._stack = ExitStack()
        self.server = self._open(cluster(RELAXED))
        self.server.sql("CREATE DATABASE shop")
        self.shop = Shop.open(self.server.dsn("shop"))
        self.orders: list[str] = []
        self._daemon: subprocess.Popen[bytes] | None = None
        self._start_passes()

    def _open(self, made: object) -> Cluster:
        return cast("Cluster", self._stack.enter_context(made))  # type: ignore[arg-type]  # a cluster

    def _start_passes(self, *standbys: Cluster) -> None:
        """Start the process that runs passes, with the present servers."""
        self.end()
        hosts = ",".join(str(s.folder) for s in (self.server, *standbys))
        self.shop.owner = make_conninfo(self.server.dsn("shop"), options=DURABLY)
        role = make_conninfo(self.server.dsn("shop", self.shop.role), host=hosts)
        self.shop.dsn = make_conninfo(role, target_session_attrs="read-write")
        config = self.shop.configure(
            self.folder, self.sandbox.endpoint, batch_size=4, timeout="60s"
        )
        with (self.folder / "log").open("a") as log:
            self._daemon = subprocess.Popen(
                [sys.executable, str(BESIDE_A_CRASH), str(config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={
                    **os.environ,
                    "PYTHONPATH": str(Path(syncd.__file__).parents[1]),
                    "SYNCD_SQUEEZELY_API_KEY": "sandbox-key",
                },
            )

    def end(self) -> None:
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.communicate()

    def close(self) -> None:
        self.end()
        self.shop.close()
        self._stack.close()

    def _send(self, text: bytes) -> None:
        assert self._daemon
        pipe = cast("IO[bytes]", self._daemon.stdin)
        pipe.write(text)
        pipe.flush()

    def _receive(self) -> bytes:
        assert self._daemon
        return cast("IO[bytes]", self._daemon.stdout).readline()

    def run(self) -> tuple[int, int, int, int]:
        """Run a pass; return how it ended, its steps, the API's first and last one."""
        self._send(b"0\n")
        code, passed, first, last = map(int, self._receive().split())
        return code, passed, first, last

    def confirm_orders(self) -> None:
        self.orders += self.shop.confirm(2)

    def crash_at(self, step: int) -> None:
        """Crash the server at a step of a pass, and capture orders after it."""
        self._send(b"%d\n" % step)
        if self._receive() != b"now\n":
            return
        self.server.stop("immediate")
        self.server.start()
        self._capture_meanwhile()
        self._send(b"\n")
        self._receive()

    def promote_at(self, step: int) -> None:
        """Promote a standby that has nothing of a pass at one of its steps."""
        second = self._open(cluster({"synchronous_commit": "on"}, primary=self.server))
        self._start_passes(second)
        self._fall_behind(second)
        self._send(b"%d\n" % step)
        waits = self._receive() == b"now\n"
        self.server.stop("immediate")
        second.promote()
        self.server = second
        self.shop.owner = make_conninfo(second.dsn("shop"), options=DURABLY)
        if waits:
            self._capture_meanwhile()
            self._send(b"\n")
            self._receive()
        self._start_passes()

    def _fall_behind(self, second: Cluster) -> None:
        position = self.shop.value("SELECT pg_current_wal_flush_lsn()::text")
        reached = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
        wait_until(lambda: second.holds(reached))
        second.set("primary_conninfo", "")
        gone = "SELECT count(*) = 0 FROM pg_stat_wal_receiver"
        wait_until(lambda: second.holds(gone))

    def _capture_meanwhile(self) -> None:
        """Capture an order by another daemon: it may join a pending batch."""
        self.orders += self.shop.confirm(1)
        with closing(Database(self.shop.dsn)) as database:
            feed = FeedStore(Connections(database, database), "shop").get()
            ledger = Ledger(database, feed.feed_id)
            source = Source(database, "syncd.confirmed_orders", "syncd.purchases")
            with ledger.admission() as watermark:
                ledger.admit(source.between(watermark, "infinity"), "poll", size=4)

    def recover(self) -> None:
        """Run complete passes until nothing is left."""
        for _ in range(20):
            self.shop.end_back_off()
            self.shop.update("batch", {"due_at": "-infinity"})
            self.shop.update("batch", {"lease_until": ago()}, state="sending")
            if self.run()[0] == 0:
                return
        pytest.fail("something is left for ever")

    def check_orders(self, step: int) -> int:
        """Check every order; return the number of repeats."""
        posts = self.sandbox.received.posts
        rows = self.shop.captured_orders(state=None)
        counted = {f"W-{o.order_key}": o.batch.uncertain_attempts for o in rows}
        delivered = [o.order_key for o in rows if o.standing == "delivered"]
        assert [key for key in delivered if not posts(f"W-{key}")] == [], (step, rows)
        assert [o for o in self.orders if not posts(o)] == [], (step, rows)
        hidden = {o: posts(o) for o in self.orders if posts(o) - 1 > counted[o]}
        assert hidden == {}, (step, rows)
        repeats = sum(posts(order) - 1 for order in self.orders)
        self.orders.clear()
        return repeats


@pytest.fixture
def loss(tmp_path: Path) -> Iterator[ServerLossHarness]:
    with Sandbox() as sandbox:
        opened = ServerLossHarness(sandbox, tmp_path)
        assert opened.run()[0] == 0
        yield opened
        opened.close()


def lose_at_steps(
    loss: ServerLossHarness, disaster: str, around: int, stride: int
) -> None:
    """Lose the server at steps from before the claim until after the settlement."""
    loss.confirm_orders()
    code, passed, first, last = loss.run()
    assert code in {0, LEFT}
    loss.recover()
    loss.check_orders(0)
    assert 0 < first < last
    repeated = tried = 0
    for step in range(max(1, first - around), min(passed, last + around) + 1, stride):
        loss.confirm_orders()
        getattr(loss, f"{disaster}_at")(step)
        loss.recover()
        repeated += loss.check_orders(step)
        tried += 1
    sys.stderr.write(f"{disaster}: {tried} of {passed} steps, {repeated} repeated\n")


@pytest.mark.parametrize(("disaster", "stride"), [("crash", 3), ("promote", 9)])
def test_a_server_lost_while_sending_loses_and_hides_nothing(
    loss: ServerLossHarness, disaster: str, stride: int
) -> None:
    """Some steps around the exchange with the API; all with `-m soak`."""
    lose_at_steps(loss, disaster, 4, stride)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("disaster", ["crash", "promote"])
def test_a_server_lost_at_every_step_loses_and_hides_nothing(
    loss: ServerLossHarness, disaster: str
) -> None:
    """The steps range from the start of a pass to its end."""
    lose_at_steps(loss, disaster, 1000, 1)
