"""Which index a plan lacks."""

import pytest

from syncd.core.query_plan import missing_indexes


def scan(condition: str, table: str = "orders", **more: object) -> dict[str, object]:
    node = {
        "Node Type": "Seq Scan",
        "Schema": "public",
        "Relation Name": table,
        "Alias": "o",
        "Filter": condition,
    }
    return node | more


LATER = "'2026-01-01 00:00:00+00'::timestamp with time zone"


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        (f"(o.paid_at > {LATER})", "public.orders (paid_at);"),
        (
            f'((o."paidAt" IS NOT NULL) AND (NOT o.void) AND (o."paidAt" > {LATER}))',
            'public.orders ("paidAt") WHERE ("paidAt" IS NOT NULL) AND (NOT void);',
        ),
        (
            f"((o.paid_at AT TIME ZONE 'UTC'::text) > {LATER})",
            "public.orders ((paid_at AT TIME ZONE 'UTC'::text));",
        ),
        (
            f"(COALESCE(o.a, o.b) > {LATER})",
            "public.orders ((COALESCE(a, b)));",
        ),
        (
            f"((o.at < now()) AND ((o.s = 'x AND (y'::text) AND (o.at > {LATER})))",
            "public.orders (at) WHERE (s = 'x AND (y'::text);",
        ),
        (f"(o.at >= {LATER})", "public.orders (at);"),
        (
            f"((o.a <> i.b) AND (o.tags @> 'x'::text) AND (o.at > {LATER}))",
            "public.orders (at);",
        ),
        (
            f"((o.at <= {LATER}) AND (o.s = 'x'::text) AND (o.at > {LATER}))",
            "public.orders (at) WHERE (s = 'x'::text);",
        ),
        (
            f"((lower(o.t) = 'x'::text) AND (o.a > i.b) AND (o.at > {LATER}))",
            "public.orders (a);",
        ),
        ("(o.id = ANY ('{1,2}'::bigint[]))", "public.orders (id);"),
        ("((o.state = 'paid'::text) AND (o.id = $1))", "public.orders (id);"),
        ("(i.order_id = o.id)", "public.orders (id);"),
        ("((o.b = i.x) AND (o.a = i.y))", "public.orders (a);"),
        (
            "((o.id = ANY ('{1,2}'::bigint[])) AND (o.v = COALESCE(c.v, i.v)))",
            "public.orders (id);",
        ),
        (
            f"((o.at > {LATER}) AND (o.s = 'x'::text))",
            "public.orders (at) WHERE (s = 'x'::text);",
        ),
        (
            f"((o.o = 'x'::text) AND (o.at > {LATER}))",
            "public.orders (at) WHERE (o = 'x'::text);",
        ),
        (
            f"((o.tags[i.n] = 'x'::text) AND (o.at > {LATER}))",
            "public.orders (at);",
        ),
        (
            f"""(("isPaid"(o.s) = 'x'::text) AND (o.at > {LATER}))""",
            "public.orders (at);",
        ),
        (f"(o.times[1] > {LATER})", "public.orders ((times[1]));"),
    ],
)
def test_the_condition_of_a_scan_names_its_index(condition: str, wanted: str) -> None:
    """The view's conditions are added if they always mean the same."""
    (index,) = missing_indexes([{"Plan": scan(condition)}])
    assert index.statement == f"CREATE INDEX CONCURRENTLY ON {wanted}"


def test_a_quoted_alias_is_an_alias_too() -> None:
    """It is removed from the index like any other."""
    condition = f"""(("O"."paidBy" = 'x'::text) AND ("O"."paidAt" > {LATER}))"""
    (index,) = missing_indexes([{"Plan": scan(condition, Alias="O")}])
    assert index.statement == (
        'CREATE INDEX CONCURRENTLY ON public.orders ("paidAt") '
        """WHERE ("paidBy" = 'x'::text);"""
    )


def test_a_type_may_have_the_name_of_the_alias() -> None:
    """The type is no table, and is kept."""
    condition = f"((state.state = 'x'::state) AND (state.at > {LATER}))"
    (index,) = missing_indexes([{"Plan": scan(condition, Alias="state")}])
    assert (index.column, index.where) == ("at", "(state = 'x'::state)")


@pytest.mark.parametrize(
    "condition",
    ["", "(o.state = 'paid'::text)", "((o.a = 1) OR (o.id = $1))", "(o.a = o.b)",
     "(o.paid IS TRUE)"],
)  # fmt: skip
def test_an_unclear_condition_names_no_index(condition: str) -> None:
    """No index is guessed."""
    assert missing_indexes([{"Plan": scan(condition)}]) == []


def test_conditions_that_an_index_cannot_use_are_ignored() -> None:
    """They are of another table, with a custom operator, or a function."""
    condition = f"((o.a = i.b) AND (o.tags @> 'x'::text) AND (o.at > {LATER}))"
    (index,) = missing_indexes([{"Plan": scan(condition)}])
    assert (index.column, index.where) == ("a", "")


def test_a_column_is_preferred_to_an_expression() -> None:
    """All candidates are reported: an index on any of them may do."""
    condition = "((o.id = i.order_id) AND (o.version = COALESCE(c.version, i.version)))"
    (index,) = missing_indexes([{"Plan": scan(condition)}])
    assert index.column == "id"
    assert index.columns == ("id", "version")


def test_the_conditions_of_the_scan_itself_come_first() -> None:
    """Those of the joins above it only if it has no usable one."""
    plan = {
        "Node Type": "Nested Loop",
        "Join Filter": "(o.id = i.order_id)",
        "Plans": [scan(f"(o.at > {LATER})"), {"Node Type": "Result"}],
    }
    assert [index.column for index in missing_indexes(plan)] == ["at"]


def test_a_node_without_a_schema_is_no_table() -> None:
    """A scanned function or subquery needs no index."""
    node = scan(f"(o.at > {LATER})")
    assert missing_indexes({k: v for k, v in node.items() if k != "Schema"}) == []
    node = {k: v for k, v in node.items() if k != "Relation Name"}
    assert missing_indexes(node) == []


@pytest.mark.parametrize("name", ["Hash Cond", "Merge Cond", "Join Filter", "Filter"])
def test_a_join_names_the_column_of_the_scanned_table(name: str) -> None:
    """The column is named once, although two conditions use it."""
    lines = scan("", "Order Lines", Alias="i", Schema="My Shop")
    plan = {
        "Node Type": "Hash Join",
        name: '(i."orderId" = o.id)',
        "Plans": [lines, {**lines, "Output": ["i.id"]}],
    }
    (index,) = missing_indexes(plan)
    assert index.statement == (
        'CREATE INDEX CONCURRENTLY ON "My Shop"."Order Lines" ("orderId");'
    )


def test_an_index_that_misses_the_bound_is_no_help() -> None:
    """A scan by another condition needs an index of the bound's column."""
    node = scan(f"(o.paid_at > {LATER})", **{"Index Cond": "(state = 'paid'::text)"})
    node["Node Type"] = "Index Scan"
    plan = {"Plan": node}
    assert missing_indexes(plan) == []
    (found,) = missing_indexes(plan, "2026-01-01")
    assert (found.table, found.column) == ("public.orders", "paid_at")
