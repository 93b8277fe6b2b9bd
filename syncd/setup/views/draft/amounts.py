"""Amounts: cents or not, gross or net, of one piece or of a line; compared by sums."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from syncd.setup.views.draft.fields import Field
from syncd.setup.views.draft.schema import Kind
from syncd.setup.views.draft.values import number

_FLOATS = frozenset({"real", "double precision"})
_CENTS_FROM = 100.0
_FEW = 3
_CLOSE = 0.011
_MOST = 1.02
_LEAST = 0.3


@dataclass(frozen=True, slots=True)
class Fit:
    """How the lines of the sampled orders compare with the orders' totals.

    Attributes:
        orders: How many could be compared.
        exact: Share where the sum is the total.
        plausible: Share where it is at most the total, and not much less.
        ratio: Median of sum through total.
    """

    orders: int = 0
    exact: float = 0.0
    plausible: float = 0.0
    ratio: float = 1.0


def looks_like_cents(field: Field) -> bool:
    """Return whether an amount is counted in hundredths."""
    if "cents" in field.meaning.concepts:
        return True
    is_whole = field.kind is Kind.INTEGER
    return is_whole and (not field.facts.is_known or field.facts.middle >= _CENTS_FROM)


def numeric(field: Field, *, cents: bool) -> str:
    """Write an amount as a number of whole units."""
    text = field.expression
    if field.kind is Kind.TEXT or (field.kind is Kind.NUMBER and field.path):
        text = guarded(text)
    elif field.kind is Kind.MONEY or _type(field) in _FLOATS:
        text = f"{text}::numeric"
    return f"{text} / 100.0" if cents else text


def counted(field: Field) -> str:
    """Write a quantity as a number."""
    if field.kind is Kind.TEXT or field.path:
        return guarded(field.expression)
    is_float = _type(field) in _FLOATS
    return f"{field.expression}::numeric" if is_float else field.expression


def guarded(text: str) -> str:
    """Write a cast that gives NULL where a text is no number."""
    return f"(CASE WHEN {text} ~ '^-?[0-9]+([.][0-9]+)?$' THEN ({text})::numeric END)"


def _type(field: Field) -> str:
    if field.path or field.source.keys:
        return ""
    return field.source.table.column(field.column).type


def is_endless(field: Field) -> bool:
    """Return whether an amount may have any number of digits after its point."""
    return field.kind is not Kind.INTEGER and (
        not _type(field) or _type(field) in {"numeric", "text", *_FLOATS}
    )


def compare(
    keys: Sequence[str | None],
    prices: Sequence[str | None],
    quantities: Sequence[str | None] | None,
    totals: dict[str, float],
) -> Fit:
    """Compare the sums of lines with totals, by the key of the order."""
    sums: dict[str, float] = defaultdict(float)
    for place, key in enumerate(keys):
        price = number(prices[place])
        pieces = number(quantities[place]) if quantities else 1.0
        if key is not None and price is not None and pieces is not None:
            sums[key] += price * pieces
    ratios = [sums[key] / totals[key] for key in sums if totals.get(key)]
    if not ratios:
        return Fit()
    exact = sum(abs(sums[k] - totals[k]) <= _CLOSE for k in sums if totals.get(k))
    plausible = sum(_LEAST <= r <= _MOST for r in ratios)
    return Fit(
        len(ratios), exact / len(ratios), plausible / len(ratios), median(ratios)
    )


def in_hundredths(fit: Fit) -> bool:
    """Return whether the lines are counted in hundredths of the total's unit."""
    return fit.orders >= _FEW and 30 < fit.ratio < 140  # noqa: PLR2004
