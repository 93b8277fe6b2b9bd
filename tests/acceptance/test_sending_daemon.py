"""The daemon keeps delivery's promises: order, waiting, recovery."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.command import syncd
from support.postgres import wait_until
from support.shop import Shop

from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db


@dataclass
class RunningDaemon:
    """A shop, its daemon, and the fake API."""

    shop: Shop
    sandbox: Sandbox
    folder: Path

    def run(self, **squeezely: object) -> None:
        """Start the daemon; it must not end before `stop`."""
        endpoint = self.sandbox.endpoint
        config = self.shop.configure(self.folder, endpoint, None, **squeezely)
        self._log = config.with_suffix(".log")
        self._daemon = self.shop.start(config)
        wait_until(lambda: self.events("heartbeat"))

    def events(self, name: str) -> list[dict[str, object]]:
        lines = self._log.read_text().splitlines(keepends=True)
        read = [json.loads(line) for line in lines if line.endswith("\n")]
        return [line for line in read if line["event"] == name]

    def arrived(self, orders: list[str]) -> Callable[[], bool]:
        return lambda: all(self.sandbox.received.posts(order) for order in orders)

    def received(self) -> list[str]:
        return [purchase.orderid for purchase in self.sandbox.received.purchases()]

    def status(self) -> dict[str, object]:
        config = self._log.with_suffix(".toml")
        done = syncd("status", "--json", "--config", config)
        facts: dict[str, object] = json.loads(done.stdout)
        return facts

    def stop(self) -> None:
        self._daemon.terminate()
        assert self._daemon.wait(60) == 0
        assert "Traceback" not in self._log.read_text()


@pytest.fixture
def running(shop: Shop, tmp_path: Path) -> Iterator[RunningDaemon]:
    with Sandbox() as sandbox:
        yield RunningDaemon(shop, sandbox, tmp_path)


@pytest.mark.parametrize(
    "trouble",
    [("server-error", {"status": 503}), ("accept-then-drop", {})],
    ids=["refused by a gateway", "its answer lost"],
)
def test_orders_are_sent_strictly_in_the_order_of_confirmation(
    running: RunningDaemon, trouble: tuple[str, dict[str, object]]
) -> None:
    """Orders behind a failing batch wait for it."""
    name, options = trouble
    running.run(batch_size=5)
    running.sandbox.fail(name, times=3, **options)
    orders = [order for _ in range(20) for order in running.shop.confirm(3)]
    wait_until(running.arrived(orders))
    running.stop()
    assert running.received() == orders
    assert len(running.events("batch.deferred")) == 3


def test_several_batches_in_flight_send_everything_once(running: RunningDaemon) -> None:
    """Four at a time in one process, in any order."""
    running.run(batch_size=5, max_in_flight=4)
    running.sandbox.fail("latency", times=1_000, seconds=0.3)
    orders = running.shop.confirm(100)
    wait_until(lambda: running.shop.batches("sending") == 4)
    wait_until(running.arrived(orders))
    running.sandbox.fail("server-error", times=3, status=503)
    orders += [order for _ in range(20) for order in running.shop.confirm(5)]
    wait_until(running.arrived(orders))
    running.stop()
    assert {running.sandbox.received.posts(order) for order in orders} == {1}
    assert running.shop.uncertain_attempts() == 0


BROKEN = [
    ("DROP VIEW syncd.purchases", "syncd.purchases"),
    ("DROP VIEW syncd.confirmed_orders", "syncd.confirmed_orders"),
    ("ALTER VIEW syncd.purchases RENAME order_key TO key", "order_key"),
    ("ALTER VIEW syncd.purchases RENAME currency TO valuta", "valuta"),
    ("REVOKE SELECT ON syncd.purchases FROM {role}", "permission denied"),
]


@pytest.mark.parametrize(
    ("broken", "expected"), BROKEN, ids=[expected for _, expected in BROKEN]
)
def test_a_view_that_a_migration_breaks_holds_the_feed_until_it_is_back(
    running: RunningDaemon, broken: str, expected: str
) -> None:
    """One clear line, in `status` too; no order is rejected, none is lost."""
    running.run()
    before = running.shop.confirm(3)
    wait_until(running.arrived(before))
    running.shop.sql(broken.format(role=running.shop.role))
    held = running.shop.confirm(3)
    wait_until(lambda: running.events("views.unavailable"))
    facts = running.status()
    assert (facts["healthy"], expected in str(facts["source"])) == (False, True)
    running.shop.recreate_views()
    held += running.shop.confirm(3)
    wait_until(running.arrived(held))
    wait_until(lambda: running.events("database.recovered"))
    wait_until(lambda: running.status()["healthy"])
    running.stop()
    reasons = {str(line["reason"]) for line in running.events("views.unavailable")}
    assert all(expected in reason for reason in reasons), reasons
    assert len(running.events("views.unavailable")) == len(reasons)
    assert running.shop.exceptions() == []
    assert {running.sandbox.received.posts(order) for order in before + held} == {1}


def test_a_daemon_that_stops_over_a_broken_view_leaves_no_uncertainty(
    running: RunningDaemon,
) -> None:
    """Its claim was never sent, so it is no possible repeat."""
    running.run(on_uncertain="hold")
    running.shop.sql("DROP VIEW syncd.purchases")
    orders = running.shop.confirm(3)
    wait_until(lambda: running.events("views.unavailable"))
    running.stop()
    running.shop.recreate_views()
    running.run(on_uncertain="hold")
    wait_until(running.arrived(orders))
    running.stop()
    assert running.events("batch.uncertain") == []
    assert running.shop.uncertain_attempts() == 0


def test_run_once_over_a_broken_view_leaves_no_uncertainty(
    running: RunningDaemon,
) -> None:
    """It runs as from cron; meanwhile commands for waiting orders work."""
    config = running.shop.configure(
        running.folder, running.sandbox.endpoint, on_uncertain="hold"
    )
    assert syncd("run", "--once", "--config", config).returncode == 0
    running.sandbox.fail("accept-then-drop", times=1)
    running.shop.confirm(1)
    syncd("run", "--once", "--config", config)
    syncd("resume", "--config", config)
    (order,) = running.shop.confirm(1)
    running.shop.sql(f"REVOKE SELECT ON syncd.purchases FROM {running.shop.role}")
    assert syncd("run", "--once", "--config", config).returncode == 77
    listed = syncd("uncertain", "list", "--config", config)
    assert (listed.returncode, listed.stdout[:1]) == (0, "1"), listed.stderr
    given_up = syncd("uncertain", "discard", "1", "--yes", "--config", config)
    assert given_up.returncode == 0, given_up.stderr
    retried = syncd("rejected", "retry", "1", "--config", config)
    assert retried.returncode == 0, retried.stderr
    running.shop.recreate_views()
    assert syncd("run", "--once", "--config", config).returncode == 0
    assert [running.sandbox.received.posts(number) for number in ("W-1", order)] == [
        2,
        1,
    ]
    uncertain = [b for b in running.shop.rows_of("batch") if b.uncertain_attempts > 0]
    assert sum(batch.orders for batch in uncertain) == 1


def test_a_migration_may_change_the_type_of_the_key(running: RunningDaemon) -> None:
    """After a change to bigint, larger keys fit."""
    shop = running.shop
    shop.sql("DROP VIEW syncd.purchases, syncd.confirmed_orders; "
             "ALTER TABLE orders ALTER id TYPE integer")  # fmt: skip
    shop.recreate_views()
    running.run()
    orders = shop.confirm(3)
    wait_until(running.arrived(orders))
    shop.sql("DROP VIEW syncd.purchases, syncd.confirmed_orders; "
             "ALTER TABLE orders ALTER id TYPE bigint, ALTER id RESTART 3000000000; "
             + shop.views())  # fmt: skip
    orders += [order for _ in range(3) for order in shop.confirm(1)]
    wait_until(running.arrived(orders))
    running.stop()
    assert shop.exceptions() == []


def test_a_withdrawn_order_that_is_confirmed_again_is_sent(
    running: RunningDaemon,
) -> None:
    """A customer's payment bounced, and was made again."""
    running.run()
    (order,) = running.shop.rows(
        "INSERT INTO orders (confirmed_at, email) VALUES (clock_timestamp(), NULL) "
        "RETURNING 'W-' || id"
    )[0]
    wait_until(lambda: running.events("orders.waiting"))
    running.shop.sql("CREATE TABLE away AS TABLE orders; DELETE FROM orders")
    wait_until(lambda: running.events("orders.withdrawn"))
    running.shop.sql(
        "INSERT INTO orders OVERRIDING SYSTEM VALUE SELECT id, clock_timestamp(), "
        "'mila@example.com', total, products FROM away"
    )
    wait_until(running.arrived([str(order)]))
    wait_until(lambda: running.status()["withdrawn"] == 0)
    running.stop()
    assert running.sandbox.received.posts(str(order)) == 1


def test_what_another_transaction_adds_is_waited_for(running: RunningDaemon) -> None:
    """Lines, an address, or the whole row; the other orders are sent at once."""
    running.shop.sql("CREATE TABLE late (id bigint); CREATE OR REPLACE VIEW "
                  "syncd.purchases AS SELECT id AS order_key, 'W-' || id AS orderid, "
                  "email, 'EUR' AS currency, total AS totalvalue, products FROM orders "
                  "WHERE id NOT IN (TABLE late)")  # fmt: skip
    running.run(timeout="5s")
    running.shop.sql(
        "BEGIN; INSERT INTO late VALUES (3); "
        "INSERT INTO orders (confirmed_at, email, products) VALUES "
        "(clock_timestamp(), NULL, DEFAULT), (clock_timestamp(), DEFAULT, '[]'), "
        "(clock_timestamp(), DEFAULT, DEFAULT); COMMIT"
    )
    whole = running.shop.confirm(2)
    wait_until(running.arrived(whole))
    late = ["W-1", "W-2", "W-3"]
    wait_until(lambda: running.events("orders.waiting"))
    assert [running.sandbox.received.posts(order) for order in late] == [0, 0, 0]
    running.shop.sql(
        "UPDATE orders SET email = DEFAULT, products = DEFAULT; TRUNCATE late"
    )
    wait_until(running.arrived(late))
    running.stop()
    assert running.events("orders.rejected") == []
    assert {running.sandbox.received.posts(order) for order in whole + late} == {1}
