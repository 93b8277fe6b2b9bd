"""A table replaced under the views, keys of another kind: the installed command."""

import json
from pathlib import Path

import pytest
from support.command import syncd
from support.postgres import wait_until
from support.shop import Shop

from syncd.demo.sandbox import Sandbox

pytestmark = [pytest.mark.db, pytest.mark.timeout(300)]


SWAP = """
ALTER TABLE orders RENAME TO orders_old;
CREATE TABLE orders (LIKE orders_old INCLUDING ALL);
ALTER TABLE orders ALTER id RESTART WITH 100;
"""
APART = "SELECT max(confirmed_at) < clock_timestamp() - interval '2 s' FROM orders"
"""An order confirmed now is not mistaken for a known one with a rounded time."""
TO_UUID = """
DROP VIEW syncd.confirmed_orders, syncd.purchases;
ALTER TABLE orders ADD uid uuid DEFAULT gen_random_uuid();
CREATE VIEW syncd.confirmed_orders AS
SELECT uid AS order_key, confirmed_at FROM orders WHERE confirmed_at IS NOT NULL;
CREATE VIEW syncd.purchases AS
SELECT uid AS order_key, 'W-' || id AS orderid, email, 'EUR' AS currency,
       total AS totalvalue, products
  FROM orders;
GRANT SELECT ON syncd.confirmed_orders, syncd.purchases TO {role};
"""
BY_STORE = """
CREATE OR REPLACE VIEW syncd.purchases AS
SELECT id AS order_key, 'W-' || (id + 1) / 2 AS orderid, email, 'EUR' AS currency,
       total AS totalvalue, products
  FROM orders;
"""


def install(shop: Shop, config: Path, capture: str, key: str = "id") -> None:
    """Install what the capture needs on the present table `orders`."""
    tables = () if capture == "poll" else (f"--{capture}", f"orders:{key}")
    options = ("--as", shop.owner, "--role", shop.role, "--config", config)
    done = syncd("install", *tables, *options)
    assert done.returncode == 0, done.stderr


def run_daemon(config: Path) -> str:
    """Run the feed for a moment; return the log."""
    return syncd("run", "--once", "--config", config).stderr


def delivered(shop: Shop) -> int:
    return shop.batch_orders(state="delivered")


def assert_reported(config: Path, reason: str, code: str) -> None:
    """Assert that status is down with a reason, and that check exits 78 with a code."""
    status = syncd("status", "--config", config)
    assert (status.returncode, reason in " ".join(status.stdout.split())) == (2, True)
    check = syncd("check", "--json", "--config", config)
    assert check.returncode == 78
    assert code in {finding["code"] for finding in json.loads(check.stdout)}


@pytest.mark.parametrize("capture", ["poll", "listen", "wal"])
def test_a_replaced_table_is_reported_and_missed_orders_are_captured(
    wal_shop: Shop, sandbox: Sandbox, tmp_path: Path, capture: str
) -> None:
    """Log, status and check name it; once the views are recreated, all is sent."""
    config = wal_shop.configure(tmp_path, sandbox.endpoint, {"capture": capture})
    install(wal_shop, config, capture)
    run_daemon(config)
    wal_shop.confirm()
    run_daemon(config)
    assert delivered(wal_shop) == 1
    wait_until(lambda: wal_shop.value(APART))
    wal_shop.sql(SWAP)
    wal_shop.confirm(5)
    log = run_daemon(config)
    assert delivered(wal_shop) == 1
    (line,) = (line for line in log.splitlines() if "table.replaced" in line)
    assert "public.orders is another table now" in line
    assert_reported(config, "→ create both views again", "tables.replaced")
    wal_shop.recreate_views()
    if capture != "poll":
        again = f"syncd install --{capture} public.orders:KEYCOLUMN"
        assert again in run_daemon(config)
    install(wal_shop, config, capture)
    assert "table.replaced" not in run_daemon(config)
    syncd("reconcile", "--config", config)
    run_daemon(config)
    assert delivered(wal_shop) == 6
    assert "public.orders" not in syncd("status", "--config", config).stdout
    found = json.loads(syncd("check", "--json", "--config", config).stdout)
    assert "keys.same" in {finding["code"] for finding in found}


@pytest.fixture
def changed(
    request: pytest.FixtureRequest, wal_shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> Path:
    """A daemon that has sent 201 orders when their keys become uuids."""
    config = wal_shop.configure(tmp_path, sandbox.endpoint, {"capture": request.param})
    install(wal_shop, config, request.param)
    run_daemon(config)
    wal_shop.start(config)
    wal_shop.confirm(201)
    wait_until(lambda: delivered(wal_shop) == 201)
    wal_shop.sql(TO_UUID.format(role=wal_shop.role))
    wal_shop.sql("UPDATE orders SET total = total")  # recorded by every trigger
    wait_until(lambda: "keys.changed" in config.with_suffix(".log").read_text())
    return config


@pytest.mark.parametrize("changed", ["poll", "listen", "wal"], indirect=True)
def test_keys_of_another_kind_hold_the_feed(
    wal_shop: Shop, sandbox: Sandbox, changed: Path
) -> None:
    """Nothing is sent, and every command gives the reason."""
    reason = "order_key is uuid now, and was bigint"
    assert_reported(changed, reason, "keys.changed")
    for verb in (["run", "--once"], ["resume"]):
        done = syncd(*verb, "--config", changed)
        assert (done.returncode, "syncd rebind-keys" in done.stderr) == (78, True)
    syncd("reconcile", "--config", changed)
    posts = [sandbox.received.posts(f"W-{n}") for n in range(1, 202)]
    assert posts == [1] * 201
    assert wal_shop.captured() == 201


@pytest.mark.parametrize("changed", ["poll", "listen"], indirect=True)
def test_known_orders_stay_known_under_new_keys(
    wal_shop: Shop, sandbox: Sandbox, changed: Path
) -> None:
    """None of 201 is sent again; the next order is, by the running daemon."""
    config = changed
    plan = syncd("rebind-keys", "--dry-run", "--config", config).stdout
    assert "201 known orders have another key, for instance" in plan
    assert "nothing was changed" in plan
    assert wal_shop.rows_of("ledger")[0].order_key == "1"
    done = syncd("rebind-keys", "--yes", "--json", "--config", config)
    facts = json.loads(done.stdout)
    if "listen" in config.read_text():
        install(wal_shop, config, "listen", "uid")
    assert (facts["renamed"], facts["unmatched"], facts["new"]) == (201, 0, 0)
    (new,) = wal_shop.confirm(1)
    wait_until(lambda: delivered(wal_shop) == 202)
    syncd("reconcile", "--config", config)
    posts = [sandbox.received.posts(f"W-{n}") for n in range(1, 202)]
    assert (posts, sandbox.received.posts(new)) == ([1] * 201, 1)
    assert "now delivered" in syncd("explain", "W-17", "--config", config).stdout


@pytest.mark.parametrize("capture", ["poll", "listen", "wal"])
def test_row_level_security_that_empties_the_view_is_reported(
    wal_shop: Shop, sandbox: Sandbox, tmp_path: Path, capture: str
) -> None:
    """Nothing fails and nothing is listed, which does not count as healthy."""
    shop = wal_shop
    config = shop.configure(tmp_path, sandbox.endpoint, {"capture": capture})
    install(shop, config, capture)
    run_daemon(config)
    owner = f"{shop.role}_owner"
    shop.sql(f"CREATE ROLE {owner}; ALTER TABLE orders OWNER TO {owner}")
    shop.sql(f"ALTER VIEW syncd.confirmed_orders OWNER TO {owner}")
    shop.confirm(3)
    run_daemon(config)
    assert delivered(shop) == 3
    shop.sql("ALTER TABLE orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    shop.confirm(2)
    assert "are not in confirmed_orders any more" in run_daemon(config)
    assert delivered(shop) == 3
    assert "orders.unlisted" in {
        finding["code"]
        for finding in json.loads(syncd("check", "--json", "--config", config).stdout)
    }
    daemon = shop.start(config)
    status = syncd("status", "--config", config)
    assert "3 of the 3 newest known orders" in " ".join(status.stdout.split())
    shop.sql("ALTER TABLE orders DISABLE ROW LEVEL SECURITY")
    wait_until(lambda: delivered(shop) == 5)
    daemon.terminate()
    daemon.wait(30)
    shop.sql(f"REASSIGN OWNED BY {owner} TO CURRENT_USER; DROP ROLE {owner}")


def test_orders_with_one_number_are_reported(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Both are sent, and Squeezely has one purchase: that does not count as healthy."""
    config = shop.configure(tmp_path, sandbox.endpoint)
    shop.sql(BY_STORE)
    run_daemon(config)
    shop.confirm(2)
    run_daemon(config)
    assert delivered(shop) == 2
    shop.start(config)
    wait_until(lambda: "orders.same_number" in config.with_suffix(".log").read_text())
    status = syncd("status", "--config", config)
    assert status.returncode == 1
    reason = "number W-1 belongs to the orders 1 and 2: Squeezely merges them"
    assert reason in " ".join(status.stdout.split())
