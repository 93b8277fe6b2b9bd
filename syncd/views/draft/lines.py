"""What the lines of an order hold: product, quantity, price, name."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from syncd.views.draft import amounts
from syncd.views.draft.choice import (
    Candidate,
    Certainty,
    Choice,
    candidates,
    certainty,
    is_enough,
    others,
)
from syncd.views.draft.fields import Field, fields
from syncd.views.draft.roles import PRICE, PRODUCT_ID, QUANTITY, SKU, TITLE, Role
from syncd.views.draft.schema import Kind
from syncd.views.draft.sources import Source
from syncd.views.draft.values import number

_NAMED = 4.0
_RIVALS = 3.5
_FEW = 3
_HARDLY = 0.2
_SOLD = frozenset({"line", "product", "variant", "sku"})


COUNTED = "count(*)"
"""The quantity, where each row is one piece."""


class Lines:
    """Chooses what describes a line.

    Args:
        sources: The lines' table first, then what can be reached from it.
        reference: Column that names the order.
    """

    def __init__(self, sources: Sequence[Source], reference: str) -> None:
        self._sources = sources
        self._fields = [
            each
            for source in sources
            for each in fields(source)
            if not (source.hops == 0 and each.column == reference)
        ]
        self._own = [each for each in self._fields if each.source.hops == 0]
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
        if not is_enough(found):
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
        field = candidate.field
        counted = pieces.values() if pieces else None
        fit = amounts.compare(self._keys, field.values(), counted, totals)
        alone = amounts.compare(self._keys, field.values(), None, totals)
        in_cents = (
            amounts.looks_like_cents(field)
            if cents is None
            else (
                (cents and field.kind is Kind.INTEGER) or "cents" in field.said.concepts
            )
        )
        if amounts.in_hundredths(fit):
            in_cents = True
        scaled = 100.0 if in_cents else 1.0
        fit, alone = (replace(f, ratio=f.ratio / scaled) for f in (fit, alone))
        if in_cents and fit.orders:
            values = [_hundredth(v) for v in field.values()]
            fit = amounts.compare(self._keys, values, counted, totals)
            alone = amounts.compare(self._keys, values, None, totals)
        named_total = bool(
            field.said.concepts & {"total", "subtotal"}
            and "unit" not in field.said.concepts
        )
        is_line = pieces is not None and (
            named_total or (alone.exact > fit.exact and alone.plausible > fit.plausible)
        )
        shown = alone if is_line else fit
        score = candidate.score + 4.0 * shown.exact
        if shown.orders >= _FEW:
            score -= 4.0 * (1 - shown.plausible)
        return _Tried(field, score, shown, in_cents, is_line)

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
        if best.is_line and pieces is not None:
            text = f"({text}) / nullif({amounts.counted(pieces)}, 0)"
        why = f"{best.field.where}, by its name"
        if best.fit.orders:
            why += (
                f"; the sum of the lines is the total in {best.fit.exact:.0%} of "
                f"{best.fit.orders} orders"
            )
        used = (best.field, pieces) if best.is_line and pieces else (best.field,)
        return Choice(
            "products.price", sure, text, why, tuple(doubts), others(found, used), used
        )


@dataclass(frozen=True, slots=True)
class _Tried:
    field: Field
    score: float
    fit: amounts.Fit
    in_cents: bool
    is_line: bool


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
    if "net" in said or "base" in said:
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
