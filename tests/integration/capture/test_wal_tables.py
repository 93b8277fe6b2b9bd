"""Which tables can be followed: the shop's writes succeed on any kind of table."""

from itertools import count
from pathlib import Path

import psycopg
import pytest
from support.postgres import Cluster, wait_until
from support.shop import Shop
from support.wal_harness import (
    QUICK,
    SLOT,
    WalHarness,
    install_wal,
    opened_shop,
    owners,
    uninstall_wal,
)

from syncd.capture.keys import are_alike
from syncd.capture.tuning import WalTuning
from syncd.capture.wal.publication import Publication
from syncd.core.errors import (
    ConfigError,
    DatabaseUnavailableError,
    ServerTooOldError,
    SyncdError,
)
from syncd.postgres.session import SESSION
from syncd.setup.install.scripts import pinned

pytestmark = pytest.mark.db

_numbers = count(1)
THINGS = "SELECT (SELECT count(*) FROM pg_publication), ({})".format(
    SLOT.format("count(*)")
)
KINDS = {
    "primary key": "CREATE TABLE t (id bigint PRIMARY KEY, at int, note text)",
    "two columns": "CREATE TABLE t (id bigint, at int, note text, "
    "PRIMARY KEY (at, id))",
    "another key": "CREATE TABLE t (id bigint, at int PRIMARY KEY, note text)",
    "index": "CREATE TABLE t (id bigint, at int NOT NULL, note text);"
    "CREATE UNIQUE INDEX t_at ON t (at) INCLUDE (note);"
    "ALTER TABLE t REPLICA IDENTITY USING INDEX t_at",
    "full": "CREATE TABLE t (id bigint, at int, note text);"
    "ALTER TABLE t REPLICA IDENTITY FULL",
    "partitions": "CREATE TABLE t (id bigint, at int, note text, PRIMARY KEY (id, at)) "
    "PARTITION BY RANGE (at);"
    "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (10)",
    "a full partition": "CREATE TABLE t (id bigint, at int, note text, "
    "PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
    "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (10);"
    "ALTER TABLE t_1 REPLICA IDENTITY FULL",
    "partition with an index": "CREATE TABLE t (id bigint, at int NOT NULL, note text, "
    "PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
    "CREATE TABLE t_1 (id bigint NOT NULL, at int NOT NULL, note text NOT NULL);"
    "CREATE UNIQUE INDEX t_1_note ON t_1 (note);"
    "ALTER TABLE t_1 REPLICA IDENTITY USING INDEX t_1_note;"
    "ALTER TABLE t ATTACH PARTITION t_1 FOR VALUES FROM (0) TO (10)",
    "odd names": 'CREATE TABLE "T ""x" (a int); DROP TABLE "T ""x";'
    "CREATE TABLE t (id bigint PRIMARY KEY, at int, note text, "
    '"odd , ""name" int)',
}
HARMFUL = {
    "no key": "CREATE TABLE t (id bigint, at int, note text)",
    "nothing": "CREATE TABLE t (id bigint PRIMARY KEY, at int, note text);"
    "ALTER TABLE t REPLICA IDENTITY NOTHING",
    "deferrable": "CREATE TABLE t (id bigint PRIMARY KEY DEFERRABLE, at int, "
    "note text)",
    "a lost index": "CREATE TABLE t (id bigint, at int NOT NULL, note text);"
    "CREATE UNIQUE INDEX t_at ON t (at);"
    "ALTER TABLE t REPLICA IDENTITY USING INDEX t_at; DROP INDEX t_at",
    "a partition without": "CREATE TABLE t (id bigint, at int, note text, "
    "PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
    "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (10);"
    "ALTER TABLE t_1 REPLICA IDENTITY NOTHING",
    "partitions to come": "CREATE TABLE t (id bigint, at int, note text) "
    "PARTITION BY RANGE (at);"
    "CREATE TABLE t_1 PARTITION OF t (PRIMARY KEY (id)) FOR VALUES FROM (0) TO (10)",
}
AFTER = {
    "full": "ALTER TABLE t REPLICA IDENTITY FULL",
    "nothing": "ALTER TABLE t REPLICA IDENTITY NOTHING",
    "no key": "ALTER TABLE t DROP CONSTRAINT t_pkey",
    "another index": "CREATE UNIQUE INDEX t_at ON t (at);"
    "ALTER TABLE t ALTER at SET NOT NULL;"
    "ALTER TABLE t REPLICA IDENTITY USING INDEX t_at",
}


def use_table(shop: Shop) -> None:
    """Do everything that a shop does to a table."""
    shop.sql("INSERT INTO t (id, at, note) VALUES (1, 1, 'one'), (2, 2, 'two')")
    shop.sql("UPDATE t SET note = note || '!'")
    shop.sql("UPDATE t SET id = id + 10, at = at + 2")
    shop.sql("DELETE FROM t WHERE note = 'one!'")
    shop.sql("TRUNCATE t")


@pytest.mark.parametrize("kind", KINDS)
def test_writes_succeed_and_keys_are_read_from_any_table(
    wal_shop: Shop, tmp_path: Path, kind: str
) -> None:
    """INSERT, UPDATE (also of the key), DELETE and TRUNCATE; then the order's key."""
    wal_shop.sql(KINDS[kind])
    wal_feed = WalHarness(wal_shop, tmp_path, tables=["t:id"])
    try:
        use_table(wal_shop)
        if "partition" in kind:
            wal_shop.sql("CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM (10) TO (20)")
            wal_shop.sql("INSERT INTO t (id, at, note) VALUES (7, 11, 'new')")
            wal_shop.sql("UPDATE t SET note = 'newer'")
        wal_shop.sql(
            "INSERT INTO orders (id, confirmed_at) "
            "OVERRIDING SYSTEM VALUE VALUES (42, now())"
        )
        wal_shop.sql("INSERT INTO t (id, at, note) VALUES (42, 9, 'x')")
        wal_feed.step_until_admitted(1)
        assert wal_feed.keys() == ["42"]
    finally:
        wal_feed.close()


@pytest.mark.parametrize("kind", HARMFUL)
def test_a_table_whose_updates_would_fail_is_refused(wal_shop: Shop, kind: str) -> None:
    """Nothing is created and the shop's UPDATEs succeed; published, they would fail."""
    wal_shop.sql(HARMFUL[kind])
    with pytest.raises(ConfigError, match="PostgreSQL would refuse its UPDATEs"):
        install_wal(wal_shop, "orders:id", "t:id")
    assert wal_shop.rows(THINGS) == [(0, 0)]
    use_table(wal_shop)
    wal_shop.sql(
        "CREATE PUBLICATION p FOR TABLE t WITH (publish_via_partition_root = true)"
    )
    if kind == "partitions to come":
        wal_shop.sql("CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM (10) TO (20)")
        wal_shop.sql("INSERT INTO t VALUES (1, 11, 'x')")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        use_table(wal_shop)


@pytest.mark.parametrize("change", AFTER)
def test_a_table_changed_after_the_install_is_reported_with_the_fix(
    wal_shop: Shop, tmp_path: Path, change: str
) -> None:
    """It cannot be prevented; the logged SQL makes the shop's UPDATEs succeed again."""
    wal_shop.sql(KINDS["primary key"])
    tuning = WalTuning(guard_seconds=0)
    wal_feed = WalHarness(
        wal_shop, tmp_path, tables=["t:id", "orders:id"], tuning=tuning
    )
    try:
        wal_feed.step()
        assert not wal_feed.events("publication.blocks_writes")
        wal_shop.sql(AFTER[change])
        with pytest.raises(psycopg.errors.DatabaseError):
            use_table(wal_shop)
        wal_feed.step()
        (line, *_) = wal_feed.events("publication.blocks_writes")
        assert line["table"] == "public.t"
        wal_shop.sql("TRUNCATE t")
        wal_shop.sql(str(line["fix_sql"]))
        use_table(wal_shop)
        wal_shop.confirm(1)
        wal_feed.step_until_admitted(1)
        wal_feed.step()
        assert "not published any more" in str(
            wal_feed.events("publication.blocks_writes")[-1]
        )
    finally:
        wal_feed.close()


def test_a_row_filter_added_to_the_publication_is_reported(wal_shop: Shop) -> None:
    """It makes UPDATEs fail as well."""
    wal_shop.sql(KINDS["primary key"])
    install_wal(wal_shop, "t:id")
    wal_shop.sql("ALTER PUBLICATION syncd_shop SET TABLE t (id) WHERE (at > 1)")
    with owners(wal_shop) as connections:
        problems = list(Publication(connections.source, "shop").problems())
    assert [problem.reason for problem in problems] == ["public.t has a row filter"]
    with pytest.raises(psycopg.errors.DatabaseError):
        use_table(wal_shop)
    wal_shop.sql("TRUNCATE t")
    wal_shop.sql(problems[0].fix_sql)
    use_table(wal_shop)


def test_only_the_key_and_the_replica_identity_are_published(wal_shop: Shop) -> None:
    """Whole rows only where PostgreSQL requires them, which is reported."""
    wal_shop.sql(KINDS["another key"])
    assert install_wal(wal_shop, "orders:id", "t:id") == [
        "publication syncd_shop",
        "slot syncd_shop",
    ]
    columns = "SELECT attnames::text FROM pg_publication_tables ORDER BY tablename"
    assert wal_shop.rows(columns) == [("{id}",), ("{id,at}",)]
    wal_shop.sql("CREATE UNIQUE INDEX t_at ON t (at) INCLUDE (note)")
    wal_shop.sql("ALTER TABLE t REPLICA IDENTITY USING INDEX t_at")
    install_wal(wal_shop, "t:id")
    assert wal_shop.rows(columns) == [("{id,at}",)]
    wal_shop.sql("ALTER TABLE t REPLICA IDENTITY FULL")
    done = install_wal(wal_shop, "t:id")
    assert (
        done[1]
        == "public.t: whole rows are published, public.t has REPLICA IDENTITY FULL"
    )
    assert wal_shop.rows(columns) == [("{id,at,note}",)]


def test_an_unsupported_server_version_is_refused(wal_shop: Shop) -> None:
    """Whatever is installed, before anything is created."""
    with (
        owners(wal_shop) as connections,
        pytest.raises(ServerTooOldError, match=r"syncd needs 99; nothing was changed"),
        pinned(connections.source, oldest=99),
    ):
        pass


# Invalid input


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (["nowhere:id"], "there is no table nowhere"),
        (["other.orders:id"], "there is no table other.orders"),
        (["orders:number"], "orders has no column number"),
        (['orders:"ID"'], "orders has no column ID"),
        (["orders:email"], "orders.email is text, but the order_key of"),
        (["orders:id", "public.orders:id"], "public.orders is named twice"),
        (["syncd.purchases:order_key"], "syncd.purchases is no table"),
        (["unlogged:id"], "unlogged is temporary or unlogged"),
        (["parent:id"], "parent has tables that inherit from it"),
        (["pg_catalog.pg_class:oid"], "pg_class.oid is oid, but"),
    ],
)
def test_a_table_that_cannot_be_followed_is_refused(
    wal_shop: Shop, tables: list[str], message: str
) -> None:
    """With the next step; no publication, slot or privilege is left."""
    wal_shop.sql(
        "CREATE UNLOGGED TABLE unlogged (id bigint PRIMARY KEY);"
        "CREATE TABLE parent (id bigint PRIMARY KEY);"
        "CREATE TABLE child () INHERITS (parent)"
    )
    with pytest.raises(ConfigError) as raised:
        install_wal(wal_shop, *tables)
    assert message in str(raised.value)
    assert raised.value.hint
    assert wal_shop.rows(THINGS) == [(0, 0)]
    assert is_replicating(wal_shop) is False


def is_replicating(shop: Shop) -> object:
    return shop.value(
        f"SELECT rolreplication FROM pg_roles WHERE rolname = '{shop.role}'"
    )


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("uuid", "uuid", True),
        ("integer", "bigint", True),
        ("character varying", "text", True),
        ("bigint", "text", False),
        ("numeric", "bigint", False),
        ("character", "text", False),
    ],
)
def test_key_types_are_alike_when_their_text_is_equal(
    one: str, other: str, *, alike: bool
) -> None:
    """A foreign key is sometimes narrower than the key that it references."""
    assert are_alike(one, other) is alike


def test_installing_without_the_views_is_refused(
    wal_server: Cluster,
) -> None:
    """The views come first: keys are compared with them."""
    with opened_shop(wal_server, f"v{next(_numbers)}", views=False) as bare:
        with pytest.raises(SyncdError, match="order_key is missing"):
            install_wal(bare, "orders:id")
        assert bare.rows(THINGS) == [(0, 0)]


def test_a_missing_role_is_refused(wal_shop: Shop) -> None:
    """The install checks the role before it changes anything."""
    wal_shop.role = "nobody_knows"
    with pytest.raises(ConfigError, match="there is no role nobody_knows"):
        install_wal(wal_shop, "orders:id")
    assert wal_shop.rows(THINGS) == [(0, 0)]


def test_a_failure_to_create_the_slot_leaves_nothing(
    wal_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for open transactions; publication and privilege are withdrawn."""
    monkeypatch.setitem(SESSION, "statement_timeout", "300ms")
    with psycopg.connect(wal_shop.owner) as writer:
        writer.execute("INSERT INTO orders DEFAULT VALUES")
        with pytest.raises(DatabaseUnavailableError, match="cannot be made") as raised:
            install_wal(wal_shop, "orders:id")
        assert "end the long ones" in raised.value.hint
    assert wal_shop.rows(THINGS) == [(0, 0)]
    assert is_replicating(wal_shop) is False
    install_wal(wal_shop, "orders:id")
    assert wal_shop.rows(THINGS) == [(1, 1)]


def test_a_failed_install_keeps_an_existing_publication(
    wal_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps the privilege that the role had, too."""
    install_wal(wal_shop, "orders:id")
    wal_shop.sql(SLOT.format("pg_drop_replication_slot(slot_name)"))
    monkeypatch.setitem(SESSION, "statement_timeout", "300ms")
    with psycopg.connect(wal_shop.owner) as writer:
        writer.execute("INSERT INTO orders DEFAULT VALUES")
        with pytest.raises(DatabaseUnavailableError):
            install_wal(wal_shop, "orders:id")
    assert wal_shop.rows(THINGS) == [(1, 0)]
    assert is_replicating(wal_shop) is True


def test_installing_again_changes_the_tables_and_keeps_the_position(
    wal_shop: Shop, tmp_path: Path
) -> None:
    """The slot stays, and what was not read yet is read."""
    wal_shop.sql(KINDS["primary key"])
    wal_feed = WalHarness(wal_shop, tmp_path, tables=["orders:id"])
    try:
        wal_feed.step_until_read()
        wal_shop.confirm(1)
        assert "slot syncd_shop" not in install_wal(wal_shop, "orders:id", "t:id")
        wal_feed.step_until_admitted(1)
        wal_shop.sql(
            "INSERT INTO orders (id, confirmed_at) "
            "OVERRIDING SYSTEM VALUE VALUES (9, now())"
        )
        wal_feed.step_until_admitted(2)
    finally:
        wal_feed.close()


def test_uninstalling_drops_slot_and_publication_unless_they_are_read(
    wal_shop: Shop, tmp_path: Path
) -> None:
    """Nothing is dropped while the daemon reads; a second uninstall finds nothing."""
    wal_feed = WalHarness(wal_shop, tmp_path, tuning=QUICK)
    wal_feed.step()
    with pytest.raises(ConfigError, match="is being read by pid"):
        uninstall_wal(wal_shop)
    with pytest.raises(ConfigError, match="is being read by pid"):
        install_wal(wal_shop, "orders:id", recreate=True)
    assert wal_shop.rows(THINGS) == [(1, 1)]
    wal_feed.close()
    wait_until(lambda: wal_shop.value(SLOT.format("NOT active")))
    assert uninstall_wal(wal_shop) == ["slot syncd_shop", "publication syncd_shop"]
    assert wal_shop.rows(THINGS) == [(0, 0)]
    assert uninstall_wal(wal_shop) == []
