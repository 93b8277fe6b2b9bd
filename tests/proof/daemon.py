"""The real daemon as a subject: a process that is killed and started again."""

import tempfile
import time
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

from support.postgres import wait_until
from support.process import Process
from support.wal_harness import install_wal

from proof.followers import TABLES
from proof.stepwise import OrderLostError
from proof.world import World
from syncd.demo.sandbox import Sandbox

WAITING = "SELECT 1 FROM syncd.outbox LIMIT 1"
WRITTEN = "SELECT pg_current_wal_insert_lsn()::text"
MARK = "INSERT INTO orders (confirmed_at) VALUES (NULL)"
REACHED = (
    "SELECT 1 FROM syncd.replication_position WHERE reached >= %(position)s::pg_lsn"
)

PATIENCE_SECONDS = 60.0


class Daemon:
    """`syncd run`, sending to the sandbox; one for many interleavings.

    Args:
        world: Its shop; made with a lookback that a busy machine keeps.
        capture: Value of `source.capture`.
    """

    application = "syncd/"
    stands_still = False

    def __init__(self, world: World, capture: str = "poll") -> None:
        self._world = world
        self._capture = capture
        if capture == "listen":
            world.shop.listen(*TABLES)
        if capture == "wal":
            install_wal(world.shop, *TABLES)
        self._stack = ExitStack()
        self._sandbox = self._stack.enter_context(Sandbox())
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        world.shop.owner, world.shop.dsn = world.owner, world.dsn
        milliseconds = world.lookback // timedelta(milliseconds=1)
        self._config = world.shop.configure(
            Path(folder),
            self._sandbox.endpoint,
            {"lookback": f"{milliseconds}ms", "capture": capture},
            batch_size=5,
        )
        self._earlier: set[str] = set()
        self._process = self._start()
        wait_until(lambda: world.shop.rows_of("watermark"), PATIENCE_SECONDS)

    def __call__(self, world: World) -> "Daemon":
        """Begin an interleaving: orders in the ledger by now belong to earlier ones."""
        assert world is self._world
        self._earlier |= {order.order_key for order in world.shop.rows_of("ledger")}
        return self

    def step(self) -> None:
        time.sleep(0.01)

    def cycle(self) -> None:
        time.sleep(0.15)

    def crash(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process = self._start()

    def settle(self) -> None:
        """Wait for its capture, and until nothing is left to send.

        The poll beside a follower runs each half minute: it is not waited for.
        """
        {"poll": self._poll, "listen": self._listen, "wal": self._read_on}[
            self._capture
        ]()
        wait_until(lambda: not self._world.shop.unsettled(), PATIENCE_SECONDS)
        posts = self._sandbox.received.posts
        if unsent := [k for k in self._world.confirmed() if not posts(f"W-{k}")]:
            rows = self._world.shop.captured_orders(order_key=unsent)
            raise OrderLostError(f"settled, and never sent: {unsent} {rows}")

    def _poll(self) -> None:
        moment = self._world.clock()
        wait_until(lambda: self.watermark() >= moment, PATIENCE_SECONDS)

    def _listen(self) -> None:
        wait_until(lambda: not self._world.rows(WAITING), PATIENCE_SECONDS)

    def _read_on(self) -> None:
        """Wait until it has read past now, which only an order makes it report."""
        ((position,),) = self._world.rows(WRITTEN)
        self._world.rows(MARK)
        wait_until(
            lambda: self._world.rows(REACHED, position=position), PATIENCE_SECONDS
        )

    def watermark(self) -> datetime:
        return self._world.shop.watermark()

    def taken(self) -> list[str]:
        orders = self._world.shop.rows_of("ledger")
        return [o.order_key for o in orders if o.order_key not in self._earlier]

    def disturb(self, *, broken: bool) -> None:
        """Do nothing: it installed nothing into the shop."""

    def close(self) -> None:
        """Keep it running for the next interleaving."""

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._stack.close()

    def _start(self) -> Process:
        return self._world.shop.start(self._config)
