"""Tax on prices that are kept without it: a rate on the line, beside it, or in JSON."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from syncd.core.sql_text import quoted
from syncd.setup.views.draft.conditions import gone
from syncd.setup.views.draft.fields import Field, objects
from syncd.setup.views.draft.samples import Samples, number
from syncd.setup.views.draft.schema import Catalogue, Kind, literal
from syncd.setup.views.draft.sources import Source
from syncd.setup.views.draft.words import meaning_of

_ALIAS = "tax"
_MOST = 60.0  # percent; more is no rate of a tax


@dataclass(frozen=True, slots=True)
class Rate:
    """Where the rate of a line's tax is.

    Attributes:
        expression: SQL of the percentage; NULL: none.
        values: Of each sampled line.
        where: For a person.
        join: What the SQL needs: a table that refers to the line, or JSON.
        fields: Columns that the SQL needs.
        included: Shows of each line whether its price has the tax; None: nothing does.
    """

    expression: str
    values: Sequence[float | None]
    where: str
    join: Mapping[str, object] | None = None
    fields: tuple[Field, ...] = ()
    included: Field | None = None

    def added_to(self, price: str) -> str:
        """Write a price with its tax."""
        gross = f"({price}) * (1 + coalesce({self.expression}, 0) / 100.0)"
        if self.included is None:
            return gross
        return f"CASE WHEN {self.included.expression} THEN {price} ELSE {gross} END"

    def taxed(self, prices: Sequence[str | None]) -> list[str | None]:
        """Return prices with their taxes."""
        flags = self.included.values() if self.included else [None] * len(prices)
        return [
            price
            if value is None or has_tax == "true"
            else f"{value * (1 + (percent or 0.0) / 100):.6f}"
            for price, percent, has_tax in zip(prices, self.values, flags, strict=True)
            for value in [number(price)]
        ]


def rates(
    catalogue: Catalogue,
    samples: Samples,
    sources: Sequence[Source],
    fields: Sequence[Field],
    flags: Sequence[Field],
) -> Iterator[Rate]:
    """List where a line's rate of tax may be, the nearest first.

    One of the flags may show whether a line's price includes its tax.
    """
    included = next(
        (
            each
            for each in flags
            if each.kind is Kind.BOOLEAN and "gross" in each.meaning.concepts
        ),
        None,
    )
    near = [s for s in sources if s.hops == 0 or (s.hops == 1 and "line" in s.about)]
    aliases = {source.alias for source in near}
    found = [*_columns([f for f in fields if f.source.alias in aliases])]
    for source in near:
        found += [*_in_json(source), *_beside(catalogue, samples, source)]
    for each in found:
        fields = (*each.fields, included) if included else each.fields
        yield replace(each, included=included, fields=fields)


def _is_rate(name: str) -> bool:
    return meaning_of(name).concepts >= {"tax", "rate"}


def _columns(fields: Sequence[Field]) -> Iterator[Rate]:
    for each in fields:
        is_number = each.kind in {Kind.NUMBER, Kind.INTEGER} and not each.path
        if not is_number or not _is_rate(each.column):
            continue
        values = [number(value) for value in each.values()]
        known = [value for value in values if value is not None]
        if not known or max(known) > _MOST:
            continue
        text = each.number()
        if 0 < max(known) < 1:
            text = f"{text} * 100"
            values = [None if v is None else v * 100.0 for v in values]
        yield Rate(text, values, each.where, fields=(each,))


def _in_json(source: Source) -> Iterator[Rate]:
    """Find arrays of taxes, each an object with a rate."""
    for column in source.table.of_kind(Kind.JSON, Kind.TEXT):
        if "tax" not in column.meaning.concepts:
            continue
        arrays = [objects(text) for text in source.values(column.name)]
        keys = {key for array in arrays for item in array for key in item}
        for key in sorted(filter(_is_rate, keys)):
            name = f"{quoted(source.alias)}.{quoted(column.name)}"
            cast = "" if column.type == "jsonb" else "::jsonb"
            yield Rate(
                f"{_ALIAS}.rate",
                [_sum_of(array, key) for array in arrays],
                f"{source.table.name}.{quoted(column.name)} -> {key}",
                {
                    "json": f"CASE WHEN {name}::text LIKE '[%' THEN {name}{cast} END",
                    "key": literal(key),
                },
            )


def _sum_of(items: Sequence[Mapping[str, object]], key: str) -> float:
    return sum(number(str(item.get(key))) or 0.0 for item in items)


def _beside(catalogue: Catalogue, samples: Samples, source: Source) -> Iterator[Rate]:
    """Find tables of taxes that refer to the line."""
    for table, reference in catalogue.children(source.table):
        columns = [
            c
            for c in table.of_kind(Kind.NUMBER, Kind.INTEGER)
            if "rate" in c.meaning.concepts
        ]
        if not columns or "tax" not in table.meaning.concepts:
            continue
        keys = source.values(reference.to)
        wanted = list(dict.fromkeys(key for key in keys if key))
        sums: dict[str | None, float] = defaultdict(float)
        for row in samples.matching(table, reference.column, wanted) if wanted else ():
            sums[row.get(reference.column)] += number(row.get(columns[0].name)) or 0.0
        rate = quoted(columns[0].name)
        yield Rate(
            f"{_ALIAS}.rate",
            [sums.get(key) for key in keys],
            f"{table.name}.{rate}",
            {
                "table": str(table.name),
                "rate": rate,
                "column": quoted(reference.column),
                "equals": f"{quoted(source.alias)}.{quoted(reference.to)}",
                "where": [c.replace("{alias}", "x") for c in gone(table)],
            },
        )
