"""Which index a plan lacks: read from the conditions of what it reads whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import cast

from syncd.core.field_value import is_array, is_object
from syncd.core.sql_text import SqlName, Token, statements, unquoted

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


_COLUMN = 3
"""Tokens of a column with its table: `o.id`."""

_CONSTANT_SIGNS = frozenset("()=:,.[]")
"""Without comparisons: a bound may be the look-up's own, and change with each."""

_OPERATOR = frozenset("<>=!~@#|&?*+/%^-")
_CONSTANT_WORDS = frozenset({"IS", "NOT", "NULL", "ANY", "TRUE", "FALSE"})


@dataclass(frozen=True, slots=True)
class MissingIndex:
    """An index that would spare a look-up the reading of a whole table.

    Attributes:
        table: As SQL writes it.
        column: A column as SQL writes it, or an expression in parentheses.
        where: Conditions of a partial index, as SQL; empty: of every row.
        columns: All that are sought by, also `column`: an index on any of them may do.
    """

    table: str
    column: str
    where: str = ""
    columns: tuple[str, ...] = ()

    @property
    def statement(self) -> str:
        """The statement that makes it without blocking the shop."""
        where = f" WHERE {self.where}" if self.where else ""
        return f"CREATE INDEX CONCURRENTLY ON {self.table} ({self.column}){where};"


def missing_indexes(plan: object, bound: str | None = None) -> list[MissingIndex]:
    """Name what would serve the tables that a verbose plan (JSON) reads whole.

    See `whole_reads` for the bound.

    A table is left out where its conditions do not show it.
    """
    conditions = _conditions(plan)
    found = []
    for node in nodes(plan):
        if "Relation Name" in node and "Schema" in node and is_whole(node, bound):
            own = _conjuncts(str(node.get("Filter", "")))
            alias = str(node["Alias"])
            table = str(SqlName(str(node["Schema"]), str(node["Relation Name"])))
            index = _index(table, alias, own) or _index(table, alias, conditions)
            if index is not None and index not in found:
                found.append(index)
    return found


def _conditions(plan: object) -> list[Sequence[Token]]:
    return [
        part
        for node in nodes(plan)
        for name in ("Filter", "Join Filter", "Hash Cond", "Merge Cond")
        for part in _conjuncts(str(node.get(name, "")))
    ]


def _index(
    table: str, alias: str, conditions: Sequence[Sequence[Token]]
) -> MissingIndex | None:
    """Choose the condition to seek by: the last, since the view's own go first.

    One that compares with a column or a value is better than one with an expression.
    """
    sought = [
        (place, *sides)
        for place, condition in enumerate(conditions)
        if (sides := _sought(alias, condition)) is not None
    ]
    if not sought:
        return None
    place, side, _ = max(sought, key=lambda each: (_is_plain(each[2]), each[0]))
    others = [*conditions[:place], *conditions[place + 1 :]]
    is_range = any(token.text == ">" for token in conditions[place])
    kept = [c for c in others if is_range and _is_constant(alias, c)]
    where = " AND ".join(f"({_written(alias, part)})" for part in kept)
    columns = tuple(_column(alias, each) for _, each, _ in sought)
    return MissingIndex(table, _column(alias, side), where, columns)


def _is_plain(other: Sequence[Token]) -> bool:
    """Return whether it is a column, or the keys that are looked up."""
    return len(_bare(other)) == _COLUMN or other[0].keyword == "ANY"


def _sought(
    alias: str, condition: Sequence[Token]
) -> tuple[Sequence[Token], Sequence[Token]] | None:
    """Return the table's side of a condition, and the other, if that is a value."""
    for place, _ in _outer(condition):
        operator = _operator(condition, place)
        if operator not in {"=", ">", ">="}:
            continue
        left, right = condition[:place], condition[place + len(operator) :]
        words = {token.keyword for token in right}
        is_value = operator != "=" or "ANY" in words or "$" in {t.text for t in right}
        for side, other in ((left, right), (right, left)):
            others = _aliases(other)
            if _aliases(side) == {alias} != others and (is_value or others):
                return side, other
    return None


def _operator(condition: Sequence[Token], place: int) -> str:
    """Return the whole operator that begins at a token; empty where none does."""
    if place and condition[place - 1].text in _OPERATOR:
        return ""
    signs = takewhile(lambda token: token.text in _OPERATOR, condition[place:])
    return "".join(token.text for token in signs)


def _conjuncts(text: str) -> list[Sequence[Token]]:
    """Take a condition apart at its ANDs, without the parentheses around each."""
    whole = next(statements(text), None)
    return list(_parts(whole.tokens)) if whole else []


def _parts(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    tokens = _bare(tokens)
    begin = 0
    for place, token in _outer(tokens):
        if token.keyword == "OR":
            yield tokens
            return
        if token.keyword == "AND":
            yield from _parts(tokens[begin:place])
            begin = place + 1
    if begin:
        yield from _parts(tokens[begin:])
    else:
        yield tokens


def _bare(tokens: Sequence[Token]) -> Sequence[Token]:
    """Take off the parentheses that enclose all of it."""
    while tokens and tokens[0].text == "(" and len(list(_outer(tokens))) == 2:  # noqa: PLR2004  # the two parentheses
        tokens = tokens[1:-1]
    return tokens


def _outer(tokens: Sequence[Token]) -> Iterator[tuple[int, Token]]:
    """Yield the tokens that stand in no parentheses, those themselves included."""
    depth = 0
    for place, token in enumerate(tokens):
        depth -= token.text in {")", "]"}
        if depth == 0:
            yield place, token
        depth += token.text in {"(", "["}


def _aliases(tokens: Sequence[Token]) -> set[str]:
    """Return the tables whose columns stand in an expression."""
    return {
        unquoted(token.text)
        for token, after in pairwise(tokens)
        if token.kind in {"word", "quoted"} and after.text == "."
    }


def _is_constant(alias: str, condition: Sequence[Token]) -> bool:
    """Return whether a condition is of this table and means the same for ever."""
    if _aliases(condition) != {alias}:
        return False
    for token, after in zip(condition, [*condition[1:], None], strict=True):
        if token.kind == "sign" and not (
            token.text in _CONSTANT_SIGNS or token.text.isalnum()
        ):
            return False
        is_call = after is not None and after.text == "("
        is_name = token.kind in {"word", "quoted"}
        if is_name and is_call and token.keyword not in _CONSTANT_WORDS:
            return False
    return True


def _column(alias: str, side: Sequence[Token]) -> str:
    text = _written(alias, _bare(side))
    return text if len(_bare(side)) == _COLUMN else f"({text})"


def _written(alias: str, tokens: Sequence[Token]) -> str:
    """Write an expression without the table's alias, with the blanks that it had."""
    parts: list[str] = []
    end = tokens[0].start
    place = 0
    while place < len(tokens):
        token = tokens[place]
        parts.append(" " if token.start > end else "")
        is_alias = (
            token.kind in {"word", "quoted"}
            and unquoted(token.text) == alias
            and place + 1 < len(tokens)
            and tokens[place + 1].text == "."
        )
        if is_alias:
            place, end = place + 2, tokens[place + 1].end
            continue
        parts.append(token.text)
        place, end = place + 1, token.end
    return "".join(parts)
