"""Tax on prices that are kept without it: a rate on the line, beside it, or in JSON."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from syncd.setup.views.draft import amounts
from syncd.setup.views.draft.conditions import gone
from syncd.setup.views.draft.fields import Field, parsed
from syncd.setup.views.draft.samples import Samples
from syncd.setup.views.draft.schema import Catalogue, Kind, literal, quote
from syncd.setup.views.draft.sources import Source
from syncd.setup.views.draft.values import number
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
    """

    expression: str
    values: Sequence[float | None]
    where: str
    join: Mapping[str, object] | None = None
    fields: tuple[Field, ...] = field(default=(), repr=False)


def rates(
    catalogue: Catalogue,
    samples: Samples,
    sources: Sequence[Source],
    fields: Sequence[Field],
) -> Iterator[Rate]:
    """List where a line's rate of tax may be, the nearest first."""
    near = [s for s in sources if s.hops == 0 or (s.hops == 1 and "line" in s.about)]
    aliases = {source.alias for source in near}
    yield from _columns([f for f in fields if f.source.alias in aliases])
    for source in near:
        yield from _in_json(source)
        yield from _beside(catalogue, samples, source)


def _is_rate(name: str) -> bool:
    return meaning_of(name).concepts >= {"tax", "rate"}


def _columns(fields: Sequence[Field]) -> Iterator[Rate]:
    for each in fields:
        is_number = each.kind in {Kind.NUMBER, Kind.INTEGER} and not each.path
        if is_number and _is_rate(each.column):
            values = [number(value) for value in each.values()]
            known = [value for value in values if value is not None]
            if not known or max(known) > _MOST:
                continue
            is_share = 0 < max(known) < 1
            text = amounts.counted(each)
            text = f"{text} * 100" if is_share else text
            scale = 100.0 if is_share else 1.0
            scaled = [None if v is None else v * scale for v in values]
            yield Rate(text, scaled, each.where, fields=(each,))


def _in_json(source: Source) -> Iterator[Rate]:
    """Find arrays of taxes, each an object with a rate."""
    for column in source.table.of_kind(Kind.JSON, Kind.TEXT):
        if "tax" not in column.meaning.concepts:
            continue
        arrays = [parsed(row.get(column.name)) if row else None for row in source.rows]
        keys = {
            key
            for array in arrays
            for item in (array if isinstance(array, list) else ())
            for key in (item if isinstance(item, dict) else ())
        }
        for key in sorted(key for key in keys if _is_rate(str(key))):
            name = f"{quote(source.alias)}.{quote(column.name)}"
            cast = "" if column.type == "jsonb" else "::jsonb"
            yield Rate(
                f"{_ALIAS}.rate",
                [_sum_of(array, key) for array in arrays],
                f"{source.table.name}.{quote(column.name)} -> {key}",
                {
                    "json": f"CASE WHEN {name}::text LIKE '[%' THEN {name}{cast} END",
                    "key": literal(str(key)),
                },
            )


def _sum_of(array: object, key: str) -> float | None:
    items = array if isinstance(array, list) else []
    found = [number(str(item.get(key))) for item in items if isinstance(item, dict)]
    return sum(value for value in found if value is not None)


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
        keys = [row.get(reference.to) if row else None for row in source.rows]
        wanted = list(dict.fromkeys(key for key in keys if key))
        sums: dict[str | None, float] = defaultdict(float)
        for row in samples.matching(table, reference.column, wanted) if wanted else ():
            sums[row.get(reference.column)] += number(row.get(columns[0].name)) or 0.0
        yield Rate(
            f"{_ALIAS}.rate",
            [sums.get(key) for key in keys],
            f"{table.name}.{quote(columns[0].name)}",
            {
                "table": str(table.name),
                "rate": quote(columns[0].name),
                "column": quote(reference.column),
                "equals": f"{quote(source.alias)}.{quote(reference.to)}",
                "where": [c.replace("{alias}", "x") for c in gone(table)],
            },
        )


def flag(fields: Sequence[Field]) -> Field | None:
    """Find the column that shows whether a price includes its tax."""
    for each in fields:
        if each.kind is Kind.BOOLEAN and "gross" in each.meaning.concepts:
            return each
    return None


def with_tax(price: str, rate: Rate, included: Field | None) -> str:
    """Write a price with its tax."""
    gross = f"({price}) * (1 + coalesce({rate.expression}, 0) / 100.0)"
    if included is None:
        return gross
    return f"CASE WHEN {included.expression} THEN {price} ELSE {gross} END"


def taxed(
    prices: Sequence[str | None], rate: Rate, included: Field | None
) -> list[str | None]:
    """Return prices with their taxes."""
    flags = included.values() if included else [None] * len(prices)
    return [
        price
        if value is None or has_tax == "true"
        else f"{value * (1 + (percent or 0.0) / 100):.6f}"
        for price, percent, has_tax in zip(prices, rate.values, flags, strict=True)
        for value in [number(price)]
    ]
