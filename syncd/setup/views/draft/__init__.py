"""Drafts both views of an unknown shop, from its catalogue and bounded samples.

It writes SQL with a reason for each choice and changes nothing; of the rows, the text
holds names of statuses only. Its modules stand in this order:

    words -> schema -> catalogue, samples -> references -> tables
    -> sources, fields -> roles, choice -> orders -> lines, prices, tax
    -> status, conditions -> times, own_times, moments -> writer
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from syncd.core.sql_text import SqlName
from syncd.postgres.database import Database
from syncd.postgres.statements import query
from syncd.setup.views.draft.catalogue import DatabaseSamples, read_catalogue
from syncd.setup.views.draft.choice import Certainty, Choice
from syncd.setup.views.draft.conditions import standing
from syncd.setup.views.draft.lines import COUNTED, Lines, find_lines
from syncd.setup.views.draft.moments import moment_choice, moments
from syncd.setup.views.draft.orders import Orders
from syncd.setup.views.draft.references import with_guesses
from syncd.setup.views.draft.samples import Samples
from syncd.setup.views.draft.schema import Catalogue, Kind, Table, one_line
from syncd.setup.views.draft.sources import reach
from syncd.setup.views.draft.tables import key_choice, orders_tables, table_choice
from syncd.setup.views.draft.times import Moment
from syncd.setup.views.draft.writer import Plan, write

_ORDERS = 120
_SECONDS = 5  # for each statement
_SHOWN = ("column", "certainty", "expression", "why", "doubts", "others")


@dataclass(frozen=True, slots=True)
class Draft:
    """The proposal.

    Attributes:
        sql: The text of both views, to be read and applied by a person.
        choices: One for each decision; `orders`, `lines` and `confirmed_at` as well.
    """

    sql: str
    choices: tuple[Choice, ...]

    def choice(self, column: str) -> Choice:
        """Find the choice of one column."""
        return next(c for c in self.choices if c.column == column)

    @property
    def tally(self) -> str:
        """How many choices there are of each certainty, as a sentence shows it."""
        counts = Counter(c.certainty for c in self.choices)
        return ", ".join(f"{counts[c]} {c.value}" for c in Certainty if counts[c])

    def as_json(self) -> dict[str, object]:
        """Return it for scripts."""
        return {
            "sql": self.sql,
            "choices": [
                {name: getattr(choice, name) for name in _SHOWN}
                for choice in self.choices
            ],
        }


def draft(database: Database) -> Draft | None:
    """Draft the two views of a shop; None: no table of orders was found.

    Raises:
        SyncdError: The database cannot be read.
    """
    with database.transaction():
        database.run(query("begin_draft"), limit=f"{_SECONDS}s")
        return compose(read_catalogue(database), DatabaseSamples(database))


def compose(catalogue: Catalogue, samples: Samples) -> Draft | None:
    """Draft the views from what was read, or is read of samples."""
    catalogue = with_guesses(catalogue)
    found = orders_tables(catalogue)
    if not found:
        return None
    orders = found[0].table
    key, chosen_key = key_choice(orders, samples)
    sources = reach(catalogue, samples, orders, "o", samples.rows(orders)[:_ORDERS])
    limits = standing(catalogue, samples, orders)
    ways = moments(catalogue, samples, sources[0], key, limits)
    about = Orders(sources, key)
    choices = [table_choice("orders", found), chosen_key, moment_choice(ways)]
    choices += about.choices()
    lines = find_lines(catalogue, samples, sources[0], key)
    if lines is None:
        choices.append(Choice("lines", Certainty.GAP, why="no table holds the lines"))
    else:
        cents = _in_cents(about.total)
        of_lines = Lines(catalogue, samples, lines)
        choices += [lines.choice, *of_lines.choices(about.totals(), cents=cents)]
    by_column = {choice.column: choice for choice in choices}
    line_total, currency = _sum_lines(by_column), _round(by_column)
    plan = Plan(
        list(_summary(catalogue, orders, samples, ways)),
        orders,
        key,
        ways[0] if ways else None,
        lines,
        by_column,
        limits.where,
        sources,
        line_total,
        currency,
    )
    return Draft(write(plan), tuple(by_column.values()))


def _in_cents(total: Choice) -> bool | None:
    """Return whether a total is in hundredths; None: it is no whole number."""
    if not total.fields or total.fields[0].kind is not Kind.INTEGER:
        return None
    return total.is_in_hundredths


def _sum_lines(choices: dict[str, Choice]) -> str:
    """Take the sum of the lines where nothing holds the total; return its SQL."""
    total = choices["totalvalue"]
    if total.expression or choices["lines"].certainty is Certainty.GAP:
        return ""
    quantity = choices["products.quantity"].expression
    price = choices["products.price"].expression
    if not price or not quantity:
        return ""
    choices["totalvalue"] = Choice(
        "totalvalue",
        Certainty.DOUBTFUL,
        "l.total",
        "the sum of the lines: no column holds the total",
        ("without shipping, discounts and what else there may be",),
        total.others,
    )
    is_counted = quantity == COUNTED
    return "g.quantity * g.price" if is_counted else f"({quantity}) * ({price})"


def _round(choices: dict[str, Choice]) -> str | None:
    """Round what has no digits of its own to the currency's; return the currency."""
    currency = choices["currency"].expression
    total, price = choices["totalvalue"], choices.get("products.price")
    wide = [total] if any(field.is_endless for field in total.fields) else []
    wide += [price] if price and price.tax is not None else []
    if currency is None or not wide:
        return None
    for each in wide:
        rounded = f"round({each.expression}, m.digits)"
        choices[each.column] = replace(each, expression=rounded)
    return currency


def _summary(
    catalogue: Catalogue, orders: Table, samples: Samples, ways: Sequence[Moment]
) -> Iterator[str]:
    rows = len(samples.rows(orders))
    tables = catalogue.seen or len(catalogue.tables)
    yield f"Made from {tables} tables and views, and {rows} orders."
    if not rows:
        yield "There were no orders to look at: all is by names, and unproved."
    if samples.failed:
        names = _listed(sorted(samples.failed))
        yield f"GAP: no rows of {names}: they could not be read, or not in time."
    if catalogue.unreadable:
        names = _listed(catalogue.unreadable)
        yield f"GAP: your role may not read {names}."
    if ways and ways[0].time.type.endswith("without time zone"):
        yield "Set source.time_zone: the times are written without one."


def _listed(names: Sequence[SqlName]) -> str:
    return ", ".join(one_line(str(name)) for name in names[:5])
