"""Killed during pruning: every step is atomic, and the next turn continues."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.feed_harness import FeedHarness, ago
from support.ledger_rows import delivered_batch
from support.shop import Shop

import syncd

pytestmark = [pytest.mark.db, pytest.mark.timeout(180)]

RUN = Path(__file__).with_name("run_pruning.py")
BATCHES = 7


def seed(shop: Shop) -> None:
    """Deliver orders, two months ago."""
    for _ in range(BATCHES):
        batch = shop.insert("batch", **delivered_batch(ago(days=60), 2))
        order = {"feed_id": 1, "confirmed_at": ago(), "batch_id": batch.batch_id}
        keys = (f"{batch.batch_id}-{n}" for n in (1, 2))
        shop.insert_many("ledger", ({**order, "order_key": key} for key in keys))


def sums(shop: Shop) -> tuple[int, int, int]:
    """Return the sum of delivered batches' counts, all orders, the delivered ones."""
    orders = shop.captured_orders()
    delivered = [order for order in orders if order.batch.state == "delivered"]
    return shop.batch_orders(state="delivered"), len(orders), len(delivered)


def test_a_kill_at_any_step_of_pruning_loses_nothing(
    shop: Shop, tmp_path: Path
) -> None:
    """After each one the sums are correct; the rest is pruned later."""
    feed = FeedHarness(shop)
    config = shop.configure(tmp_path, "http://127.0.0.1:9/x")
    process = subprocess.Popen(
        [sys.executable, str(RUN), str(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(syncd.__file__).parents[1]),
            "SYNCD_SQUEEZELY_API_KEY": "sandbox-key",
        },
    )
    shop.processes.append(process)
    assert process.stdin
    assert process.stdout

    def prune(fatal: int) -> tuple[int, int]:
        assert process.stdin
        assert process.stdout
        shop.update("feed", {"pruned_at": None})
        process.stdin.write(f"{fatal}\n")
        process.stdin.flush()
        code, steps = process.stdout.readline().split()
        return int(code), int(steps)

    seed(shop)
    code, steps = prune(0)
    assert code == 0
    killed = 0
    for number, fatal in enumerate(range(1, steps + 1, 2), 2):
        seed(shop)
        orders = number * BATCHES * 2
        code, _ = prune(fatal)
        killed += code == -signal.SIGKILL
        assert sums(shop) == (orders, orders, orders), fatal
    assert killed > 10
    assert prune(0)[0] == 0
    assert shop.batches() == 1
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()
    feed.close()
