"""What an order holds: number, email, currency, total, language, the customer."""

from collections.abc import Iterable, Iterator, Sequence

from syncd.setup.views.draft import amounts
from syncd.setup.views.draft.choice import (
    Candidate,
    Certainty,
    Choice,
    as_text,
    candidates,
    certainty,
    is_enough,
    others,
    plain,
)
from syncd.setup.views.draft.fields import Field, fields
from syncd.setup.views.draft.roles import (
    CURRENCY,
    EMAIL,
    LANGUAGE,
    ORDERID,
    TOTAL,
    Role,
)
from syncd.setup.views.draft.schema import Kind
from syncd.setup.views.draft.sources import Source
from syncd.setup.views.draft.values import number

_TOPICS = {
    "orderid": frozenset[str](),
    "email": frozenset(
        {"customer", "user", "contact", "address", "billing", "email", "company"}
    ),
    "totalvalue": frozenset({"total"}),
    "language": frozenset({"language", "customer", "user", "shop", "contact"}),
}
_NOT_OF = {
    "currency": frozenset({"customer", "user", "supplier", "cart"}),
    "email": frozenset({"shop", "supplier"}),
    "totalvalue": frozenset({"customer", "user", "cart", "line"}),
}
_FULL = 0.98
_TOTAL = 5.5


class Orders:
    """Chooses what describes an order.

    Args:
        sources: The orders' table first, then what can be reached from it.
        key: Column that is the order's key.
    """

    def __init__(self, sources: Sequence[Source], key: str) -> None:
        self._sources = sources
        self._key = key
        self.fields = [each for source in sources for each in fields(source)]

    def choices(self) -> list[Choice]:
        """Choose number, email, currency and total."""
        return [self._number(), self._email(), self._currency(), self.total]

    def language(self) -> Choice:
        """Choose the language."""
        found = self._find(LANGUAGE)
        if not is_enough(found):
            return Choice(
                "language",
                Certainty.GAP,
                others=others(found, []),
                why="no column holds it; a shop of one: a constant, 'nl'",
            )
        return plain("language", LANGUAGE, found)

    def _find(self, role: Role) -> list[Candidate]:
        topics = _TOPICS.get(role.name)
        never = _NOT_OF.get(role.name, frozenset())
        near = [
            s
            for s in self._sources
            if s.hops == 0
            or s.keys
            or (
                not s.about & never
                and (
                    topics is None
                    or s.about & topics
                    or (role is TOTAL and self._is_whole(s))
                )
            )
        ]
        return candidates(role, near, self.fields)

    def _is_whole(self, source: Source) -> bool:
        """Whether a row of it belongs to the order as a whole."""
        join = source.join
        return (
            source.hops == 1
            and join is not None
            and not join.is_first
            and join.on[1] == self._key
        )

    def _number(self) -> Choice:
        found = self._find(ORDERID)
        unique = [
            Candidate(
                c.field,
                c.score + 1.0 * c.field.is_unique - 4.0 * (c.field.column == self._key),
            )
            for c in found
        ]
        found = sorted(unique, key=lambda c: -c.score)
        if not is_enough(found):
            own = next(f for f in self.fields if f.column == self._key)
            return Choice(
                "orderid",
                Certainty.DOUBTFUL,
                as_text(own),
                f"{own.where}: no column is named like a public number",
                ("this is the key",),
                others(found, [own]),
                (own,),
            )
        field = found[0].field
        sure, doubts = certainty(found, ORDERID)
        if not field.is_unique and field.column != self._key:
            doubts.append("no unique index has it alone")
            sure = Certainty.LIKELY if sure is Certainty.SURE else sure
        if field.column == self._key and sure is Certainty.SURE:
            sure = Certainty.LIKELY
        return Choice(
            "orderid",
            sure,
            as_text(field),
            f"{field.where}, by its name",
            tuple(doubts),
            others(found, [field]),
            (field,),
        )

    def _email(self) -> Choice:
        found = self._find(EMAIL)
        if not is_enough(found):
            return Choice(
                "email",
                Certainty.GAP,
                why="no column holds addresses",
                others=others(found, []),
            )
        chosen = list(_filling(found))
        sure, doubts = certainty(found, EMAIL)
        if len(chosen) > 1:
            doubts = ["taken from several places, the first that has one"]
            sure = Certainty.LIKELY
        texts = [f"nullif({each.expression}, '')" for each in chosen]
        text = texts[0] if len(texts) == 1 else f"coalesce({', '.join(texts)})"
        return Choice(
            "email",
            sure,
            text,
            " and ".join(each.where for each in chosen) + ", by name and values",
            tuple(doubts),
            others(found, chosen),
            tuple(chosen),
        )

    def _currency(self) -> Choice:
        found = self._find(CURRENCY)
        if not is_enough(found):
            return Choice(
                "currency",
                Certainty.GAP,
                others=others(found, []),
                why="no column holds it; NULL means the account's own",
            )
        return plain("currency", CURRENCY, found, "upper({})")

    @property
    def total(self) -> Choice:
        """What was paid for the order."""
        found = self._find(TOTAL)
        is_named = bool(found) and found[0].score >= _TOTAL
        if not is_named and (made := self._sum_of_parts()):
            return made
        if not is_enough(found):
            return Choice(
                "totalvalue",
                Certainty.GAP,
                why="no column names it",
                others=others(found, []),
            )
        sure, doubts = certainty(found, TOTAL)
        field = found[0].field
        cents = amounts.looks_like_cents(field)
        doubts += list(_total_doubts(field, cents=cents))
        if doubts and sure is Certainty.SURE:
            sure = Certainty.LIKELY
        return Choice(
            "totalvalue",
            sure,
            amounts.numeric(field, cents=cents),
            f"{field.where}, by its name",
            tuple(doubts),
            others(found, [field]),
            (field,),
        )

    def _parts(self) -> list[Field]:
        """List the goods and the shipping of an order; empty: no column has them."""
        own = [
            f
            for f in self.fields
            if f.source.hops == 0
            and not f.path
            and f.kind in {Kind.INTEGER, Kind.NUMBER, Kind.MONEY}
        ]
        goods = [f for f in own if "subtotal" in f.meaning.concepts]
        costs = [
            f
            for f in own
            if "shipping" in f.meaning.concepts
            and not f.meaning.concepts & {"tax", "discount", "refund", "id", "count"}
        ]
        gross = sorted(
            goods, key=lambda f: ("gross" not in f.meaning.concepts, f.column)
        )
        if not gross:
            return []
        costs.sort(
            key=lambda f: (
                ("gross" in f.meaning.concepts)
                != ("gross" in gross[0].meaning.concepts),
                len(f.column),
            )
        )
        return [gross[0], *costs[:1]]

    def _sum_of_parts(self) -> Choice | None:
        """Add goods and shipping, where no column holds the whole."""
        parts = self._parts()
        if not parts:
            return None
        text = " + ".join(f.expression for f in parts)
        doubts = ["the sum of its parts: no column holds the total"]
        if amounts.looks_like_cents(parts[0]):
            text = f"({text}) / 100.0"
            doubts.append("taken for hundredths")
        return Choice(
            "totalvalue",
            Certainty.LIKELY,
            text,
            " and ".join(f.where for f in parts),
            tuple(doubts),
            fields=tuple(parts),
        )

    def totals(self, choice: Choice) -> dict[str, float]:
        """Return the total of each sampled order, by key, in whole units."""
        if not choice.fields:
            return {}
        scale = 100.0 if (choice.expression or "").endswith("/ 100.0") else 1.0
        columns = [field.values() for field in choice.fields]
        made = {}
        for place, row in enumerate(self._sources[0].rows):
            parts = [number(values[place]) for values in columns]
            key = row.get(self._key) if row else None
            if key is not None and None not in parts:
                made[key] = sum(p for p in parts if p is not None) / scale
        return made


def _filling(found: Sequence[Candidate]) -> Iterator[Field]:
    """List the best field and those that have a value where it has none."""
    best = found[0].field
    yield best
    empty = {place for place, value in enumerate(best.values()) if not value}
    if not empty or best.facts.filled > _FULL:
        return
    for candidate in found[1:4]:
        values = candidate.field.values()
        filled = {place for place in empty if values[place]}
        if filled and candidate.score > 5:  # noqa: PLR2004
            yield candidate.field
            empty -= filled


def _total_doubts(field: Field, *, cents: bool) -> Iterable[str]:
    concepts = field.meaning.concepts
    if cents and "cents" not in concepts:
        yield "taken for hundredths"
    if "net" in concepts:
        yield "named as without tax"
    if field.path:
        yield "within JSON"
    if field.facts.zeros:
        yield f"zero in {field.facts.zeros:.0%} of the sampled rows"
