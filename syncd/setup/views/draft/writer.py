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

_TYPES = {
    "totalvalue": "numeric",
    "products.price": "numeric",
    "products.quantity": "integer",
}
_NOT_COLUMNS = frozenset({"orders", "order_key", "confirmed_at", "lines"})


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the SQL is written from.

    Attributes:
        choices: By column.
        line_total: SQL of the sum of a line, where the total is made of these.
        currency: SQL of the currency whose digits amounts are rounded to.
    """

    summary: Sequence[str]
    orders: Table
    key: str
    moment: Moment | None
    lines: LineRows | None
    choices: Mapping[str, Choice]
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
        moment_where=list(_moment_conditions(plan)),
        indexes=list(_indexes(plan)),
        columns=columns,
        joins=list(_joins(plan.sources, columns)),
        lines=lines,
        products=products,
        counted=any(c.expression == COUNTED for c in products),
        line_joins=list(_joins(lines.sources, products)) if lines else [],
        tax=next((c.tax for c in products if c.tax), {}),
    )
    return text.replace("\n;\n", ";\n")


@cache
def _template() -> Template:
    environment = Environment(  # noqa: S701 - SQL, and names are quoted where they are made
        loader=PackageLoader("syncd.setup.views.draft", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "comment": _comment,
        "literal": literal,
        "names": _names,
        "of": _of,
        "order": _order,
        "quoted": quoted,
        "sql": _sql,
        "wrapped": _wrapped,
    }
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


def _sql(choice: Choice) -> str:
    return choice.expression or f"NULL::{_TYPES.get(choice.column, 'text')}"


def _of(condition: str, alias: str) -> str:
    return condition.replace("{alias}", alias)


def _names(columns: Iterable[str], alias: str) -> str:
    return ", ".join(f"{alias}.{quoted(column)}" for column in columns)


def _moment_conditions(plan: Plan) -> Iterable[str]:
    """Write which rows of the moment's table count, and of which orders."""
    if plan.moment is None:
        return
    yield from (_of(each, "c") for each in plan.moment.where)
    if plan.moment.orders_where:
        key = f"o.{quoted(plan.key)} = c.{quoted(plan.moment.key)}"
        conditions = [key, *(_of(each, "o") for each in plan.moment.orders_where)]
        joined = "\n          AND ".join(conditions)
        table = str(plan.orders.name)
        yield f"EXISTS (\n       SELECT FROM {table} AS o\n        WHERE {joined})"


def _joins(
    sources: Sequence[Source], choices: Sequence[Choice]
) -> Iterable[tuple[Source, list[str]]]:
    """List the sources that the choices need, each after those that it is joined to.

    With the columns that are read of each.
    """
    columns: dict[str, set[str]] = {}
    for field in (field for choice in choices for field in choice.fields):
        step, column = field.source, field.column
        columns.setdefault(step.alias, set()).add(column)
        while step.join is not None and step.parent is not None:
            columns.setdefault(step.parent.alias, set()).add(step.join.equals)
            step = step.parent
    for source in sources:
        if source.alias in columns and source.join is not None:
            yield source, sorted(columns[source.alias])


def _order(source: Source) -> str:
    """Write which of several rows is taken."""
    join = source.join
    first = [f"({join.first}) DESC"] if join and join.first else []
    versions = [
        column.name
        for column in source.table.of_kind(Kind.INTEGER)
        if column.meaning.concepts == {"version"}
    ]
    columns = [*versions, *source.table.key]
    return ", ".join([*first, *(f"f.{quoted(column)}" for column in columns)])


def _indexes(plan: Plan) -> Iterable[tuple[str, str, str, str]]:
    """List the indexes that the look-ups want and that are not there.

    Each with what happens without it, a name, the column and a condition.
    """
    moment = plan.moment
    if moment is None or moment.table.is_view:
        return
    if moment.per_second is not None or not moment.time.is_indexed:
        name = "_".join(words(f"syncd {moment.table.name.name} {moment.time.name}"))
        where = " AND ".join(each.replace("{alias}.", "") for each in moment.where)
        why = "each poll reads the whole table"
        yield why, name[:60], one_line(moment.at()), one_line(where)
    if not moment.table.column(moment.key).is_indexed:
        why = "each order is searched for in the whole table"
        yield why, "", one_line(quoted(moment.key)), ""
