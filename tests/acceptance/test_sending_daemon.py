"""What delivery promises, kept by the daemon itself: order, waiting, going on."""

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
class Post:
    """A shop, its daemon, and a fake of the API."""

    shop: Shop
    sandbox: Sandbox
    folder: Path

    def run(self, **squeezely: object) -> None:
        """Start the daemon; nothing may stop it before `stop` does."""
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
        return lambda: all(self.sandbox.book.posts(order) for order in orders)

    def received(self) -> list[str]:
        return [purchase.orderid for purchase in self.sandbox.book.purchases()]

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
def sending_post(shop: Shop, tmp_path: Path) -> Iterator[Post]:
    with Sandbox() as sandbox:
        yield Post(shop, sandbox, tmp_path)


@pytest.mark.parametrize(
    "trouble",
    [("server-error", {"status": 503}), ("accept-then-drop", {})],
    ids=["refused by a gateway", "its answer lost"],
)
def test_orders_are_sent_strictly_in_the_order_of_confirmation(
    sending_post: Post, trouble: tuple[str, dict[str, object]]
) -> None:
    """Also those behind a batch that fails: they wait for it."""
    name, options = trouble
    sending_post.run(batch_size=5)
    sending_post.sandbox.fail(name, times=3, **options)
    orders = [order for _ in range(20) for order in sending_post.shop.confirm(3)]
    wait_until(sending_post.arrived(orders))
    sending_post.stop()
    assert sending_post.received() == orders
    assert len(sending_post.events("batch.deferred")) == 3


def test_several_in_flight_send_everything_once(sending_post: Post) -> None:
    """Four at a time in one process, whatever the order."""
    sending_post.run(batch_size=5, max_in_flight=4)
    sending_post.sandbox.fail("latency", times=1_000, seconds=0.3)
    orders = sending_post.shop.confirm(100)
    wait_until(lambda: sending_post.shop.batches("sending") == 4)
    wait_until(sending_post.arrived(orders))
    sending_post.sandbox.fail("server-error", times=3, status=503)
    orders += [order for _ in range(20) for order in sending_post.shop.confirm(5)]
    wait_until(sending_post.arrived(orders))
    sending_post.stop()
    assert {sending_post.sandbox.book.posts(order) for order in orders} == {1}
    assert sending_post.shop.uncertain_attempts() == 0


BROKEN = [
    ("DROP VIEW syncd.purchases", "syncd.purchases"),
    ("DROP VIEW syncd.confirmed_orders", "syncd.confirmed_orders"),
    ("ALTER VIEW syncd.purchases RENAME order_key TO key", "order_key"),
    ("ALTER VIEW syncd.purchases RENAME currency TO valuta", "valuta"),
    ("REVOKE SELECT ON syncd.purchases FROM {role}", "permission denied"),
]


@pytest.mark.parametrize(("broken", "said"), BROKEN, ids=[said for _, said in BROKEN])
def test_a_view_that_a_migration_breaks_holds_the_feed_until_it_is_back(
    sending_post: Post, broken: str, said: str
) -> None:
    """One clear line, in `status` too; no order is blamed, none is lost."""
    sending_post.run()
    before = sending_post.shop.confirm(3)
    wait_until(sending_post.arrived(before))
    sending_post.shop.sql(broken.format(role=sending_post.shop.role))
    held = sending_post.shop.confirm(3)
    wait_until(lambda: sending_post.events("views.unavailable"))
    facts = sending_post.status()
    assert (facts["healthy"], said in str(facts["source"])) == (False, True)
    sending_post.shop.recreate_views()
    held += sending_post.shop.confirm(3)
    wait_until(sending_post.arrived(held))
    wait_until(lambda: sending_post.events("database.recovered"))
    wait_until(lambda: sending_post.status()["healthy"])
    sending_post.stop()
    reasons = {str(line["reason"]) for line in sending_post.events("views.unavailable")}
    assert all(said in reason for reason in reasons), reasons
    assert len(sending_post.events("views.unavailable")) == len(reasons)
    assert sending_post.shop.exceptions() == []
    assert {sending_post.sandbox.book.posts(order) for order in before + held} == {1}


def test_a_daemon_that_stops_over_a_broken_view_leaves_no_doubt(
    sending_post: Post,
) -> None:
    """What it had claimed was never sent, so it is no possible repeat."""
    sending_post.run(on_uncertain="hold")
    sending_post.shop.sql("DROP VIEW syncd.purchases")
    orders = sending_post.shop.confirm(3)
    wait_until(lambda: sending_post.events("views.unavailable"))
    sending_post.stop()
    sending_post.shop.recreate_views()
    sending_post.run(on_uncertain="hold")
    wait_until(sending_post.arrived(orders))
    sending_post.stop()
    assert sending_post.events("batch.uncertain") == []
    assert sending_post.shop.uncertain_attempts() == 0


def test_a_single_pass_over_a_broken_view_leaves_no_doubt(sending_post: Post) -> None:
    """As from cron; and what waits for a person can be decided meanwhile."""
    config = sending_post.shop.configure(
        sending_post.folder, sending_post.sandbox.endpoint, on_uncertain="hold"
    )
    assert syncd("run", "--once", "--config", config).returncode == 0
    sending_post.sandbox.fail("accept-then-drop", times=1)
    sending_post.shop.confirm(1)
    syncd("run", "--once", "--config", config)
    syncd("resume", "--config", config)
    (order,) = sending_post.shop.confirm(1)
    sending_post.shop.sql(
        f"REVOKE SELECT ON syncd.purchases FROM {sending_post.shop.role}"
    )
    assert syncd("run", "--once", "--config", config).returncode == 77
    listed = syncd("uncertain", "list", "--config", config)
    assert (listed.returncode, listed.stdout[:1]) == (0, "1"), listed.stderr
    given_up = syncd("uncertain", "discard", "1", "--yes", "--config", config)
    assert given_up.returncode == 0, given_up.stderr
    retried = syncd("rejected", "retry", "1", "--config", config)
    assert retried.returncode == 0, retried.stderr
    sending_post.shop.recreate_views()
    assert syncd("run", "--once", "--config", config).returncode == 0
    assert [sending_post.sandbox.book.posts(number) for number in ("W-1", order)] == [
        2,
        1,
    ]
    uncertain = [
        b for b in sending_post.shop.rows_of("batch") if b.uncertain_attempts > 0
    ]
    assert sum(batch.orders for batch in uncertain) == 1


def test_a_migration_may_change_the_type_of_the_key(sending_post: Post) -> None:
    """As to bigint, before the numbers run out: keys that did not fit before do."""
    shop = sending_post.shop
    shop.sql("DROP VIEW syncd.purchases, syncd.confirmed_orders; "
             "ALTER TABLE orders ALTER id TYPE integer")  # fmt: skip
    shop.recreate_views()
    sending_post.run()
    orders = shop.confirm(3)
    wait_until(sending_post.arrived(orders))
    shop.sql("DROP VIEW syncd.purchases, syncd.confirmed_orders; "
             "ALTER TABLE orders ALTER id TYPE bigint, ALTER id RESTART 3000000000; "
             + shop.views())  # fmt: skip
    orders += [order for _ in range(3) for order in shop.confirm(1)]
    wait_until(sending_post.arrived(orders))
    sending_post.stop()
    assert shop.exceptions() == []


def test_a_withdrawn_order_that_is_confirmed_again_is_sent(sending_post: Post) -> None:
    """A customer's payment bounced, and then came."""
    sending_post.run()
    (order,) = sending_post.shop.rows(
        "INSERT INTO orders (confirmed_at, email) VALUES (clock_timestamp(), NULL) "
        "RETURNING 'W-' || id"
    )[0]
    wait_until(lambda: sending_post.events("orders.waiting"))
    sending_post.shop.sql("CREATE TABLE away AS TABLE orders; DELETE FROM orders")
    wait_until(lambda: sending_post.events("orders.withdrawn"))
    sending_post.shop.sql(
        "INSERT INTO orders OVERRIDING SYSTEM VALUE SELECT id, clock_timestamp(), "
        "'mila@example.com', total, products FROM away"
    )
    wait_until(sending_post.arrived([str(order)]))
    wait_until(lambda: sending_post.status()["withdrawn"] == 0)
    sending_post.stop()
    assert sending_post.sandbox.book.posts(str(order)) == 1


def test_what_another_transaction_adds_is_waited_for(sending_post: Post) -> None:
    """Lines, an address, or the whole row; the orders beside them go at once."""
    sending_post.shop.sql("CREATE TABLE late (id bigint); CREATE OR REPLACE VIEW "
                  "syncd.purchases AS SELECT id AS order_key, 'W-' || id AS orderid, "
                  "email, 'EUR' AS currency, total AS totalvalue, products FROM orders "
                  "WHERE id NOT IN (TABLE late)")  # fmt: skip
    sending_post.run(timeout="5s")
    sending_post.shop.sql(
        "BEGIN; INSERT INTO late VALUES (3); "
        "INSERT INTO orders (confirmed_at, email, products) VALUES "
        "(clock_timestamp(), NULL, DEFAULT), (clock_timestamp(), DEFAULT, '[]'), "
        "(clock_timestamp(), DEFAULT, DEFAULT); COMMIT"
    )
    whole = sending_post.shop.confirm(2)
    wait_until(sending_post.arrived(whole))
    late = ["W-1", "W-2", "W-3"]
    wait_until(lambda: sending_post.events("orders.waiting"))
    assert [sending_post.sandbox.book.posts(order) for order in late] == [0, 0, 0]
    sending_post.shop.sql(
        "UPDATE orders SET email = DEFAULT, products = DEFAULT; TRUNCATE late"
    )
    wait_until(sending_post.arrived(late))
    sending_post.stop()
    assert sending_post.events("orders.rejected") == []
    assert {sending_post.sandbox.book.posts(order) for order in whole + late} == {1}
