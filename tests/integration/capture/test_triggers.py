"""The triggers never fail or block the shop's statements, whatever happens to syncd."""

import time
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import make_conninfo
from support.shop import Shop

pytestmark = pytest.mark.db

ORDER = "INSERT INTO orders (confirmed_at) VALUES (now()) RETURNING id::text"
PROMPT_SECONDS = 0.3


@dataclass
class ShopClient:
    """A shop with `listen`, and a role that may sell and has no rights on syncd."""

    shop: Shop
    clerk: str  # a connection string
    installer: (
        str  # a connection string; may create triggers on orders, owns the outbox
    )

    def sell(self) -> str:
        """Confirm an order in a transaction; return its key. Fail if it takes long."""
        started = time.monotonic()
        with psycopg.connect(self.clerk) as connection:
            row = connection.execute(ORDER).fetchone()
        assert time.monotonic() - started < PROMPT_SECONDS
        assert row
        return str(row[0])

    def do(self, *statements: str) -> None:
        """Execute statements as the selling role, in one transaction."""
        with psycopg.connect(self.clerk) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def recorded(self) -> list[str]:
        """Return the keys in the outbox, with repetitions."""
        rows = self.shop.rows("SELECT order_key FROM syncd.outbox ORDER BY ctid")
        return [str(row[0]) for row in rows]

    def faults(self) -> object:
        return self.shop.value(
            "SELECT CASE WHEN is_called THEN last_value ELSE 0 END "
            "FROM syncd.outbox_fault"
        )


def open_client(shop: Shop) -> ShopClient:
    clerk, installer = shop.role.replace("role", "clerk"), f"{shop.role}_installer"
    shop.sql(
        f"""
CREATE ROLE {clerk} LOGIN;
CREATE ROLE {installer} LOGIN;
CREATE TABLE payments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id integer REFERENCES orders (id) ON UPDATE CASCADE,
    state text
);
CREATE TABLE sales (day date, id bigint, note text) PARTITION BY RANGE (day);
CREATE TABLE sales_1 PARTITION OF sales
    FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE sales_2 PARTITION OF sales
    FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE
   ON orders, payments, sales, sales_1, sales_2 TO {clerk};
GRANT TRIGGER ON orders, payments, sales, sales_1, sales_2 TO {installer};
GRANT CREATE ON DATABASE {shop.value("SELECT current_database()")} TO {installer};
ALTER SCHEMA syncd OWNER TO {installer};
"""
    )
    return ShopClient(
        shop,
        make_conninfo(shop.owner, user=clerk),
        make_conninfo(shop.owner, user=installer),
    )


@pytest.fixture
def bare_client(shop: Shop) -> ShopClient:
    """A client of a shop without triggers."""
    return open_client(shop)


@pytest.fixture
def client(bare_client: ShopClient) -> ShopClient:
    """A client; a role with no right on the tables but TRIGGER has installed syncd."""
    tables = ("orders:id", "payments:order_id", "sales:id")
    bare_client.shop.listen(*tables, owner=bare_client.installer)
    return bare_client


# A checkout is never broken or blocked


SABOTAGES = {
    "outbox dropped": "DROP TABLE syncd.outbox",
    "column dropped": "ALTER TABLE syncd.outbox DROP COLUMN order_key",
    "rights on the outbox revoked": "REVOKE ALL ON syncd.outbox FROM {installer}",
    "rights on the schema revoked":
        "REVOKE ALL ON SCHEMA syncd FROM {installer}, PUBLIC",
    "a constraint that refuses": "ALTER TABLE syncd.outbox ADD CHECK (order_key = '') "
        "NOT VALID",
    "a trigger that raises":
        "CREATE FUNCTION syncd.oops() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'oops'; END $$; "
        "CREATE TRIGGER oops BEFORE INSERT ON syncd.outbox "
        "FOR EACH ROW EXECUTE FUNCTION syncd.oops()",
    "faults cannot be counted either":
        "DROP TABLE syncd.outbox; DROP SEQUENCE syncd.outbox_fault",
    "schema dropped": "DROP SCHEMA syncd CASCADE",
}  # fmt: skip
UNCOUNTED = {"faults cannot be counted either", "schema dropped",
             "rights on the schema revoked"}  # fmt: skip


@pytest.mark.parametrize("name", SABOTAGES)
def test_a_checkout_commits_whatever_fault_syncd_has(
    client: ShopClient, name: str
) -> None:
    """It is fast, also in a session that has sold before; the fault is counted."""
    with psycopg.connect(client.clerk, autocommit=True) as session:
        session.execute(ORDER)
        installer = f"{client.shop.role}_installer"
        client.shop.sql(SABOTAGES[name].replace("{installer}", installer))
        started = time.monotonic()
        with session.transaction():
            session.execute(ORDER)
            session.execute("UPDATE orders SET total = 1")
        assert time.monotonic() - started < PROMPT_SECONDS
    client.sell()
    assert client.shop.value("SELECT count(*) FROM orders") == 3
    if name not in UNCOUNTED:
        assert client.faults() == 3


MIGRATIONS = {
    "the key column is renamed": "ALTER TABLE payments RENAME order_id TO number",
    "the key column is dropped": "ALTER TABLE payments DROP order_id CASCADE",
    "the key is another type":
        "ALTER TABLE payments DROP CONSTRAINT payments_order_id_fkey; "
        "ALTER TABLE payments ALTER order_id TYPE text",
    "row security": "ALTER TABLE payments ENABLE ROW LEVEL SECURITY; "
        "CREATE POLICY all_of_it ON payments USING (true)",
    "a partition is attached":
        "CREATE TABLE sales_3 (LIKE sales); ALTER TABLE sales ATTACH PARTITION "
        "sales_3 FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')",
    "a heard table becomes a partition":
        "ALTER TABLE sales DETACH PARTITION sales_1; ALTER TABLE sales ATTACH "
        "PARTITION sales_1 FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
}  # fmt: skip
SETTINGS = {
    "tables of the same names": "CREATE TEMP TABLE touched (order_key text); "
        "CREATE TEMP TABLE outbox (x int)",
    "a short lock_timeout": "SET lock_timeout = '1ms'",
    "serializable": "SET default_transaction_isolation = 'serializable'",
    "strict plpgsql": "SET plpgsql.extra_errors = 'all'",
    "row_security off": "SET row_security = off",
    "an odd search path": "SET search_path = public, pg_catalog",
    "little memory": "SET work_mem = '64kB'",
    "constraints deferred": "SET CONSTRAINTS ALL DEFERRED",
}  # fmt: skip


@pytest.mark.parametrize("name", [*MIGRATIONS, *SETTINGS])
def test_the_shops_statements_succeed_in_all_circumstances(
    client: ShopClient, name: str
) -> None:
    """Its migrations, settings and temporary tables."""
    before, setting = MIGRATIONS.get(name), SETTINGS.get(name)
    with psycopg.connect(client.clerk, autocommit=True) as session:
        session.execute("INSERT INTO payments (state) VALUES ('before')")
        if before:
            client.shop.sql(before)
        if setting:
            session.execute(setting.encode())
        with session.transaction():
            session.execute("INSERT INTO public.orders DEFAULT VALUES")
            session.execute("INSERT INTO public.payments (state) VALUES ('x')")
            session.execute("UPDATE public.payments SET state = 'y'")
            session.execute(
                "INSERT INTO public.sales VALUES ('2026-01-05', 11), ('2026-02-05', 12)"
            )
            session.execute("UPDATE public.sales SET day = day + 31 WHERE id = 11")
    assert client.shop.value("SELECT count(*) FROM payments WHERE state = 'y'") == 2
    assert "1" in client.recorded()


def test_waiting_for_the_outbox_ends_before_the_shops_statement_timeout(
    client: ShopClient,
) -> None:
    """A locked outbox costs 20 ms, not the whole time-out of the statement."""
    with psycopg.connect(client.shop.owner) as holder:
        holder.execute("LOCK TABLE syncd.outbox IN ACCESS EXCLUSIVE MODE")
        client.do("SET statement_timeout = '5s'", ORDER)
    assert client.shop.value("SELECT count(*) FROM orders") == 1


def test_a_locked_outbox_is_waited_for_only_briefly(client: ShopClient) -> None:
    """Another session holds ACCESS EXCLUSIVE: the checkout succeeds, a fault counts."""
    with psycopg.connect(client.shop.owner) as holder:
        holder.execute("LOCK TABLE syncd.outbox IN ACCESS EXCLUSIVE MODE")
        key = client.sell()
        assert client.faults() == 1
    assert client.recorded() == []
    client.do(f"UPDATE orders SET total = 2 WHERE id = {key}")
    assert client.recorded() == [key]


def test_the_shops_session_settings_are_unchanged(client: ShopClient) -> None:
    """Time-outs, search path and role are the same after a checkout."""
    names = ("lock_timeout", "statement_timeout", "search_path", "jit")
    shown = "SELECT current_user, " + ", ".join(
        f"current_setting('{name}')" for name in names
    )
    with psycopg.connect(client.clerk) as session:
        session.execute("SET search_path = public, pg_temp; SET lock_timeout = '7s'")
        before = session.execute(shown.encode()).fetchone()
        session.execute(ORDER)
        assert session.execute(shown.encode()).fetchone() == before


def test_a_prepared_checkout_is_recorded_when_it_commits(client: ShopClient) -> None:
    """The outbox row becomes visible with the commit."""
    with psycopg.connect(client.clerk) as session:
        row = session.execute(ORDER).fetchone()
        session.execute("PREPARE TRANSACTION 'checkout'")
    assert client.recorded() == []
    client.shop.sql("COMMIT PREPARED 'checkout'")
    assert row
    assert client.recorded() == [row[0]]
    assert client.faults() == 0


def test_no_other_role_may_execute_the_trigger_function(client: ShopClient) -> None:
    """A trigger on a table of its own does not help."""
    clerk = client.shop.role.replace("role", "clerk")
    client.shop.sql(f"GRANT USAGE, CREATE ON SCHEMA syncd TO {clerk}")
    name = client.shop.value(
        "SELECT proname FROM pg_proc WHERE proname ~ '^listen_.*_orders$'"
    )
    with pytest.raises(errors.InsufficientPrivilege, match="listen_"):
        client.do(
            "CREATE TABLE syncd.mine (id bigint)",
            "CREATE TRIGGER mine AFTER INSERT ON syncd.mine REFERENCING NEW TABLE AS "
            f"touched FOR EACH STATEMENT EXECUTE FUNCTION syncd.{name}()",
        )


# Every kind of write is recorded


def test_every_kind_of_statement_is_recorded(client: ShopClient) -> None:
    """INSERT, COPY, upsert, UPDATE, a child row; a statement without rows is not."""
    shop = client.shop
    client.do("INSERT INTO orders DEFAULT VALUES")
    with (
        psycopg.connect(client.clerk) as session,
        session.cursor().copy("COPY orders (confirmed_at) FROM STDIN") as copy,
    ):
        copy.write_row(["2026-01-01"])
        copy.write_row(["2026-01-02"])
    assert client.recorded() == ["1", "2", "3"]
    upsert = (
        "INSERT INTO orders (id, total) OVERRIDING SYSTEM VALUE VALUES (2, 5), (50, 5) "
        "ON CONFLICT (id) DO UPDATE SET total = excluded.total"
    )
    client.do("UPDATE orders SET total = 1 WHERE id = 99", upsert)
    assert sorted(client.recorded()) == ["1", "2", "2", "3", "50"]
    shop.empty_outbox()
    client.do("INSERT INTO payments (order_id, state) VALUES (2, 'paid'), (2, 'more')")
    assert client.recorded() == ["2"]
    client.do("INSERT INTO payments (state) VALUES ('of nothing')")
    assert client.recorded() == ["2"]
    assert client.faults() == 0


def test_merge_is_recorded(client: ShopClient) -> None:
    """Its inserts and its updates (PostgreSQL 15 and later)."""
    if int(str(client.shop.value("SHOW server_version_num"))) < 150000:
        pytest.skip("this PostgreSQL has no MERGE")
    client.do("INSERT INTO orders DEFAULT VALUES")
    client.do(
        "MERGE INTO orders AS o USING (VALUES (1), (7)) AS n (id) ON o.id = n.id "
        "WHEN MATCHED THEN UPDATE SET total = 3 "
        "WHEN NOT MATCHED THEN INSERT (id) OVERRIDING SYSTEM VALUE VALUES (n.id)"
    )
    assert sorted(client.recorded()) == ["1", "1", "7"]


def test_a_changed_key_is_recorded_with_its_new_value(client: ShopClient) -> None:
    """For the order itself, and for rows that follow it by a foreign key."""
    client.do("INSERT INTO orders DEFAULT VALUES", "INSERT INTO payments (order_id) "
            "VALUES (1)")  # fmt: skip
    client.shop.empty_outbox()
    client.do("UPDATE orders SET id = DEFAULT WHERE id = 1")
    assert set(client.recorded()) == {"2"}


def test_a_rolled_back_change_is_not_recorded(client: ShopClient) -> None:
    """Savepoints count too; the same change made again is recorded."""
    client.do("INSERT INTO orders DEFAULT VALUES", "INSERT INTO orders DEFAULT VALUES")
    client.shop.empty_outbox()
    touch = "UPDATE orders SET total = total + 1 WHERE id = {}"
    client.do("SAVEPOINT a", touch.format(1), "ROLLBACK TO a", touch.format(1))
    assert client.recorded() == ["1"]
    client.do("SAVEPOINT a", touch.format(1), "RELEASE a", touch.format(1))
    assert client.recorded() == ["1", "1"]
    client.do(touch.format(1), "SAVEPOINT a", touch.format(2), "ROLLBACK TO a",
            touch.format(2))  # fmt: skip
    assert client.recorded() == ["1", "1", "1", "2"]
    client.do("SAVEPOINT a", touch.format(1), "ROLLBACK TO a")
    assert client.recorded() == ["1", "1", "1", "2"]


def test_each_transaction_of_a_session_is_recorded(client: ShopClient) -> None:
    """A session's record of keys that it wrote ends with the transaction."""
    touch = b"UPDATE orders SET total = total + 1 WHERE id = 1"
    with psycopg.connect(client.clerk, autocommit=True) as session:
        session.execute("INSERT INTO orders DEFAULT VALUES")
        session.execute(touch)
        session.execute(touch)
        assert client.recorded() == ["1"] * 3
        session.execute("BEGIN")
        session.execute(touch)
        session.execute("ROLLBACK")
        session.execute(touch)
    assert client.recorded() == ["1"] * 4


def test_no_one_can_inject_code_into_the_trigger_function(client: ShopClient) -> None:
    """It runs with the installer's rights and ignores functions in other schemas."""
    client.shop.sql(
        "CREATE FUNCTION public.format(text, bigint) RETURNS text "
        "LANGUAGE sql AS $$ SELECT 'slipped in' $$"
    )
    assert client.recorded() == []
    key = client.sell()
    assert client.recorded() == [key]


def test_changes_of_partitions_are_recorded_through_parent_and_partition(
    client: ShopClient,
) -> None:
    """A row that moves to another partition is recorded, too."""
    client.do("INSERT INTO sales VALUES ('2026-01-05', 11), ('2026-02-05', 12)")
    client.do("INSERT INTO sales_1 VALUES ('2026-01-06', 13)")
    assert sorted(client.recorded()) == ["11", "12", "13"]
    client.do("UPDATE sales_2 SET note = 'x'")
    client.do("UPDATE sales SET day = '2026-02-06' WHERE id = 11")
    assert sorted(client.recorded()) == ["11", "11", "12", "12", "13"]
    assert client.faults() == 0


def test_replica_sessions_are_recorded_if_the_owner_installed_the_triggers(
    bare_client: ShopClient,
) -> None:
    """The triggers also fire with session_replication_role = replica."""
    bare_client.shop.listen("orders:id")
    bare_client.shop.sql(
        "SET session_replication_role = replica; INSERT INTO orders DEFAULT VALUES"
    )
    assert bare_client.recorded() == ["1"]


# Cost


def xid(shop: Shop) -> int:
    return int(str(shop.value("SELECT pg_current_xact_id()::text")))


LOOP = """
DO $$ BEGIN
    FOR n IN 1..5000 LOOP UPDATE orders SET total = n WHERE id = 1; END LOOP;
END $$
"""


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        ("UPDATE orders SET total = total + 1", 50_000),
        (LOOP, 1),
    ],
    ids=["in one statement", "of one order"],
)
def test_many_updates_use_few_transaction_ids(
    client: ShopClient, statement: str, rows: int
) -> None:
    """Two: the transaction's own, and that of the block that catches errors.

    The server's own maintenance may use some meanwhile.
    """
    client.do("INSERT INTO orders (total) SELECT 1 FROM generate_series(1, 50000)")
    client.shop.empty_outbox()
    before = xid(client.shop)
    client.do(statement)
    assert xid(client.shop) - before < 100
    assert len(client.recorded()) == rows


def test_a_large_statement_does_not_slow_down_its_session(client: ShopClient) -> None:
    """The plan that the session caches suits a single order too."""
    with psycopg.connect(client.clerk, autocommit=True) as session:
        session.execute("INSERT INTO orders (total) "
                        "SELECT 1 FROM generate_series(1, 300000)")  # fmt: skip
        started = time.monotonic()
        for _ in range(20):
            session.execute(ORDER)
        assert time.monotonic() - started < PROMPT_SECONDS


# Notifications


@pytest.fixture
def notifying_client(notifying_shop: Shop) -> ShopClient:
    """A client on a server where triggers may send notifications."""
    made = open_client(notifying_shop)
    notifying_shop.listen("orders:id", owner=made.installer)
    return made


def test_at_most_two_transactions_at_a_time_send_notifications(
    notifying_client: ShopClient,
) -> None:
    """A third one does not wait for them: it commits without sending one."""
    with (
        psycopg.connect(notifying_client.shop.dsn, autocommit=True) as listener,
        psycopg.connect(notifying_client.clerk) as first,
        psycopg.connect(notifying_client.clerk) as second,
    ):
        listener.execute("LISTEN syncd_shop")
        first.execute(ORDER)
        second.execute(ORDER)
        notifying_client.sell()
        assert list(listener.notifies(timeout=0.2)) == []
        second.commit()
        assert len(list(listener.notifies(timeout=5, stop_after=1))) == 1
        notifying_client.sell()
        assert len(list(listener.notifies(timeout=5, stop_after=1))) == 1


def test_a_statement_without_keys_sends_no_notification(
    notifying_client: ShopClient,
) -> None:
    """An UPDATE of no row wakes nobody."""
    with psycopg.connect(notifying_client.shop.dsn, autocommit=True) as listener:
        listener.execute("LISTEN syncd_shop")
        notifying_client.do("UPDATE orders SET total = 1")
        assert list(listener.notifies(timeout=0.2)) == []
