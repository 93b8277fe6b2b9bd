"""The daemon with a view that fails for some orders: the others never wait."""

import json
from pathlib import Path

import pytest
from support.command import syncd
from support.postgres import wait_until
from support.shop import Shop

from syncd.demo.sandbox import Sandbox

pytestmark = [pytest.mark.db, pytest.mark.slow]

VIEW = """
CREATE TABLE catalogue (is_down boolean);
INSERT INTO catalogue VALUES (true);
CREATE FUNCTION sku(total numeric) RETURNS numeric LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public AS $$
BEGIN
    IF total = 7 AND (SELECT is_down FROM public.catalogue) THEN
        RAISE EXCEPTION 'away' USING ERRCODE = 'HV00L';
    ELSIF total = 8 THEN PERFORM pg_sleep(100);
    END IF;
    RETURN total;
END $$;
CREATE OR REPLACE VIEW syncd.purchases AS
SELECT id AS order_key, 'W-' || id AS orderid, email, 'EUR' AS currency,
       sku(total) AS totalvalue, products
  FROM orders;
"""


def order(shop: Shop, total: int) -> str:
    key = shop.value(
        "INSERT INTO orders (confirmed_at, total) "
        f"VALUES (clock_timestamp(), {total}) RETURNING id"
    )
    return f"W-{key}"


def status(config: Path) -> dict[str, object]:
    done = syncd("status", "--json", "--config", config)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_an_unavailable_catalogue_delays_only_its_own_orders(
    shop: Shop, tmp_path: Path
) -> None:
    """Status reports what waits; afterwards all arrive soon, each once."""
    shop.sql(VIEW)
    with Sandbox() as sandbox:
        config = shop.configure(tmp_path, sandbox.endpoint)
        daemon = shop.start(config)
        log = config.with_suffix(".log")
        wait_until(lambda: "daemon.started" in log.read_text())
        remote, plain = [], []
        for _ in range(3):
            remote += [order(shop, 7), order(shop, 7)]
            plain.append(order(shop, 25))
            wait_until(lambda: sandbox.received.posts(plain[-1]) == 1)
        facts = status(config)
        assert (facts["verdict"], facts["unread"]) == ("degraded", 6)
        assert "HV00L" in str(facts["reasons"])
        shop.sql("UPDATE catalogue SET is_down = false")
        wait_until(lambda: all(sandbox.received.posts(one) for one in remote))
        daemon.terminate()
        assert daemon.wait(60) == 0
        assert {sandbox.received.posts(one) for one in remote + plain} == {1}
    assert "orders.rejected" not in log.read_text()
    assert "sending.held" not in log.read_text()


def test_a_failing_capture_is_shown_in_status(shop: Shop, tmp_path: Path) -> None:
    """Within seconds, with its reason, whatever `syncd status` itself can read."""
    with Sandbox() as sandbox:
        config = shop.configure(tmp_path, sandbox.endpoint)
        daemon = shop.start(config)
        log = config.with_suffix(".log")
        wait_until(lambda: "daemon.started" in log.read_text())
        shop.sql(
            "CREATE FUNCTION away(at timestamptz) RETURNS timestamptz LANGUAGE plpgsql "
            "AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'HV00L'; END $$; "
            "CREATE OR REPLACE VIEW syncd.confirmed_orders AS SELECT id AS order_key, "
            "away(confirmed_at) AS confirmed_at FROM orders"
        )
        shop.confirm(1)
        wait_until(lambda: "HV00L" in str(status(config)["reasons"]))
        shop.recreate_views()
        wait_until(lambda: "HV00L" not in str(status(config)["reasons"]))
        daemon.terminate()
        assert daemon.wait(60) == 0
    assert "views.unavailable" in log.read_text()


def test_an_order_that_takes_for_ever_delays_no_other(
    shop: Shop, tmp_path: Path
) -> None:
    """While its row is read again, with one batch in flight, others arrive at once."""
    shop.sql(VIEW)
    with Sandbox() as sandbox:
        config = shop.configure(tmp_path, sandbox.endpoint)
        daemon = shop.start(config)
        log = config.with_suffix(".log")
        wait_until(lambda: "daemon.started" in log.read_text())
        slow = order(shop, 8)
        reading = (
            "SELECT count(*) = 1 FROM pg_stat_activity WHERE state = 'active' "
            "AND application_name = 'syncd/shop/rereading'"
        )
        wait_until(lambda: shop.value(reading))
        for _ in range(3):
            plain = order(shop, 25)
            wait_until(lambda one=plain: sandbox.received.posts(one) == 1)
        daemon.terminate()
        assert daemon.wait(60) == 0
        assert sandbox.received.posts(slow) == 0
    assert shop.exceptions() == []
