"""What the shop feels of the triggers: nothing, whatever happens to syncd."""

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
    """A shop that listens, and a clerk who may sell, and nothing of syncd's."""

    shop: Shop
    clerk: str  # a connection string
    installer: str  # likewise: may put triggers on orders, owns the outbox

    def sell(self) -> str:
        """Confirm an order in a transaction; tell its key. It has to be prompt."""
        started = time.monotonic()
        with psycopg.connect(self.clerk) as connection:
            row = connection.execute(ORDER).fetchone()
        assert time.monotonic() - started < PROMPT_SECONDS
        assert row
        return str(row[0])

    def do(self, *statements: str) -> None:
        """Do things as the clerk, in one transaction."""
        with psycopg.connect(self.clerk) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def noted(self) -> list[str]:
        """List the keys in the outbox, as often as they are in it."""
        rows = self.shop.rows("SELECT order_key FROM syncd.outbox ORDER BY ctid")
        return [str(row[0]) for row in rows]

    def faults(self) -> object:
        return self.shop.value(
            "SELECT CASE WHEN is_called THEN last_value ELSE 0 END "
            "FROM syncd.outbox_fault"
        )


def open_till(shop: Shop) -> ShopClient:
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
    """Without triggers yet."""
    return open_till(shop)


@pytest.fixture
def client(bare_client: ShopClient) -> ShopClient:
    """Somebody without rights on the shop's tables but TRIGGER has installed it."""
    tables = ("orders:id", "payments:order_id", "sales:id")
    bare_client.shop.listen(*tables, owner=bare_client.installer)
    return bare_client


# It never breaks or blocks a checkout


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
def test_a_checkout_commits_whatever_was_done_to_syncd(
    client: ShopClient, name: str
) -> None:
    """Promptly, also in a session that has sold before; the fault is counted."""
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
def test_the_shops_statements_go_through_in_all_circumstances(
    client: ShopClient, name: str
) -> None:
    """Its own migrations, settings and temporary tables."""
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
    assert "1" in client.noted()


def test_a_statement_timeout_of_the_shops_is_not_met_by_waiting(
    client: ShopClient,
) -> None:
    """A locked outbox takes 20 ms, not the whole of what a statement may take."""
    with psycopg.connect(client.shop.owner) as holder:
        holder.execute("LOCK TABLE syncd.outbox IN ACCESS EXCLUSIVE MODE")
        client.do("SET statement_timeout = '5s'", ORDER)
    assert client.shop.value("SELECT count(*) FROM orders") == 1


def test_a_locked_outbox_is_waited_for_but_a_moment(client: ShopClient) -> None:
    """ACCESS EXCLUSIVE in another session: the checkout goes on, the fault counts."""
    with psycopg.connect(client.shop.owner) as holder:
        holder.execute("LOCK TABLE syncd.outbox IN ACCESS EXCLUSIVE MODE")
        key = client.sell()
        assert client.faults() == 1
    assert client.noted() == []
    client.do(f"UPDATE orders SET total = 2 WHERE id = {key}")
    assert client.noted() == [key]


def test_the_shops_own_settings_are_left_alone(client: ShopClient) -> None:
    """Time-outs, search path and role are after a checkout what they were before."""
    names = ("lock_timeout", "statement_timeout", "search_path", "jit")
    shown = "SELECT current_user, " + ", ".join(
        f"current_setting('{name}')" for name in names
    )
    with psycopg.connect(client.clerk) as session:
        session.execute("SET search_path = public, pg_temp; SET lock_timeout = '7s'")
        before = session.execute(shown.encode()).fetchone()
        session.execute(ORDER)
        assert session.execute(shown.encode()).fetchone() == before


def test_prepared_transactions_go_on(client: ShopClient) -> None:
    """A checkout may be prepared; its key is noted when it is committed."""
    with psycopg.connect(client.clerk) as session:
        row = session.execute(ORDER).fetchone()
        session.execute("PREPARE TRANSACTION 'checkout'")
    assert client.noted() == []
    client.shop.sql("COMMIT PREPARED 'checkout'")
    assert row
    assert client.noted() == [row[0]]
    assert client.faults() == 0


def test_nobody_else_may_run_the_function(client: ShopClient) -> None:
    """Not even in a trigger on a table of one's own."""
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


# Every way to write is noted


def test_rows_of_all_kinds_of_statements_are_noted(client: ShopClient) -> None:
    """INSERT, COPY, upsert, UPDATE, a child row; what changes nothing notes nothing."""
    shop = client.shop
    client.do("INSERT INTO orders DEFAULT VALUES")
    with (
        psycopg.connect(client.clerk) as session,
        session.cursor().copy("COPY orders (confirmed_at) FROM STDIN") as copy,
    ):
        copy.write_row(["2026-01-01"])
        copy.write_row(["2026-01-02"])
    assert client.noted() == ["1", "2", "3"]
    upsert = (
        "INSERT INTO orders (id, total) OVERRIDING SYSTEM VALUE VALUES (2, 5), (50, 5) "
        "ON CONFLICT (id) DO UPDATE SET total = excluded.total"
    )
    client.do("UPDATE orders SET total = 1 WHERE id = 99", upsert)
    assert sorted(client.noted()) == ["1", "2", "2", "3", "50"]
    shop.empty_outbox()
    client.do("INSERT INTO payments (order_id, state) VALUES (2, 'paid'), (2, 'more')")
    assert client.noted() == ["2"]
    client.do("INSERT INTO payments (state) VALUES ('of nothing')")
    assert client.noted() == ["2"]
    assert client.faults() == 0


def test_merge_is_noted(client: ShopClient) -> None:
    """Both its inserts and its updates (PostgreSQL 15 and later)."""
    if int(str(client.shop.value("SHOW server_version_num"))) < 150000:
        pytest.skip("this PostgreSQL has no MERGE")
    client.do("INSERT INTO orders DEFAULT VALUES")
    client.do(
        "MERGE INTO orders AS o USING (VALUES (1), (7)) AS n (id) ON o.id = n.id "
        "WHEN MATCHED THEN UPDATE SET total = 3 "
        "WHEN NOT MATCHED THEN INSERT (id) OVERRIDING SYSTEM VALUE VALUES (n.id)"
    )
    assert sorted(client.noted()) == ["1", "1", "7"]


def test_a_changed_key_is_noted_under_its_new_name(client: ShopClient) -> None:
    """For the order itself, and for what follows it by a foreign key."""
    client.do("INSERT INTO orders DEFAULT VALUES", "INSERT INTO payments (order_id) "
            "VALUES (1)")  # fmt: skip
    client.shop.empty_outbox()
    client.do("UPDATE orders SET id = DEFAULT WHERE id = 1")
    assert set(client.noted()) == {"2"}


def test_what_is_rolled_back_is_not_noted(client: ShopClient) -> None:
    """Savepoints too; what is done again afterwards is noted again."""
    client.do("INSERT INTO orders DEFAULT VALUES", "INSERT INTO orders DEFAULT VALUES")
    client.shop.empty_outbox()
    touch = "UPDATE orders SET total = total + 1 WHERE id = {}"
    client.do("SAVEPOINT a", touch.format(1), "ROLLBACK TO a", touch.format(1))
    assert client.noted() == ["1"]
    client.do("SAVEPOINT a", touch.format(1), "RELEASE a", touch.format(1))
    assert client.noted() == ["1", "1"]
    client.do(touch.format(1), "SAVEPOINT a", touch.format(2), "ROLLBACK TO a",
            touch.format(2))  # fmt: skip
    assert client.noted() == ["1", "1", "1", "2"]
    client.do("SAVEPOINT a", touch.format(1), "ROLLBACK TO a")
    assert client.noted() == ["1", "1", "1", "2"]


def test_each_transaction_of_a_session_is_noted(client: ShopClient) -> None:
    """That one has noted the order is erased with its end, and in a rollback."""
    touch = b"UPDATE orders SET total = total + 1 WHERE id = 1"
    with psycopg.connect(client.clerk, autocommit=True) as session:
        session.execute("INSERT INTO orders DEFAULT VALUES")
        session.execute(touch)
        session.execute(touch)
        assert client.noted() == ["1"] * 3
        session.execute("BEGIN")
        session.execute(touch)
        session.execute("ROLLBACK")
        session.execute(touch)
    assert client.noted() == ["1"] * 4


def test_nobody_can_slip_code_into_the_function(client: ShopClient) -> None:
    """It runs with the installer's rights: other schemas' functions are not seen."""
    client.shop.sql(
        "CREATE FUNCTION public.format(text, bigint) RETURNS text "
        "LANGUAGE sql AS $$ SELECT 'slipped in' $$"
    )
    assert client.noted() == []
    key = client.sell()
    assert client.noted() == [key]


def test_partitions_are_noted_through_the_parent_and_straight(
    client: ShopClient,
) -> None:
    """A row that moves to another partition, too."""
    client.do("INSERT INTO sales VALUES ('2026-01-05', 11), ('2026-02-05', 12)")
    client.do("INSERT INTO sales_1 VALUES ('2026-01-06', 13)")
    assert sorted(client.noted()) == ["11", "12", "13"]
    client.do("UPDATE sales_2 SET note = 'x'")
    client.do("UPDATE sales SET day = '2026-02-06' WHERE id = 11")
    assert sorted(client.noted()) == ["11", "11", "12", "12", "13"]
    assert client.faults() == 0


def test_replica_sessions_are_noted_if_the_owner_installed_it(
    bare_client: ShopClient,
) -> None:
    """session_replication_role = replica fires the triggers as well."""
    bare_client.shop.listen("orders:id")
    bare_client.shop.sql(
        "SET session_replication_role = replica; INSERT INTO orders DEFAULT VALUES"
    )
    assert bare_client.noted() == ["1"]


# And it costs little


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
def test_many_updates_burn_a_handful_of_transaction_ids(
    client: ShopClient, statement: str, rows: int
) -> None:
    """Two: the transaction's own, and that of the block that catches errors.

    The server's own housekeeping may draw some meanwhile.
    """
    client.do("INSERT INTO orders (total) SELECT 1 FROM generate_series(1, 50000)")
    client.shop.empty_outbox()
    before = xid(client.shop)
    client.do(statement)
    assert xid(client.shop) - before < 100
    assert len(client.noted()) == rows


def test_a_big_statement_does_not_slow_its_session_down(client: ShopClient) -> None:
    """The plan that a session keeps suits a single order too."""
    with psycopg.connect(client.clerk, autocommit=True) as session:
        session.execute("INSERT INTO orders (total) "
                        "SELECT 1 FROM generate_series(1, 300000)")  # fmt: skip
        started = time.monotonic()
        for _ in range(20):
            session.execute(ORDER)
        assert time.monotonic() - started < PROMPT_SECONDS


# Notifications


@pytest.fixture
def hinting_client(notifying_shop: Shop) -> ShopClient:
    """On a server whose triggers may send hints."""
    made = open_till(notifying_shop)
    notifying_shop.listen("orders:id", owner=made.installer)
    return made


def test_hints_come_from_two_transactions_at_a_time(hinting_client: ShopClient) -> None:
    """A third does not wait for them: it commits without one."""
    with (
        psycopg.connect(hinting_client.shop.dsn, autocommit=True) as ear,
        psycopg.connect(hinting_client.clerk) as first,
        psycopg.connect(hinting_client.clerk) as second,
    ):
        ear.execute("LISTEN syncd_shop")
        first.execute(ORDER)
        second.execute(ORDER)
        hinting_client.sell()
        assert list(ear.notifies(timeout=0.2)) == []
        second.commit()
        assert len(list(ear.notifies(timeout=5, stop_after=1))) == 1
        hinting_client.sell()
        assert len(list(ear.notifies(timeout=5, stop_after=1))) == 1


def test_no_hint_without_a_key(hinting_client: ShopClient) -> None:
    """An update of nothing wakes nobody."""
    with psycopg.connect(hinting_client.shop.dsn, autocommit=True) as ear:
        ear.execute("LISTEN syncd_shop")
        hinting_client.do("UPDATE orders SET total = 1")
        assert list(ear.notifies(timeout=0.2)) == []
