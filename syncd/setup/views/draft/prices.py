"""The price of a line's piece: which column, in which unit, with or without tax."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from syncd.setup.views.draft.choice import Candidate, Candidates, Choice
from syncd.setup.views.draft.fields import Field
from syncd.setup.views.draft.samples import number
from syncd.setup.views.draft.schema import Kind, one_line
from syncd.setup.views.draft.tax import Rate

_PRICE = 3.0  # the sums of the lines prove more than the name
_RIVALS = 3.5
_MOST_TRIED = 6
_FEW = 3
_HARDLY = 0.2
_BETTER = 0.15
_EXACT = 4.0
_CLOSE = 0.011
_MOST = 1.02
_LEAST = 0.3

Values = Sequence[str | None]
"""One of each sampled line."""


@dataclass(frozen=True, slots=True)
class _Fit:
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

    @property
    def is_in_hundredths(self) -> bool:
        """Whether the lines are counted in hundredths of the total's unit."""
        return self.orders >= _FEW and 30 < self.ratio < 140  # noqa: PLR2004

    def score(self, named: float) -> float:
        """Return the score of a price whose name scores so much."""
        score = named + _EXACT * self.exact
        return score - _EXACT * (1 - self.plausible) * (self.orders >= _FEW)


@dataclass(frozen=True, slots=True)
class _Tried:
    """A price as it may be meant; `is_line`: it is of a whole line."""

    field: Field
    score: float
    fit: _Fit
    in_cents: bool
    is_line: bool
    rate: Rate | None = None


@dataclass(frozen=True, slots=True)
class Prices:
    """Chooses the price that agrees best with the orders' totals.

    Attributes:
        keys: The order of each sampled line.
        totals: The total of each sampled order, by key.
        cents: Whether the totals are in hundredths; None: not known.
        pieces: The quantity; None: no column holds one.
        own: The fields of the lines' own table.
        rates: What tax may have to be added by.
    """

    keys: Values
    totals: Mapping[str, float]
    cents: bool | None
    pieces: Field | None
    own: Sequence[Field]
    rates: Sequence[Rate]

    def choose(self, found: Candidates) -> Choice:
        """Choose the price of a piece among the fields that may be it."""
        if not found.scores(_PRICE):
            return found.gap("products.price", "no column names a price")
        least = found.ranked[0].score - _RIVALS
        tried = [self._tried(c) for c in found.ranked[:_MOST_TRIED] if c.score >= least]
        tried.sort(key=lambda t: -t.score)
        return self._priced(tried, found)

    def _tried(self, candidate: Candidate) -> _Tried:
        """Compare a price with the totals: with cents, of a line, with tax added."""
        field, concepts = candidate.field, candidate.field.meaning.concepts
        values: Values = field.values()
        in_cents = self._is_in_cents(field) or self._fit(values).is_in_hundredths
        if in_cents:
            values = [_hundredth(value) for value in values]
        is_line, fit = self._of_line(concepts, values)
        score = fit.score(candidate.score)
        best = _Tried(field, score, fit, in_cents, is_line)
        for rate in self.rates:
            if "gross" in concepts and rate.included is None:
                continue
            is_line, fit = self._of_line(concepts, rate.taxed(values))
            score = max(fit.score(candidate.score), best.score)
            is_known = rate.included is not None or "net" in concepts
            if (is_known and not best.rate) or fit.exact > best.fit.exact + _BETTER:
                best = _Tried(field, score, fit, in_cents, is_line, rate)
        return best

    def _is_in_cents(self, field: Field) -> bool:
        if self.cents is None or "cents" in field.meaning.concepts:
            return field.looks_like_cents
        return self.cents and field.kind is Kind.INTEGER

    def _of_line(self, concepts: frozenset[str], values: Values) -> tuple[bool, _Fit]:
        """Return whether an amount is of a whole line, and how it fits then."""
        fit = self._fit(values)
        if self.pieces is None:
            return False, fit
        alone = self._fit(values, is_line=True)
        is_named = bool(concepts & {"total", "subtotal"}) and "unit" not in concepts
        is_better = alone.exact > fit.exact and alone.plausible > fit.plausible
        return (True, alone) if is_named or is_better else (False, fit)

    def _fit(self, prices: Values, *, is_line: bool = False) -> _Fit:
        counted = self.pieces.values() if self.pieces and not is_line else None
        sums: dict[str, float] = defaultdict(float)
        for place, key in enumerate(self.keys):
            price = number(prices[place])
            pieces = number(counted[place]) if counted else 1.0
            if key is not None and price is not None and pieces is not None:
                sums[key] += price * pieces
        totals = self.totals
        pairs = [(s, totals[key]) for key, s in sums.items() if totals.get(key)]
        if not pairs:
            return _Fit()
        ratios = [s / total for s, total in pairs]
        exact = sum(abs(s - total) <= _CLOSE for s, total in pairs)
        plausible = sum(_LEAST <= ratio <= _MOST for ratio in ratios)
        count = len(pairs)
        return _Fit(count, exact / count, plausible / count, median(ratios))

    def _priced(self, tried: list[_Tried], found: Candidates) -> Choice:
        best = tried[0]
        text = best.field.number(cents=best.in_cents)
        used = [best.field]
        if best.rate:
            text = best.rate.added_to(text)
        if best.is_line and self.pieces is not None:
            text = f"({text}) / nullif({self.pieces.number()}, 0)"
            used.append(self.pieces)
        if best.rate:
            used += best.rate.fields
        ranked = [Candidate(each.field, each.score) for each in tried]
        made = Candidates(found.role, ranked).choice(
            "products.price", text, self._doubts(best)
        )
        return replace(
            made,
            why=made.why + "".join(_reasons(best)),
            others=found.others(*used),
            fields=tuple(used),
            tax=best.rate.join if best.rate else None,
        )

    def _doubts(self, best: _Tried) -> Iterator[str]:
        concepts = best.field.meaning.concepts
        if best.in_cents and "cents" not in concepts:
            yield "taken for hundredths"
        if best.is_line:
            yield "the price of a line, through the quantity"
        flags = [
            f
            for f in self.own
            if f.kind is Kind.BOOLEAN and f.meaning.concepts & {"tax", "gross"}
        ]
        if best.rate:
            yield f"tax is added, by {one_line(best.rate.where)}"
        elif concepts & {"net", "base"}:
            yield "this may be without tax, or before a change"
        elif flags:
            yield f"{flags[0].where} shows whether tax is in it"
        is_hardly_exact = best.fit.orders >= _FEW and best.fit.exact < _HARDLY
        if is_hardly_exact and "gross" not in concepts:
            yield "the lines hardly ever sum up to the total: with or without tax?"


def _reasons(best: _Tried) -> Iterator[str]:
    if best.fit.orders:
        yield (
            f"; the sum of the lines is the total in {best.fit.exact:.0%} of "
            f"{best.fit.orders} orders"
        )
    if best.rate:
        yield f"; with the tax of {one_line(best.rate.where)}"


def _hundredth(value: str | None) -> str | None:
    cents = number(value)
    return None if cents is None else f"{cents / 100:.4f}"
