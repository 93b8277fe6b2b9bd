"""An UPDATE of many rows: the cost of the triggers, and of alternatives.

    PYTHONPATH=tests python tests/benchmarks/bulk.py [ROWS]

Each way on a fresh table, thrice, the median; then once under temp_file_limit = 4MB.
"""

import statistics
import sys
import time
from itertools import count

import psycopg
from support.installing import install_all
from support.postgres import cluster
from support.shop import Shop

BULK = "UPDATE orders SET total = total + 1"
ROW = """
CREATE FUNCTION syncd.by_row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '20ms' AS $$
BEGIN
    INSERT INTO syncd.outbox (feed, order_key) VALUES ('shop', format('%s', NEW.id));
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    PERFORM nextval('syncd.outbox_fault');
    RETURN NULL;
END $$;
CREATE TRIGGER by_row AFTER INSERT OR UPDATE ON orders
   FOR EACH ROW EXECUTE FUNCTION syncd.by_row();
"""
_numbers = count(1)


def prepare(shop: Shop, way: str) -> None:
    if way != "none":
        install_all(shop, "orders:id")
    if way in {"a trigger for each row", "wal"}:
        shop.sql("DROP TRIGGER syncd_insert_shop ON orders")
        shop.sql("DROP TRIGGER syncd_update_shop ON orders")
    if way == "a trigger for each row":
        shop.sql(ROW)
    if way == "wal":
        shop.sql("CREATE PUBLICATION bulk FOR TABLE orders (id)")
        shop.sql("SELECT pg_create_logical_replication_slot('bulk', 'pgoutput')")


def run_once(shop: Shop, *settings: str) -> tuple[float, int]:
    """Run the UPDATE; return seconds and transaction ids."""
    with psycopg.connect(shop.owner, autocommit=True) as session:
        for setting in settings:
            session.execute(setting.encode())
        ids = "SELECT pg_current_xact_id()::text::bigint"
        before = session.execute(ids).fetchone()
        started = time.monotonic()
        session.execute(BULK)
        seconds = time.monotonic() - started
        after = session.execute(ids).fetchone()
    assert before
    assert after
    return seconds, int(after[0]) - int(before[0]) - 1


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 60_000
    ways = ("none", "a trigger for each statement", "a trigger for each row", "wal")
    with cluster() as server:
        for way in ways:
            name = f"b{next(_numbers)}"
            server.sql(f"CREATE DATABASE {name}")
            shop = Shop.open(server.dsn(name))
            prepare(shop, way)
            shop.confirm(rows)
            runs = [run_once(shop) for _ in range(3)]
            limit = ("SET temp_file_limit = '4MB'", "SET work_mem = '1MB'")
            try:
                run_once(shop, *limit)
                limited = "goes through"
            except psycopg.errors.ConfigurationLimitExceeded:
                limited = "fails"
            if way == "wal":
                shop.sql("SELECT pg_drop_replication_slot('bulk')")
            seconds = statistics.median(run[0] for run in runs)
            ids = max(run[1] for run in runs)
            print(f"{way:30} {seconds:6.2f} s  {ids:6} ids  temp_file_limit: {limited}")


if __name__ == "__main__":
    main()
