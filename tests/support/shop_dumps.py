"""Restores the order databases of real shops and grows them to a working size."""

import gzip
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

Connection = psycopg.Connection[tuple[Any, ...]]

REPOSITORY = Path(__file__).resolve().parents[2]
VIEWS = REPOSITORY / "sql" / "shops"
_OURS = REPOSITORY / "tests" / "shops"
_SHARED = REPOSITORY.parent / "shared" / "shops"
_COPY = re.compile(r"^(COPY .+ FROM stdin);\n(.*?)^\\\.\n", re.MULTILINE | re.DOTALL)
_META = re.compile(r"^\\(?:un)?restrict .*\n", re.MULTILINE)


def dump_of(shop: str) -> Path:
    """Return the path of a shop's dump, if it exists (Saleor's is not ours to copy)."""
    copied = _OURS / f"{shop}.sql.gz"
    return copied if copied.exists() else _SHARED / shop / "dump.sql.gz"


def expected_of(shop: str) -> list[dict[str, Any]]:
    """Read the events that a perfect sync sends; numbers are `Decimal`."""
    copied = _OURS / f"{shop}.expected.json"
    path = copied if copied.exists() else _SHARED / shop / "expected.json"
    events: list[dict[str, Any]] = exact(path.read_text("utf-8"))
    return events


def exact(document: str) -> Any:  # noqa: ANN401 - JSON is anything
    """Parse JSON without passing numbers through floats."""
    return json.loads(document, parse_float=Decimal, parse_int=Decimal)


def restore(conninfo: str, shop: str) -> None:
    """Restore the dump of a shop into an empty database, without psql."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        load(connection, gzip.decompress(dump_of(shop).read_bytes()).decode())


def load(connection: Connection, dump: str) -> None:
    """Run a plain dump: its statements, and the rows after each COPY."""
    dump = _META.sub("", dump)
    position = 0
    for block in _COPY.finditer(dump):
        run(connection, dump[position : block.start()])
        with connection.cursor().copy(block[1].encode()) as copy:
            copy.write(block[2])
        position = block.end()
    run(connection, dump[position:])


def apply_views(connection: Connection, shop: str) -> None:
    """Apply a file of `sql/shops` as one string; needs an autocommit connection."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS syncd")
    run(connection, (VIEWS / f"{shop}.sql").read_text("utf-8"))


def advised_indexes(shop: str) -> list[str]:
    """Read the statements that a file of `sql/shops` asks the operator to run."""
    text = (VIEWS / f"{shop}.sql").read_text("utf-8")
    comments = "\n".join(
        line.removeprefix("--") for line in text.splitlines() if line.startswith("--")
    )
    return re.findall(r"CREATE INDEX CONCURRENTLY [^;]+;", comments)


def run(connection: Connection, script: str) -> None:
    """Run the statements of a file."""
    connection.execute(script.encode())


def grow(connection: Connection, shop: str, copies: int) -> None:
    """Add copies of every order, each ten minutes older than the one before."""
    # Foreign keys are not tested here, and checking them takes most of the time.
    connection.execute("SET session_replication_role = replica")
    for name, overrides in _GROWTH[shop].items():
        table = sql.Identifier("public", name)
        columns = _columns(connection, name)
        connection.execute(
            sql.SQL(
                "INSERT INTO {table} ({columns}) SELECT {values}"
                " FROM {table} AS r CROSS JOIN generate_series(1, {copies}) AS n"
            ).format(
                table=table,
                columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
                values=sql.SQL(", ").join(
                    sql.SQL(overrides[column])
                    if column in overrides
                    else sql.Identifier("r", column)
                    for column in columns
                ),
                copies=copies,
            )
        )
        connection.execute(sql.SQL("ANALYZE {}").format(table))
    connection.execute("RESET session_replication_role")


def _columns(connection: Connection, table: str) -> list[str]:
    found = connection.execute(
        """
        SELECT a.attname
          FROM pg_catalog.pg_attribute AS a
         WHERE a.attrelid = format('public.%%I', %s::text)::regclass
           AND a.attnum > 0
           AND NOT a.attisdropped
         ORDER BY a.attnum
        """,
        [table],
    )
    return [str(name) for (name,) in found]


_GROWTH: dict[str, dict[str, dict[str, LiteralString]]] = {
    "django-oscar": {
        "order_order": {
            "id": "r.id + n * 1000",
            "number": "r.number || '-' || n",
            "user_id": "r.user_id + n * 1000",
            "billing_address_id": "r.billing_address_id + n * 1000",
            "shipping_address_id": "r.shipping_address_id + n * 1000",
        },
        "auth_user": {"id": "r.id + n * 1000", "username": "r.username || n"},
        "order_billingaddress": {"id": "r.id + n * 1000"},
        "order_shippingaddress": {"id": "r.id + n * 1000"},
        "order_line": {"id": "r.id + n * 1000", "order_id": "r.order_id + n * 1000"},
        "order_orderdiscount": {
            "id": "r.id + n * 1000",
            "order_id": "r.order_id + n * 1000",
        },
        "order_orderstatuschange": {
            "id": "r.id + n * 1000",
            "order_id": "r.order_id + n * 1000",
            "date_created": "r.date_created - n * interval '10 minutes'",
        },
    },
    "medusa": {
        "order": {
            "id": "r.id || n",
            "display_id": "r.display_id + n * 1000",
            "billing_address_id": "r.billing_address_id || n",
            "shipping_address_id": "r.shipping_address_id || n",
            "created_at": "r.created_at - n * interval '10 minutes'",
        },
        "order_address": {"id": "r.id || n"},
        "order_cart": {
            "id": "r.id || n",
            "order_id": "r.order_id || n",
            "cart_id": "r.cart_id || n",
        },
        "order_summary": {"id": "r.id || n", "order_id": "r.order_id || n"},
        "order_item": {
            "id": "r.id || n",
            "order_id": "r.order_id || n",
            "item_id": "r.item_id || n",
        },
        "order_line_item": {"id": "r.id || n"},
        "order_line_item_tax_line": {"id": "r.id || n", "item_id": "r.item_id || n"},
    },
    "pretix": {
        "pretixbase_order": {
            "id": "r.id + n * 1000",
            "code": "r.code || n",
            "status": "r.status",
        },
        "pretixbase_invoiceaddress": {
            "id": "r.id + n * 1000",
            "order_id": "r.order_id + n * 1000",
            "checkout_session_id": "NULL",
        },
        "pretixbase_orderposition": {
            "id": "r.id + n * 1000",
            "order_id": "r.order_id + n * 1000",
            "secret": "r.secret || n",
            "web_secret": "left(md5(r.web_secret || n), 32)",
            "pseudonymization_id": "r.id || '-' || n",
        },
        "pretixbase_logentry": {
            "id": "r.id + n * 1000",
            "object_id": "r.object_id + n * 1000",
            "datetime": "r.datetime - n * interval '10 minutes'",
        },
    },
    "vendure": {
        "order": {
            "id": "r.id + n * 1000",
            "code": "r.code || n",
            "customerId": 'r."customerId" + n * 1000',
            "orderPlacedAt": "r.\"orderPlacedAt\" - n * interval '10 minutes'",
        },
        "customer": {"id": "r.id + n * 1000", "userId": "NULL"},
        "order_channels_channel": {"orderId": 'r."orderId" + n * 1000'},
        "order_line": {
            "id": "r.id + n * 1000",
            "orderId": 'r."orderId" + n * 1000',
        },
        "payment": {
            "id": "r.id + n * 1000",
            "orderId": 'r."orderId" + n * 1000',
        },
    },
    "saleor": {
        "order_order": {
            "id": "md5(r.id::text || n)::uuid",
            "number": "r.number + n * 1000",
            "billing_address_id": "r.billing_address_id + n * 1000",
            "shipping_address_id": "r.shipping_address_id + n * 1000",
        },
        "account_address": {"id": "r.id + n * 1000"},
        "order_orderevent": {
            "id": "r.id + n * 1000",
            "order_id": "md5(r.order_id::text || n)::uuid",
            "date": "r.date - n * interval '10 minutes'",
        },
        "order_orderline": {
            "id": "md5(r.id::text || n)::uuid",
            "old_id": "NULL",
            "order_id": "md5(r.order_id::text || n)::uuid",
        },
    },
}
