"""Plans are judged by what they read, whatever PostgreSQL calls the node."""

import pytest

from syncd.core.query_plan import WholeRead, is_derived, whole_reads


def scan(kind: str, table: str = "orders", **more: object) -> dict[str, object]:
    return {"Node Type": kind, "Relation Name": table, "Total Cost": 8.5, **more}


BITMAP = {"Node Type": "Bitmap Index Scan", "Index Cond": "(id = 1)"}


@pytest.mark.parametrize(
    ("node", "is_whole"),
    [
        (scan("Seq Scan"), True),
        (scan("Index Scan"), True),
        (scan("Index Only Scan", Filter="(a > 1)"), True),
        (scan("Index Scan", **{"Index Cond": "(a > 1)"}), False),
        (scan("Bitmap Heap Scan", Plans=[BITMAP]), False),
        (scan("Bitmap Heap Scan", Plans=[{"Node Type": "Bitmap Index Scan"}]), True),
        (scan("Tid Scan"), False),
    ],
)
def test_an_index_scan_without_a_condition_is_a_whole_read(
    node: dict[str, object], *, is_whole: bool
) -> None:
    """PostgreSQL uses it where sequential scans are disabled."""
    plan = [{"Plan": {"Node Type": "Limit", "Plans": [node]}}]
    assert [read.table for read in whole_reads(plan)] == ["orders"] * is_whole


LATE = "(at > '2026-05-01 10:00:00.123457+00'::timestamptz)"


@pytest.mark.parametrize(
    ("node", "is_whole"),
    [
        (scan("Index Scan", Filter=LATE, **{"Index Cond": "(state = 'paid')"}), True),
        (scan("Index Scan", Filter="(a > b)", **{"Index Cond": LATE}), False),
        (scan("Index Scan", Filter=LATE, **{"Index Cond": LATE}), False),
        (scan("Bitmap Heap Scan", Filter=LATE, Plans=[BITMAP]), True),
        (
            scan(
                "Bitmap Heap Scan",
                Filter=LATE,
                Plans=[{"Node Type": "Bitmap Index Scan", "Index Cond": LATE}],
            ),
            False,
        ),
        (scan("Index Scan", **{"Index Cond": "(order_id = o.id)"}), False),
        (scan("Seq Scan"), True),
    ],
)
def test_an_index_that_does_not_limit_the_time_is_read_whole(
    node: dict[str, object], *, is_whole: bool
) -> None:
    """The time bound then only filters what another condition found."""
    plan = {"Plan": node}
    assert bool(whole_reads(plan, ".123457")) is is_whole


@pytest.mark.parametrize(
    ("node", "derived"),
    [
        (scan("Seq Scan", Filter="(paid_at > now())"), False),
        (scan("Seq Scan", Filter="((SubPlan 1) > now())"), True),
        ({"Node Type": "Aggregate", "Filter": "(min(at) > now())"}, True),
        ({"Node Type": "Subquery Scan", "Filter": "(h.at > now())"}, True),
        ({"Node Type": "Hash Join"}, False),
    ],
)
def test_a_value_computed_from_several_rows_has_no_index(
    node: dict[str, object], *, derived: bool
) -> None:
    """Groups, windows and subqueries compute such values."""
    assert is_derived({"Plan": node}) is derived


def test_each_table_is_named_once_by_name() -> None:
    """The result has its last scan, and the cost of that."""
    plan = [scan("Seq Scan"), scan("Seq Scan", "lines"), scan("Index Scan")]
    assert whole_reads(plan) == [
        WholeRead("lines", "Seq Scan", 8.5),
        WholeRead("orders", "Index Scan", 8.5),
    ]


def test_no_plan_reads_nothing() -> None:
    """Without a plan there is no read and no derived value."""
    assert whole_reads(None) == []
    assert not is_derived(None)
