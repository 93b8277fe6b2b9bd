"""Writes a draft as SQL: both views, with a comment for each choice."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from textwrap import wrap

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from syncd.core.sql_text import quoted
from syncd.setup.views.draft.choice import Certainty, Choice
from syncd.setup.views.draft.lines import COUNTED, LineRows
from syncd.setup.views.draft.schema import Kind, Table, literal, one_line
from syncd.setup.views.draft.sources import Source
from syncd.setup.views.draft.times import Moment
from syncd.setup.views.draft.words import words

_WIDTH = 86
_TYPES = {
    "totalvalue": "numeric",
    "products.price": "numeric",
    "products.quantity": "integer",
}
_FIRST = ("orderid", "email", "currency", "totalvalue")


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the SQL is written from.

    Attributes:
        choices: By column.
        line_total: SQL of the sum of a line, where the total is made of these.
        currency: SQL of the currency whose digits amounts are rounded to.
    """

    orders: Table
    key: str
    moment: Moment | None
    lines: LineRows | None
    choices: Mapping[str, Choice]
    summary: Sequence[str]
    order_where: Sequence[str]
    sources: Sequence[Source]
    line_total: str
    currency: str | None


def write(plan: Plan) -> str:
    """Write the text of both views."""
    choices, lines = plan.choices, plan.lines
    columns = [c for n, c in choices.items() if "." not in n and n not in _NOT_COLUMNS]
    products = [c for n, c in choices.items() if n.startswith("products.")]
    text = _template().render(
        plan=plan,
        moment=plan.moment,
        lines=lines,
        summary=[part for line in plan.summary for part in _wrapped(line, _WIDTH)],
        moment_comment=_comment(choices["confirmed_at"], _WIDTH),
        moment_where=list(_moment_conditions(plan)),
        indexes=list(_indexes(plan)),
        columns=[_written(c, _WIDTH - 7) for c in columns],
        lines_comment=_comment(choices["lines"], _WIDTH - 7),
        products=[_written(c, _WIDTH - 18) for c in products],
        counted=any(c.expression == COUNTED for c in products),
        line_order=_line_order(lines) if lines else "",
        joins=list(_joins(plan.sources, columns)),
        line_joins=list(_joins(lines.sources, products)) if lines else [],
        tax=next((c.tax for c in products if c.tax), {}),
        order_where=_of(plan.order_where, "o"),
    )
    return text.replace("\n;\n", ";\n")


_NOT_COLUMNS = frozenset({"orders", "order_key", "confirmed_at", "lines"})


@cache
def _template() -> Template:
    environment = Environment(  # noqa: S701 - SQL, and names are quoted where they are made
        loader=PackageLoader("syncd.setup.views.draft", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quoted"] = quoted
    return environment.get_template("views.sql.jinja")


def _comment(choice: Choice, width: int) -> list[str]:
    """Write why something was chosen, how sure that is, and what else it could be."""
    doubts = "; ".join(choice.doubts)
    mark = "GAP" if choice.certainty is Certainty.GAP else "DOUBT"
    is_sure = choice.certainty is Certainty.SURE
    parts = [
        f"{choice.column}: {choice.certainty.value}. {choice.why}.",
        "" if is_sure else f"{mark}: {doubts}." if doubts else f"{mark}.",
        f"Else: {', '.join(choice.others)}." if choice.others else "",
    ]
    return _wrapped(" ".join(part for part in parts if part), width)


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(
        one_line(text), width, break_long_words=False, break_on_hyphens=False
    ) or [""]


def _written(choice: Choice, width: int) -> dict[str, object]:
    name = choice.column.removeprefix("products.")
    gap = f"NULL::{_TYPES.get(choice.column, 'text')}"
    return {
        "name": name,
        "expression": choice.expression or gap,
        "comment": _comment(choice, width),
    }


def _of(conditions: Iterable[str], alias: str) -> list[str]:
    return [each.replace("{alias}", alias) for each in conditions]


def _moment_conditions(plan: Plan) -> Iterable[str]:
    """Write which rows of the moment's table count, and of which orders."""
    if plan.moment is None:
        return
    yield from _of(plan.moment.where, "c")
    if plan.moment.orders_where:
        key = f"o.{quoted(plan.key)} = c.{quoted(plan.moment.key)}"
        conditions = [key, *_of(plan.moment.orders_where, "o")]
        joined = "\n          AND ".join(conditions)
        table = str(plan.orders.name)
        yield f"EXISTS (\n       SELECT FROM {table} AS o\n        WHERE {joined})"


def _line_order(lines: LineRows) -> str:
    if lines.json:
        return "i.place"
    return ", ".join(f"i.{quoted(name)}" for name in lines.table.key)


def _joins(
    sources: Sequence[Source], choices: Sequence[Choice]
) -> Iterable[dict[str, object]]:
    """List the joins that the chosen fields need, each after those that it needs."""
    used = [field for choice in choices for field in choice.fields]
    columns: dict[str, set[str]] = {}
    for field in used:
        columns.setdefault(field.source.alias, set()).add(field.column)
    needed = {field.source.alias: field.source for field in used}
    for source in list(needed.values()):
        step: Source | None = source
        while step is not None and step.join is not None and step.parent is not None:
            needed[step.alias] = step
            columns.setdefault(step.parent.alias, set()).add(step.join.equals)
            step = step.parent
    for source in sources:
        if source.alias in needed and source.join is not None:
            yield _join(source, sorted(columns.get(source.alias, ())))


def _join(source: Source, columns: Sequence[str]) -> dict[str, object]:
    join = source.join
    if join is None or source.parent is None:
        raise ValueError("the base has no join")
    name, value = source.keys or ("", "")
    return {
        "alias": quoted(source.alias),
        "table": str(source.table.name),
        "column": quoted(join.column),
        "equals": f"{quoted(source.parent.alias)}.{quoted(join.equals)}",
        "is_first": join.is_first,
        "columns": ", ".join(f"f.{quoted(column)}" for column in columns),
        "order": ", ".join(_first_of(source)),
        "name": quoted(name),
        "value": quoted(value),
        "pairs": [{"key": literal(each), "alias": quoted(each)} for each in columns]
        if source.keys
        else [],
    }


def _first_of(source: Source) -> Iterable[str]:
    if source.join is not None and source.join.first:
        yield f"({source.join.first}) DESC"
    for column in source.table.columns:
        if column.meaning.concepts == {"version"} and column.kind is Kind.INTEGER:
            yield f"f.{quoted(column.name)}"
    yield from (f"f.{quoted(name)}" for name in source.table.key)


def _indexes(plan: Plan) -> Iterable[dict[str, str]]:
    """List the indexes that the look-ups want and that are not there."""
    moment = plan.moment
    if moment is None or moment.table.is_view:
        return
    table = one_line(str(moment.table.name))
    if moment.per_second is not None or not moment.time.is_indexed:
        name = "_".join(words(f"syncd {moment.table.name.name} {moment.time.name}"))
        where = " AND ".join(each.replace("{alias}.", "") for each in moment.where)
        yield {
            "why": "Without this index, each poll reads the whole table:",
            "name": name[:60],
            "table": table,
            "column": one_line(moment.at()),
            "where": one_line(where),
        }
    if not moment.table.column(moment.key).is_indexed:
        yield {
            "why": "Without this index, each order is searched for in the whole table:",
            "name": "",
            "table": table,
            "column": one_line(quoted(moment.key)),
            "where": "",
        }
