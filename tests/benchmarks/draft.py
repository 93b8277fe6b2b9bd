"""The accuracy of `views draft`: its views compared with hand-written ones, by value.

    PYTHONPATH=tests python tests/benchmarks/draft.py

For each shop whose dump is at hand: each column of the hand-written views is right (the
same values in 95 of 100 orders), wrong (with or without a mark of doubt), or not found.
The orders compared are those that the hand-written view lists.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
from support import draft_schemas, shop_dumps
from support.postgres import cluster

from syncd.setup.views.draft import Draft

SHOPS = ("django-oscar", "medusa", "pretix", "saleor", "vendure")
TABLES = {
    "django-oscar": ("public.order_order", "public.order_line"),
    "medusa": ('public."order"', "public.order_item"),
    "pretix": ("public.pretixbase_order", "public.pretixbase_orderposition"),
    "saleor": ("public.order_order", "public.order_orderline"),
    "vendure": ('public."order"', "public.order_line"),
}
MATTER = (
    "order_key",
    "confirmed_at",
    "orderid",
    "email",
    "currency",
    "totalvalue",
    "products.id",
    "products.quantity",
    "products.price",
)
MORE = (
    "products.name",
    "language",
    "firstname",
    "lastname",
    "phone",
    "postcode",
    "city",
    "country",
)
ENOUGH = 0.95
CENT = Decimal("0.011")

Views = tuple[dict[str, Any], dict[str, dict[str, Any]]]


def read(connection: psycopg.Connection[Any]) -> Views:
    """Read both views: the first time of each key, and the columns of each key."""
    times = dict(
        connection.execute(
            "SELECT order_key::text, min(confirmed_at) FROM syncd.confirmed_orders"
            " WHERE confirmed_at IS NOT NULL GROUP BY 1"
        ).fetchall()
    )
    rows = connection.execute(
        "SELECT order_key::text, to_jsonb(p)::text FROM syncd.purchases AS p"
    ).fetchall()
    return times, {key: shop_dumps.exact(row) for key, row in rows}


def is_close(one: Decimal | None, other: Decimal | None) -> bool:
    """Compare two amounts, to the precision of an event."""
    return one is not None and other is not None and abs(one - other) <= CENT


def same(one: object, other: object) -> bool:
    """Compare two values as an event would show them."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    numbers = [_number(value) for value in (one, other)]
    if None not in numbers and not isinstance(one, str):
        return is_close(*numbers)
    return str(one or "").strip() == str(other or "").strip()


def _number(value: object) -> Decimal | None:
    try:
        return Decimal(str(value))
    except ArithmeticError:
        return None


def column(row: dict[str, Any], name: str) -> object:
    """Return the value of a column; of products, that of each, in order of id."""
    if not name.startswith("products."):
        return row.get(name)
    products = [p or {} for p in row.get("products") or []]
    products.sort(key=lambda p: (str(p.get("name")), _number(p.get("price")) or 0))
    values = [p.get(name.removeprefix("products.")) for p in products]
    return sorted(values, key=str)


def judge(name: str, hand: Views, ours: Views, made: Draft) -> str:
    """Return what became of a column."""
    choice = next((c for c in made.choices if c.column == name), None)
    if name == "order_key":
        is_right = hand[1].keys() <= ours[1].keys()
    elif name == "confirmed_at":
        good = sum(ours[0].get(k) == at for k, at in hand[0].items())
        extra = len(ours[0].keys() - hand[0].keys())
        is_right = good >= ENOUGH * len(hand[0]) and extra <= 0.05 * len(hand[0])
    else:
        keys = [k for k in hand[0] if k in hand[1]]
        if not any(column(hand[1][k], name) for k in keys):
            return "-"
        if choice is None or choice.certainty == "gap":
            return "not found"
        good = sum(
            same(column(hand[1][k], name), column(ours[1].get(k, {}), name))
            for k in keys
        )
        is_right = good >= ENOUGH * len(keys)
    if is_right:
        return "right"
    if choice is None or choice.certainty == "gap":
        return "not found"
    return "wrong, sure" if choice.certainty == "sure" else "wrong, marked"


def compare(conninfo: str, shop: str) -> dict[str, str] | None:
    """Draft the views of a shop and judge each column; None: nothing to compare."""
    if (
        not shop_dumps.dump_of(shop).exists()
        or not (shop_dumps.VIEWS / f"{shop}.sql").exists()
    ):
        return None
    shop_dumps.restore(conninfo, shop)
    made = draft_schemas.draft_of(conninfo)
    assert made is not None
    with psycopg.connect(conninfo, autocommit=True) as connection:
        shop_dumps.apply_views(connection, shop)
        hand = read(connection)
        connection.execute("DROP SCHEMA syncd CASCADE")
        connection.execute("CREATE SCHEMA syncd")
        shop_dumps.run(connection, made.sql)
        ours = read(connection)
    orders, lines = TABLES[shop]
    found = {
        "orders' table": "right"
        if made.choice("orders").expression == orders
        else "wrong, marked",
        "lines' table": "right"
        if made.choice("lines").expression == lines
        else "wrong, marked",
    }
    return found | {n: judge(n, hand, ours, made) for n in (*MATTER, *MORE)}


def results() -> Iterator[tuple[str, dict[str, str]]]:
    """Judge every shop whose dump is available."""
    with cluster() as server:
        for number, shop in enumerate(SHOPS):
            server.sql(f"CREATE DATABASE d{number}")
            if found := compare(server.dsn(f"d{number}"), shop):
                yield shop, found


def main() -> None:
    """Print the table of the documentation."""
    found = dict(results())
    print(f"| | {' | '.join(found)} |")
    print(f"| --- {'| --- ' * len(found)}|")
    for name in next(iter(found.values())):
        print(f"| {name} | {' | '.join(f[name] for f in found.values())} |")
    judged = [f[name] for f in found.values() for name in MATTER if f[name] != "-"]
    right = judged.count("right")
    print(
        f"\n{right} of {len(judged)} columns that matter are right "
        f"({right / len(judged):.0%}); wrong without a mark of doubt: "
        f"{judged.count('wrong, sure')}."
    )


if __name__ == "__main__":
    main()
