"""Killed in the middle of pruning: every step is whole, and the next turn goes on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.ledgers import Started
from support.shop import Shop

import syncd

pytestmark = [pytest.mark.db, pytest.mark.timeout(180)]

RUN = Path(__file__).with_name("run_pruning.py")
BATCHES = 7
SUMS = """
SELECT (SELECT sum(orders)::int FROM syncd.batch WHERE state = 'delivered'),
       (SELECT count(DISTINCT order_key)::int FROM syncd.ledger),
       (SELECT count(*)::int FROM syncd.ledger JOIN syncd.batch USING (batch_id)
         WHERE syncd.batch.state = 'delivered')
"""
SEED = f"""
WITH made AS (
    INSERT INTO syncd.batch
           (feed_id, lane, state, orders, oldest_at, settled_at, created_at,
            is_pruned)
    SELECT feed_id, 'live', 'delivered', 2, now(), now(), now() - interval '60 days',
           true
      FROM syncd.feed, generate_series(1, {BATCHES})
    RETURNING batch_id, feed_id
)
INSERT INTO syncd.ledger (feed_id, order_key, confirmed_at, batch_id)
SELECT m.feed_id, m.batch_id || '-' || n, now(), m.batch_id
  FROM made AS m, generate_series(1, 2) AS n
"""


def test_a_kill_at_any_step_of_thinning_loses_nothing(
    shop: Shop, tmp_path: Path
) -> None:
    """After each one the sums are right; what is left is pruned later."""
    feed = Started(shop)
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

    def thin(fatal: int) -> tuple[int, int]:
        assert process.stdin
        assert process.stdout
        feed.state("UPDATE syncd.feed SET pruned_at = NULL")
        process.stdin.write(f"{fatal}\n")
        process.stdin.flush()
        code, steps = process.stdout.readline().split()
        return int(code), int(steps)

    feed.state(SEED)
    code, steps = thin(0)
    assert code == 0
    killed = 0
    for number, fatal in enumerate(range(1, steps + 1, 2), 2):
        feed.state(SEED)
        orders = number * BATCHES * 2
        code, _ = thin(fatal)
        killed += code == -signal.SIGKILL
        assert shop.rows(SUMS) == [(orders, orders, orders)], fatal
    assert killed > 10
    assert thin(0)[0] == 0
    assert shop.batches() == 1
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()
    feed.close()
