"""What the lines of an order hold: product, quantity, price, name."""

from collections.abc import Iterable, Mapping, Sequence

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
from syncd.setup.views.draft.line_prices import LinePrices
from syncd.setup.views.draft.roles import PRICE, PRODUCT_ID, QUANTITY, SKU, TITLE, Role
from syncd.setup.views.draft.samples import Samples
from syncd.setup.views.draft.schema import Catalogue, Kind
from syncd.setup.views.draft.sources import Source

_NAMED = 4.0
_SOLD = frozenset({"line", "product", "variant", "sku"})


COUNTED = "count(*)"
"""The quantity, where each row is one piece."""


class Lines:
    """Chooses what describes a line.

    Args:
        sources: The lines' table first, then what can be reached from it.
        reference: Column that names the order.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        samples: Samples,
        sources: Sequence[Source],
        reference: str,
    ) -> None:
        self._sources = sources
        self._fields = [
            each
            for source in sources
            for each in fields(source)
            if not (source.hops == 0 and each.column in {reference, *_key(source)})
        ]
        near = {source.alias for source in self._near}
        self._prices = LinePrices(
            [row.get(reference) if row else None for row in sources[0].rows],
            own=[each for each in self._fields if each.source.hops == 0],
            flag=tax.flag([f for f in self._fields if f.source.alias in near]),
            rates=list(tax.rates(catalogue, samples, sources, self._fields)),
        )

    def choices(self, totals: dict[str, float], *, cents: bool | None) -> list[Choice]:
        """Choose product, name, quantity and price."""
        quantity = self._find(QUANTITY, self._near)
        pieces = quantity[0].field if is_enough(quantity) else None
        prices = self._find(PRICE, self._near)
        price = self._prices.choose(prices, pieces, totals, cents=cents)
        return [self._product(), self._title(), self._quantity(quantity), price]

    @property
    def tax_join(self) -> Mapping[str, object] | None:
        """What the chosen price needs beside its columns."""
        return self._prices.tax_join

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
            return _counted_rows(found)
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


def _text(field: Field) -> str:
    if field.kind is Kind.TEXT:
        text = f"nullif({field.expression}, '')"
        return f"nullif({text}, '0')" if field.facts.zeros else text
    return f"{field.expression}::text"


def _key(source: Source) -> tuple[str, ...]:
    """Return the lines' own key: it names no product, unless with another column."""
    return source.table.key if len(source.table.key) == 1 else ()


def _counted_rows(found: list[Candidate]) -> Choice:
    return Choice(
        "products.quantity",
        Certainty.DOUBTFUL,
        COUNTED,
        "no column holds a quantity: each row is a piece, and rows are counted",
        ("rows of the same product, name and price are added up",),
        others(found, []),
    )
