"""Killed at every statement, every piece of a request and every file."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.shop import Shop
from support.wal_harness import install_wal

import syncd
from syncd.demo.sandbox import Sandbox

pytestmark = [pytest.mark.db, pytest.mark.timeout(900)]

STEP_BY_STEP = Path(__file__).with_name("run_step_by_step.py")
LEFT = 75


class StepwiseDaemon:
    """A shop, and daemons that run one pass and are killed at a given step."""

    def __init__(
        self, shop: Shop, sandbox: Sandbox, folder: Path, capture: str
    ) -> None:
        self.shop = shop
        self.sandbox = sandbox
        if capture == "listen":
            shop.listen("orders:id")
        elif capture == "wal":
            install_wal(shop, "orders:id")
        reading = {"capture": capture}
        config = shop.configure(folder, sandbox.endpoint, reading, batch_size=2)
        log = (folder / "log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, str(STEP_BY_STEP), str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(syncd.__file__).parents[1]),
                "SYNCD_SQUEEZELY_API_KEY": "sandbox-key",
            },
        )
        log.close()
        shop.processes.append(self._process)
        self._ranges = 0
        self.orders: list[str] = []
        self.rejected: list[str] = []

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            assert stream
            stream.close()
        self._process.wait(60)

    def run(self, fatal: int = 0) -> tuple[int, int]:
        """Run one pass; return how it ended and its number of steps."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{fatal}\n")
        self._process.stdin.flush()
        code, passed = self._process.stdout.readline().split()
        return int(code), int(passed)

    def confirm_orders(self, trouble: str | None) -> None:
        """Confirm three orders, one of them unsendable, perhaps with a failing API.

        And start a backfill of two past ones, in a range of their own.
        """
        self.orders += self.shop.confirm(2)
        self._start_backfill()
        bad = self.shop.value(
            "INSERT INTO orders (confirmed_at, email) "
            "VALUES (clock_timestamp(), 'nowhere') RETURNING id"
        )
        self.rejected.append(str(bad))
        if trouble:
            self.sandbox.fail(trouble, times=1)

    def _start_backfill(self) -> None:
        self._ranges += 1
        hour = timedelta(hours=1)
        begin = datetime(2020, 1, 1, tzinfo=UTC) + self._ranges * hour
        rows = self.shop.rows(
            f"INSERT INTO orders (confirmed_at) SELECT '{begin}'::timestamptz "
            "+ n * interval '1 min' FROM generate_series(1, 2) AS n RETURNING id"
        )
        self.orders += [f"W-{row[0]}" for row in rows]
        times = {"lower_at": begin, "reached_at": begin, "upper_at": begin + hour}
        self.shop.insert("backfill", feed_id=self.shop.row_of("feed").feed_id, **times)

    def recover(self) -> None:
        """Run complete passes until nothing is left."""
        self.sandbox.clear_faults()
        for _ in range(20):
            self.shop.end_back_off()
            self.shop.make_batches_due()
            if self.run()[0] != LEFT:
                return
        pytest.fail("something is left for ever")

    def check_orders(self) -> int:
        """Check the orders sold since the last check; return the number of repeats."""
        posts = {order: self.sandbox.received.posts(order) for order in self.orders}
        assert [order for order, number in posts.items() if number == 0] == []
        counted = self.shop.uncertain_attempts_of_orders()
        assert [o for o, n in posts.items() if n - 1 > counted[o]] == []
        rejected = self.shop.rows_of("ledger", state="rejected")
        assert {order.order_key for order in rejected} >= set(self.rejected)
        self.orders.clear()
        self.rejected.clear()
        return sum(number - 1 for number in posts.values())


@pytest.fixture(params=["poll", "listen", "wal"])
def stepwise(
    request: pytest.FixtureRequest, wal_shop: Shop, tmp_path: Path
) -> Iterator[StepwiseDaemon]:
    with Sandbox() as sandbox:
        opened = StepwiseDaemon(wal_shop, sandbox, tmp_path, request.param)
        assert opened.run()[0] == 0
        yield opened
        opened.close()


def kill_at_steps(stepwise: StepwiseDaemon, trouble: str | None, stride: int) -> None:
    """Kill a pass at every `stride`th of its steps; no order is lost or uncounted."""
    stepwise.confirm_orders(trouble)
    code, steps = stepwise.run()
    assert code in {0, LEFT}
    stepwise.recover()
    stepwise.check_orders()
    assert steps > 20
    # The one batch in flight; and that of a response that made it uncertain, if it was
    # sent again within the same pass.
    most = 4 if trouble in {"accept-then-drop", "count-short"} else 2
    repeated = kills = 0
    for fatal in range(1, steps + 1, stride):
        stepwise.confirm_orders(trouble)
        code, _ = stepwise.run(fatal)
        kills += code == -signal.SIGKILL
        stepwise.recover()
        repeats = stepwise.check_orders()
        assert repeats <= most, fatal
        repeated += repeats
    assert kills > steps // stride * 0.8
    sys.stderr.write(
        f"{trouble}: {kills} kills of {steps} steps, {repeated} repeated\n"
    )


def test_a_kill_at_some_steps_loses_and_hides_nothing(stepwise: StepwiseDaemon) -> None:
    """The marker `soak` tests all steps."""
    kill_at_steps(stepwise, None, 11)


@pytest.mark.soak
@pytest.mark.parametrize(
    "trouble",
    [None, "refused", "server-error", "accept-then-drop", "count-short", "too-large"],
)
def test_a_kill_at_every_step_loses_and_hides_nothing(
    stepwise: StepwiseDaemon, trouble: str | None
) -> None:
    """Each statement and each piece of a request, with and without faults."""
    kill_at_steps(stepwise, trouble, 1)
