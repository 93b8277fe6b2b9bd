"""What a plan of PostgreSQL's reads whole, and whether an index could spare it that."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from syncd.core.json_value import is_array, is_object

_BY_INDEX = {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}
_WHOLE = {"Seq Scan", "Sample Scan"}


@dataclass(frozen=True, slots=True)
class WholeRead:
    """A table, or a whole index of it, that a plan reads from end to end.

    Attributes:
        cost: In PostgreSQL's units.
    """

    table: str
    how: str
    cost: float


def whole_reads(plan: object, bound: str | None = None) -> list[WholeRead]:
    """List what a plan (EXPLAIN's JSON) reads whole, each table once, by name.

    A scan of an index without a condition on it is one, too: it reads every row.

    Args:
        plan: What PostgreSQL returned.
        bound: Text of the value that limits the look-up, as conditions show it; None:
            any condition on an index limits it.
    """
    found = {
        str(node["Relation Name"]): WholeRead(
            str(node["Relation Name"]),
            str(node["Node Type"]),
            cast("float", node["Total Cost"]),
        )
        for node in nodes(plan)
        if "Relation Name" in node and is_whole(node, bound)
    }
    return [found[table] for table in sorted(found)]


def is_derived(plan: object) -> bool:
    """Return whether rows are sorted out by what is computed from several of them.

    A group, a window, a union of parts or a subquery for each row: no index has it.
    """
    return any(
        "Filter" in node
        and ("Relation Name" not in node or "SubPlan" in str(node["Filter"]))
        for node in nodes(plan)
    )


def is_whole(node: dict[str, object], bound: str | None = None) -> bool:
    """Return whether a node of a plan reads its table from end to end.

    An index that is sought by another condition than the bound is read for all rows
    that there ever were: each paid order, say, of which the newest are kept.
    """
    kind = node["Node Type"]
    if bound is not None and bound in str(node.get("Filter")):
        return not any(bound in str(part.get("Index Cond")) for part in nodes(node))
    if kind == "Bitmap Heap Scan":
        return not any("Index Cond" in part for part in nodes(node.get("Plans")))
    return kind in _WHOLE or (kind in _BY_INDEX and "Index Cond" not in node)


def nodes(plan: object) -> Iterator[dict[str, object]]:
    """Walk through a plan, from the top."""
    if is_array(plan):
        for part in plan:
            yield from nodes(part)
    elif is_object(plan):
        if "Node Type" in plan:
            yield plan
        for name in ("Plan", "Plans"):
            yield from nodes(plan.get(name))
