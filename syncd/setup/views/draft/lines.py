"""What the lines of an order hold: product, quantity, price, name."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from syncd.setup.views.draft import amounts, tax
from syncd.setup.views.draft.choice import (
    Candidate,
    Certainty,
    Choice,
    candidates,
    certainty,
    is_enough,
    others,
)
from syncd.setup.views.draft.fields import Field, fields
from syncd.setup.views.draft.roles import PRICE, PRODUCT_ID, QUANTITY, SKU, TITLE, Role
from syncd.setup.views.draft.samples import Samples
from syncd.setup.views.draft.schema import Catalogue, Kind, one_line
from syncd.setup.views.draft.sources import Source
from syncd.setup.views.draft.values import number

_NAMED = 4.0
_PRICE = 3.0  # the sums of the lines tell more than the name
_RIVALS = 3.5
_FEW = 3
_HARDLY = 0.2
_BETTER = 0.15
_EXACT = 4.0
_SOLD = frozenset({"line", "product", "variant", "sku"})


COUNTED = "count(*)"
"""The quantity, where each row is one piece."""


class Lines:
    """Chooses what describes a line.

    Args:
        sources: The lines' table first, then what can be reached from it.
        reference: Column that names the order.

    Attributes:
        tax_join: What the price needs beside its columns.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        samples: Samples,
        sources: Sequence[Source],
        reference: str,
    ) -> None:
        self._sources = sources
        self.tax_join: Mapping[str, object] | None = None
        self._fields = [
            each
            for source in sources
            for each in fields(source)
            if not (source.hops == 0 and each.column in {reference, *_key(source)})
        ]
        self._own = [each for each in self._fields if each.source.hops == 0]
        near = {source.alias for source in self._near}
        self._flag = tax.flag([f for f in self._fields if f.source.alias in near])
        self._rates = list(tax.rates(catalogue, samples, sources, self._fields))
        self._keys = [row.get(reference) if row else None for row in sources[0].rows]

    def choices(self, totals: dict[str, float], *, cents: bool | None) -> list[Choice]:
        """Choose product, name, quantity and price."""
        quantity = self._find(QUANTITY, self._near)
        price = self._price(quantity, totals, cents=cents)
        return [self._product(), self._title(), self._quantity(quantity), price]

    @property
    def _near(self) -> list[Source]:
        """The lines, and rows that hold the rest of a line."""
        return [
            s
            for s in self._sources
            if s.hops == 0
            or s.keys
            or (s.hops == 1 and s.about & {"line"} and not s.about & {"group", "tax"})
        ]

    @property
    def _sold(self) -> list[Source]:
        return [s for s in self._sources if s.hops == 0 or s.keys or s.about & _SOLD]

    def _find(self, role: Role, sources: Iterable[Source]) -> list[Candidate]:
        return candidates(role, sources, self._fields)

    def _product(self) -> Choice:
        skus = [c for c in self._find(SKU, self._sold) if c.score >= _NAMED]
        ids = self._find(PRODUCT_ID, self._near)
        if not skus and not ids:
            return Choice("products.id", Certainty.GAP, why="no column names a product")
        best = skus or ids
        sure, doubts = certainty(best, SKU if skus else PRODUCT_ID)
        chosen = [best[0].field]
        if best[0].field.facts.filled < 1:
            chosen += [
                c.field for c in ids if c.score >= _NAMED and c.field not in chosen
            ][:2]
        if not skus:
            sure = Certainty.DOUBTFUL
            doubts = ["no article number was found: this is the shop's own id"]
        texts = [_text(each) for each in chosen]
        expression = texts[0] if len(texts) == 1 else f"coalesce({', '.join(texts)})"
        why = (
            f"{best[0].field.where}: named like an article number"
            if skus
            else (f"{best[0].field.where}: names the product")
        )
        return Choice(
            "products.id",
            sure,
            expression,
            why,
            tuple(doubts),
            others([*skus, *ids], chosen),
            tuple(chosen),
        )

    def _title(self) -> Choice:
        found = self._find(TITLE, self._sold)
        if not is_enough(found):
            return Choice("products.name", Certainty.GAP, why="no column names it")
        sure, doubts = certainty(found, TITLE)
        field = found[0].field
        return Choice(
            "products.name",
            sure,
            f"nullif({field.expression}, '')",
            f"{field.where}, by its name",
            tuple(doubts),
            others(found, [field]),
            (field,),
        )

    def _quantity(self, found: list[Candidate]) -> Choice:
        if not is_enough(found):
            return Choice(
                "products.quantity",
                Certainty.DOUBTFUL,
                COUNTED,
                "no column holds a quantity: each row is a piece, and rows are counted",
                ("rows of the same product, name and price are added up",),
                others(found, []),
            )
        sure, doubts = certainty(found, QUANTITY)
        field = found[0].field
        return Choice(
            "products.quantity",
            sure,
            amounts.counted(field),
            f"{field.where}, by its name",
            tuple(doubts),
            others(found, [field]),
            (field,),
        )

    def _price(
        self, quantity: list[Candidate], totals: dict[str, float], *, cents: bool | None
    ) -> Choice:
        found = self._find(PRICE, self._near)
        if not found or found[0].score < _PRICE:
            return Choice(
                "products.price",
                Certainty.GAP,
                why="no column names a price",
                others=others(found, []),
            )
        pieces = quantity[0].field if is_enough(quantity) else None
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
            () if "gross" in field.said.concepts and not self._flag else self._rates
        ):
            with_tax = tax.taxed(values, rate, self._flag)
            is_line, fit = self._of_line(field, with_tax, counted, totals)
            other = replace(made, fit=fit, is_line=is_line, rate=rate).scored()
            is_told = self._flag is not None or "net" in field.said.concepts
            if (is_told and not best.rate) or fit.exact > best.fit.exact + _BETTER:
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
        said = field.said.concepts
        is_named = bool(said & {"total", "subtotal"}) and "unit" not in said
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
    if cents is None or "cents" in field.said.concepts:
        return amounts.looks_like_cents(field)
    return cents and field.kind is Kind.INTEGER


def _price_doubts(best: _Tried, own: Sequence[Field]) -> Iterator[str]:
    said = best.field.said.concepts
    if best.in_cents and "cents" not in said:
        yield "taken for hundredths"
    if best.is_line:
        yield "the price of a line, through the quantity"
    flags = [
        f
        for f in own
        if (f.kind is Kind.BOOLEAN and f.said.concepts >= {"tax"})
        or (f.kind is Kind.BOOLEAN and f.said.concepts & {"gross"})
    ]
    if best.rate:
        yield f"tax is added, by {one_line(best.rate.where)}"
    elif "net" in said or "base" in said:
        yield "this may be without tax, or before a change"
    elif flags:
        yield f"{flags[0].where} says whether tax is in it"
    if best.fit.orders >= _FEW and best.fit.exact < _HARDLY and "gross" not in said:
        yield "the lines hardly ever sum up to the total: with or without tax?"


def _hundredth(value: str | None) -> str | None:
    cents = number(value)
    return None if cents is None else f"{cents / 100:.4f}"


def _text(field: Field) -> str:
    if field.kind is Kind.TEXT:
        text = f"nullif({field.expression}, '')"
        return f"nullif({text}, '0')" if field.facts.zeros else text
    return f"{field.expression}::text"


def _key(source: Source) -> tuple[str, ...]:
    """Return the lines' own key: it names no product, unless with another column."""
    return source.table.key if len(source.table.key) == 1 else ()
