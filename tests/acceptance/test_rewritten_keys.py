"""Keys that are rewritten in the shop's table, while a daemon follows every change."""

from datetime import timedelta
from pathlib import Path

import pytest
from support.command import syncd
from support.postgres import wait_until
from support.shop import Shop
from support.wal_harness import install_wal

from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db

ORDERS = [f"W-{number}" for number in range(1, 6)]

FIRST_COMPARISON_IS_OLD = """
CREATE SEQUENCE comparisons;
GRANT USAGE ON SEQUENCE comparisons TO PUBLIC;
CREATE FUNCTION age() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('comparisons') = 1 THEN
        NEW.compared_at := now() - interval '1 hour';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER age BEFORE UPDATE ON syncd.identity
   FOR EACH ROW EXECUTE FUNCTION age();
"""


def started(shop: Shop, config: Path, sandbox: Sandbox) -> None:
    """Run a daemon that has sent five orders from the past, a while ago."""
    shop.sql("ALTER TABLE orders ALTER id DROP IDENTITY")
    shop.start(config)
    wait_until(lambda: "heartbeat" in config.with_suffix(".log").read_text())
    shop.sql(
        "INSERT INTO orders (id, confirmed_at) SELECT n, now() - interval '1 hour' * n "
        "FROM generate_series(1, 5) AS n"
    )
    wait_until(lambda: all(sandbox.received.posts(order) for order in ORDERS))
    wait_until(lambda: shop.count("batch", state="delivered") > 0)
    shop.shift("identity", timedelta(hours=-1), "compared_at")


def assert_held(shop: Shop, sandbox: Sandbox) -> None:
    """Rewrite every key; nothing is admitted, and capture is held."""
    shop.sql("UPDATE orders SET id = id + 900")
    wait_until(lambda: shop.row_of("watermark").paused_at is not None)
    assert "list other keys now" in shop.row_of("watermark").paused_reason
    assert shop.count("ledger") == len(ORDERS)
    assert [sandbox.received.posts(order) for order in ORDERS] == [1] * len(ORDERS)


def test_listen_admits_no_known_orders_under_rewritten_keys(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The triggers name every new key at once; known orders are searched for first."""
    config = shop.configure(tmp_path, sandbox.endpoint, {"capture": "listen"})
    shop.listen("orders:id")
    started(shop, config, sandbox)
    assert_held(shop, sandbox)


def test_wal_admits_no_known_orders_under_rewritten_keys(
    wal_shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """So does the stream."""
    config = wal_shop.configure(tmp_path, sandbox.endpoint, {"capture": "wal"})
    install_wal(wal_shop, "orders:id")
    started(wal_shop, config, sandbox)
    assert_held(wal_shop, sandbox)


def test_orders_from_the_past_are_captured_after_a_comparison(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Orders that are new, although they are old, wait for a second at most."""
    config = shop.configure(tmp_path, sandbox.endpoint, {"capture": "listen"})
    shop.listen("orders:id")
    started(shop, config, sandbox)
    shop.sql(
        "INSERT INTO orders (id, confirmed_at) SELECT n, now() - interval '3 days' "
        "FROM generate_series(11, 15) AS n"
    )
    wait_until(lambda: all(sandbox.received.posts(f"W-{n}") for n in range(11, 16)))


def test_a_long_pass_compares_again(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The comparison at its beginning counts for a minute; here it is older at once."""
    config = shop.configure(tmp_path, sandbox.endpoint)
    assert syncd("run", "--once", "--config", config).returncode == 0
    shop.shift("watermark", timedelta(hours=-1), "confirmed_at")
    shop.shift("identity", timedelta(hours=-1), "compared_at")
    shop.sql(FIRST_COMPARISON_IS_OLD)
    shop.sql(
        "INSERT INTO orders (confirmed_at) SELECT now() - interval '30 minutes' "
        "FROM generate_series(1, 5)"
    )
    done = syncd("run", "--once", "--config", config)
    assert (done.returncode, done.stderr.count("ERROR")) == (0, 0)
    assert [sandbox.received.posts(order) for order in ORDERS] == [1] * len(ORDERS)
