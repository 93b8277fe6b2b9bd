"""The price of a line's piece: which column, in which unit, with or without tax."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from syncd.setup.views.draft import amounts, tax
from syncd.setup.views.draft.choice import (
    Candidate,
    Certainty,
    Choice,
    certainty,
    others,
)
from syncd.setup.views.draft.fields import Field
from syncd.setup.views.draft.roles import PRICE
from syncd.setup.views.draft.schema import Kind, one_line
from syncd.setup.views.draft.values import number

_PRICE = 3.0  # the sums of the lines prove more than the name
_RIVALS = 3.5
_FEW = 3
_HARDLY = 0.2
_BETTER = 0.15
_EXACT = 4.0


class LinePrices:
    """Chooses the price that agrees best with the orders' totals.

    Args:
        keys: The order of each sampled line.
        own: The fields of the lines' own table.
        flag: Shows for each line whether its price includes tax; None: nothing does.
        rates: What tax may have to be added by.

    Attributes:
        tax_join: What the chosen price needs beside its columns.
    """

    def __init__(
        self,
        keys: Sequence[str | None],
        *,
        own: Sequence[Field],
        flag: Field | None,
        rates: Sequence[tax.Rate],
    ) -> None:
        self._keys = keys
        self._own = own
        self._flag = flag
        self._rates = rates
        self.tax_join: Mapping[str, object] | None = None

    def choose(
        self,
        found: list[Candidate],
        pieces: Field | None,
        totals: dict[str, float],
        *,
        cents: bool | None,
    ) -> Choice:
        """Choose the price of a piece.

        Args:
            found: The fields that may be it.
            pieces: The quantity; None: no column holds one.
            totals: The total of each sampled order, by key.
            cents: Whether the totals are in hundredths; None: not known.
        """
        if not found or found[0].score < _PRICE:
            return Choice(
                "products.price",
                Certainty.GAP,
                why="no column names a price",
                others=others(found, []),
            )
        tried = [
            self._tried(c, pieces, totals, cents=cents)
            for c in found
            if c.score >= found[0].score - _RIVALS
        ][:6]
        tried.sort(key=lambda t: -t.score)
        return self._priced(tried, found, pieces)

    def _tried(
        self,
        candidate: Candidate,
        pieces: Field | None,
        totals: dict[str, float],
        *,
        cents: bool | None,
    ) -> "_Tried":
        """Compare a price with the totals: with cents, of a line, with tax added."""
        field = candidate.field
        in_cents = _is_in_cents(field, cents=cents)
        counted = pieces.values() if pieces else None
        values = field.values()
        if amounts.in_hundredths(amounts.compare(self._keys, values, counted, totals)):
            in_cents = True
        if in_cents:
            values = [_hundredth(value) for value in values]
        is_line, fit = self._of_line(field, values, counted, totals)
        made = _Tried(field, candidate.score, fit, in_cents, is_line)
        best = made.scored()
        for rate in (
            () if "gross" in field.meaning.concepts and not self._flag else self._rates
        ):
            with_tax = tax.taxed(values, rate, self._flag)
            is_line, fit = self._of_line(field, with_tax, counted, totals)
            other = replace(made, fit=fit, is_line=is_line, rate=rate).scored()
            is_known = self._flag is not None or "net" in field.meaning.concepts
            if (is_known and not best.rate) or fit.exact > best.fit.exact + _BETTER:
                best = replace(other, score=max(other.score, best.score))
        return best

    def _of_line(
        self,
        field: Field,
        values: Sequence[str | None],
        counted: Sequence[str | None] | None,
        totals: dict[str, float],
    ) -> tuple[bool, amounts.Fit]:
        """Return whether an amount is of a whole line, and how it fits then."""
        fit = amounts.compare(self._keys, values, counted, totals)
        if counted is None:
            return False, fit
        alone = amounts.compare(self._keys, values, None, totals)
        concepts = field.meaning.concepts
        is_named = bool(concepts & {"total", "subtotal"}) and "unit" not in concepts
        is_better = alone.exact > fit.exact and alone.plausible > fit.plausible
        return (True, alone) if is_named or is_better else (False, fit)

    def _used(self, best: "_Tried", pieces: Field | None) -> Iterator[Field]:
        yield best.field
        if best.is_line and pieces is not None:
            yield pieces
        if best.rate is not None:
            yield from best.rate.fields
            if self._flag is not None:
                yield self._flag

    def _priced(
        self, tried: list["_Tried"], found: list[Candidate], pieces: Field | None
    ) -> Choice:
        best = tried[0]
        ranked = [Candidate(t.field, t.score) for t in tried]
        sure, doubts = certainty(ranked, PRICE)
        doubts += list(_price_doubts(best, self._own))
        if doubts and sure is Certainty.SURE:
            sure = Certainty.LIKELY
        text = amounts.numeric(best.field, cents=best.in_cents)
        if best.rate:
            text = tax.with_tax(text, best.rate, self._flag)
        if best.is_line and pieces is not None:
            text = f"({text}) / nullif({amounts.counted(pieces)}, 0)"
        why = f"{best.field.where}, by its name"
        if best.fit.orders:
            why += (
                f"; the sum of the lines is the total in {best.fit.exact:.0%} of "
                f"{best.fit.orders} orders"
            )
        if best.rate:
            why += f"; with the tax of {one_line(best.rate.where)}"
            self.tax_join = best.rate.join
        used = tuple(self._used(best, pieces))
        return Choice(
            "products.price", sure, text, why, tuple(doubts), others(found, used), used
        )


@dataclass(frozen=True, slots=True)
class _Tried:
    """A price as it may be meant."""

    field: Field
    score: float
    fit: amounts.Fit
    in_cents: bool
    is_line: bool
    rate: tax.Rate | None = None

    def scored(self) -> "_Tried":
        """Return it with the score that its fit gives."""
        score = self.score + _EXACT * self.fit.exact
        if self.fit.orders >= _FEW:
            score -= _EXACT * (1 - self.fit.plausible)
        return replace(self, score=score)


def _is_in_cents(field: Field, *, cents: bool | None) -> bool:
    if cents is None or "cents" in field.meaning.concepts:
        return amounts.looks_like_cents(field)
    return cents and field.kind is Kind.INTEGER


def _price_doubts(best: _Tried, own: Sequence[Field]) -> Iterator[str]:
    concepts = best.field.meaning.concepts
    if best.in_cents and "cents" not in concepts:
        yield "taken for hundredths"
    if best.is_line:
        yield "the price of a line, through the quantity"
    booleans = (f for f in own if f.kind is Kind.BOOLEAN)
    flags = [f for f in booleans if f.meaning.concepts & {"tax", "gross"}]
    if best.rate:
        yield f"tax is added, by {one_line(best.rate.where)}"
    elif "net" in concepts or "base" in concepts:
        yield "this may be without tax, or before a change"
    elif flags:
        yield f"{flags[0].where} shows whether tax is in it"
    if best.fit.orders >= _FEW and best.fit.exact < _HARDLY and "gross" not in concepts:
        yield "the lines hardly ever sum up to the total: with or without tax?"


def _hundredth(value: str | None) -> str | None:
    cents = number(value)
    return None if cents is None else f"{cents / 100:.4f}"
