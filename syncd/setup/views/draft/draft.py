"""Drafts the two views of an unknown shop: pure, from catalogue and samples."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from syncd.setup.views.draft.amounts import is_endless
from syncd.setup.views.draft.choice import Certainty, Choice
from syncd.setup.views.draft.conditions import Standing, standing
from syncd.setup.views.draft.line_rows import FoundLines, lines_of, table_choice
from syncd.setup.views.draft.lines import COUNTED, Lines
from syncd.setup.views.draft.moment import Moment
from syncd.setup.views.draft.moments import moments
from syncd.setup.views.draft.orders import Orders
from syncd.setup.views.draft.profile import profile
from syncd.setup.views.draft.references import with_guesses
from syncd.setup.views.draft.samples import Samples
from syncd.setup.views.draft.schema import (
    Catalogue,
    Column,
    Kind,
    Table,
    one_line,
    quote,
)
from syncd.setup.views.draft.sources import Source, reach
from syncd.setup.views.draft.tables import orders_tables
from syncd.setup.views.draft.words import words
from syncd.setup.views.draft.writer import Plan, write

_ORDERS = 120


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
                {
                    "column": c.column,
                    "certainty": c.certainty.value,
                    "expression": c.expression,
                    "why": c.why,
                    "doubts": list(c.doubts),
                    "others": list(c.others),
                }
                for c in self.choices
            ],
        }


def compose(catalogue: Catalogue, samples: Samples) -> Draft | None:
    """Draft the views; None: no table of orders was found."""
    catalogue = with_guesses(catalogue)
    found = orders_tables(catalogue)
    if not found:
        return None
    orders = found[0].table
    key, key_choice = _key(orders, samples)
    sources = reach(catalogue, samples, orders, "o", samples.rows(orders)[:_ORDERS])
    limits = standing(catalogue, samples, orders)
    moment, moment_choice = _moment(catalogue, samples, sources[0], key, limits)
    about = Orders(sources, key)
    chosen = about.choices()
    choices = [table_choice("orders", found), key_choice, moment_choice, *chosen]
    choices += [*profile(sources, about.fields), about.language()]
    lines = lines_of(catalogue, samples, sources[0], key)
    of_lines, tax_join = _of_lines(catalogue, samples, lines, about, chosen[-1])
    choices, line_total = _with_total([*choices, *of_lines])
    choices, currency = _rounded(choices, is_taxed=tax_join is not None)
    plan = Plan(
        orders,
        key,
        moment,
        lines.plan if lines else None,
        choices,
        list(_summary(catalogue, orders, samples, moment)),
        limits.where,
        sources,
        lines.sources if lines else (),
        tax_join,
        line_total,
        currency,
    )
    return Draft(write(plan), tuple(choices))


def _of_lines(
    catalogue: Catalogue,
    samples: Samples,
    lines: FoundLines | None,
    about: Orders,
    total: Choice,
) -> tuple[list[Choice], Mapping[str, object] | None]:
    """Choose what describes the lines, and what their tax needs to be joined."""
    if lines is None:
        return [Choice("lines", Certainty.GAP, why="no table holds the lines")], None
    about_lines = Lines(catalogue, samples, lines.sources, lines.reference)
    chosen = about_lines.choices(about.totals(total), cents=_in_cents(total))
    return [lines.choice, *chosen], about_lines.tax_join


def _in_cents(total: Choice) -> bool | None:
    """Return whether a total is in hundredths; None: it is no whole number."""
    if not total.fields or total.fields[0].kind is not Kind.INTEGER:
        return None
    return (total.expression or "").endswith("/ 100.0")


def _rounded(
    choices: list[Choice], *, is_taxed: bool
) -> tuple[list[Choice], str | None]:
    """Round what has no digits of its own to the currency's; return the currency."""
    by_name = {choice.column: choice for choice in choices}
    currency = by_name["currency"].expression
    total, price = by_name["totalvalue"], by_name.get("products.price")
    wide = [total] if any(map(is_endless, total.fields)) else []
    wide += [price] if price is not None and is_taxed else []
    if currency is None or not wide:
        return choices, None
    rounded = {
        c.column: replace(c, expression=f"round({c.expression}, m.digits)")
        for c in wide
    }
    return [rounded.get(c.column, c) for c in choices], currency


def _with_total(choices: list[Choice]) -> tuple[list[Choice], str]:
    """Take the sum of the lines where nothing holds the total; and write that sum."""
    by_name = {choice.column: choice for choice in choices}
    total = by_name["totalvalue"]
    if total.expression or by_name["lines"].certainty is Certainty.GAP:
        return choices, ""
    quantity = by_name["products.quantity"].expression
    price = by_name["products.price"].expression
    if not price or not quantity:
        return choices, ""
    made = Choice(
        "totalvalue",
        Certainty.DOUBTFUL,
        "l.total",
        "the sum of the lines: no column holds the total",
        ("without shipping, discounts and what else there may be",),
        total.others,
    )
    summed = (
        "g.quantity * g.price" if quantity == COUNTED else f"({quantity}) * ({price})"
    )
    return [made if c is total else c for c in choices], summed


def _key(orders: Table, samples: Samples) -> tuple[str, Choice]:
    """Choose the column that is the order's key."""
    if len(orders.key) == 1:
        name = orders.key[0]
        return name, Choice(
            "order_key",
            Certainty.SURE,
            f"o.{quote(name)}",
            f"{quote(name)} is the primary key",
        )
    return _key_by_name(orders, samples)


def _key_by_name(orders: Table, samples: Samples) -> tuple[str, Choice]:
    ranked = sorted(orders.columns, key=lambda c: _key_rank(orders, samples, c))
    name = ranked[0].name
    why = "the primary key has several columns" if orders.key else "no primary key"
    return name, Choice(
        "order_key",
        Certainty.DOUBTFUL,
        f"o.{quote(name)}",
        f"{quote(name)} by its name: {why}",
        ("it must be unique, never change, and have an index",),
    )


def _key_rank(orders: Table, samples: Samples, column: Column) -> tuple[bool, ...]:
    concepts = column.meaning.concepts
    values = [row.get(column.name) for row in samples.rows(orders)]
    repeats = len(set(values)) < len(values)
    refers = any(r.column == column.name and r.is_declared for r in orders.references)
    return (
        repeats,
        refers,
        column.kind in {Kind.TIME, Kind.JSON, Kind.BOOLEAN, Kind.NUMBER, Kind.DATE},
        not column.is_unique,
        set(words(column.name)) not in ({"id"}, {"rowid"}),
        not concepts <= {"id", "order", "sale"},
        not concepts <= {"id", "order", "sale", "number"},
    )


def _moment(
    catalogue: Catalogue, samples: Samples, own: Source, key: str, limits: Standing
) -> tuple[Moment | None, Choice]:
    found = moments(catalogue, samples, own, key, limits)
    named = [one_line(f"{m.table.name}.{quote(m.time.name)}") for m in found]
    if not found:
        return None, Choice(
            "confirmed_at",
            Certainty.GAP,
            why="no column has the time of the confirmation",
        )
    best = found[0]
    near = [m for m in found[1:] if m.score > best.score - 1.0]
    doubts = list(best.doubts)
    if near:
        doubts.append(f"{named[found.index(near[0])]} is as likely")
    if "without time zone" in best.time.type:
        doubts.append(
            "a time without zone: set source.time_zone to where it was written"
        )
    certainty = Certainty.LIKELY if doubts else Certainty.SURE
    if best.score < 6:  # noqa: PLR2004
        certainty = Certainty.DOUBTFUL
    others = dict.fromkeys(n for n in named[1:4] if n != named[0])
    return best, Choice(
        "confirmed_at",
        certainty,
        best.at("c."),
        f"{named[0]}: {best.why}",
        tuple(doubts),
        tuple(others),
    )


def _summary(
    catalogue: Catalogue, orders: Table, samples: Samples, moment: Moment | None
) -> Sequence[str]:
    """Report what it was made from."""
    rows = len(samples.rows(orders))
    lines = [
        (
            f"Made from {catalogue.seen or len(catalogue.tables)} tables and views, "
            f"and {rows} orders."
        ),
    ]
    if not rows:
        lines.append("There were no orders to look at: all is by names, and unproved.")
    if samples.failed:
        names = ", ".join(one_line(str(n)) for n in sorted(samples.failed)[:5])
        lines.append(
            f"GAP: no rows of {names}: they could not be read, or not in time."
        )
    if catalogue.unreadable:
        names = ", ".join(one_line(str(n)) for n in catalogue.unreadable[:5])
        lines.append(f"GAP: your role may not read {names}.")
    if moment and moment.time.type.endswith("without time zone"):
        lines.append("Set source.time_zone: the times are written without one.")
    return lines
