"""What an order holds: number, email, currency, total, language, the customer."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from syncd.setup.views.draft.choice import (
    IN_CAPITALS,
    NOT_EMPTY,
    Candidate,
    Candidates,
    Certainty,
    Choice,
)
from syncd.setup.views.draft.fields import HUNDREDTHS, Field, fields
from syncd.setup.views.draft.roles import PROFILE, ROLES
from syncd.setup.views.draft.samples import number
from syncd.setup.views.draft.schema import Kind
from syncd.setup.views.draft.sources import Source

_PEOPLE = frozenset({"customer", "user", "contact"})
_ISO = 2.0  # letters of a country's code
_FULL = 0.98
_FILLS = 5.0  # what a field scores at least that fills what another leaves empty
_TOTAL = 5.5
_NO_GOODS = frozenset({"tax", "discount", "refund", "id", "count"})


class Orders:
    """Chooses what describes an order.

    Args:
        sources: The orders' table first, then what can be reached from it.
        key: Column that is the order's key.
    """

    def __init__(self, sources: Sequence[Source], key: str) -> None:
        self._sources = sources
        self._key = key
        self._fields = [each for source in sources for each in fields(source)]

    def choices(self) -> Iterator[Choice]:
        """Choose what an event holds of the order and of its customer."""
        yield self._number()
        yield self._email()
        yield self._currency()
        yield self.total
        yield from self._profile()
        yield self._language()

    def _find(self, role: str) -> Candidates:
        near = [
            s for s in self._sources if s.hops == 0 or s.keys or self._may_have(s, role)
        ]
        return Candidates.of(ROLES[role], near, self._fields)

    def _may_have(self, source: Source, role: str) -> bool:
        topics, join = ROLES[role].topics, source.join
        if source.about & ROLES[role].not_of:
            return False
        is_of_order = source.hops == 1 and join and join.equals == self._key
        if role == "totalvalue" and is_of_order and join and not join.is_first:
            return True
        return topics is None or bool(source.about & topics)

    def _number(self) -> Choice:
        found = self._find("orderid")
        ranked = [
            Candidate(
                c.field,
                c.score + 1.0 * c.field.is_unique - 4.0 * (c.field.column == self._key),
            )
            for c in found.ranked
        ]
        ranked.sort(key=lambda c: -c.score)
        found = Candidates(found.role, ranked)
        if not found.is_enough:
            return self._key_as_number(found)
        is_key = found.best.column == self._key
        doubts = []
        if not found.best.is_unique and not is_key:
            doubts.append("no unique index has it alone")
        made = found.choice("orderid", found.best.text, doubts)
        if is_key and made.certainty is Certainty.SURE:
            return replace(made, certainty=Certainty.LIKELY)
        return made

    def _key_as_number(self, found: Candidates) -> Choice:
        own = next(f for f in self._fields if f.column == self._key)
        return Choice(
            "orderid",
            Certainty.DOUBTFUL,
            own.text,
            f"{own.where}: no column is named like a public number",
            ("this is the key",),
            found.others(own),
            (own,),
        )

    def _email(self) -> Choice:
        found = self._find("email")
        if not found.is_enough:
            return found.gap("email", "no column holds addresses")
        chosen = list(_filling(found))
        sure, doubts = found.certainty()
        texts = [f"nullif({each.expression}, '')" for each in chosen]
        text = texts[0]
        if len(chosen) > 1:
            doubts = ["taken from several places, the first that has one"]
            sure = Certainty.LIKELY
            text = f"coalesce({', '.join(texts)})"
        return Choice(
            "email",
            sure,
            text,
            " and ".join(each.where for each in chosen) + ", by name and values",
            tuple(doubts),
            found.others(*chosen),
            tuple(chosen),
        )

    def _currency(self) -> Choice:
        why = "no column holds it; NULL means the account's own"
        return self._find("currency").as_text("currency", why, IN_CAPITALS)

    def _language(self) -> Choice:
        why = "no column holds it; a shop of one: a constant, 'nl'"
        return self._find("language").as_text("language", why)

    def _profile(self) -> Iterator[Choice]:
        """Choose names, phone and address, all of them of one source.

        It is the one with the most; of two alike, one of an address.
        """
        addresses = [
            s
            for s in self._sources
            if s.hops == 0 or (s.hops == 1 and "address" in s.about)
        ]
        people = [s for s in self._sources if s.hops == 1 and s.about & _PEOPLE]
        groups = [list(self._profile_of(source)) for source in (*addresses, *people)]
        yield from max(groups, key=lambda choices: sum(map(_worth, choices)))

    def _profile_of(self, source: Source) -> Iterator[Choice]:
        for name in PROFILE:
            found = Candidates.of(ROLES[name], [source], self._fields)
            found.ranked.sort(
                key=lambda c: (-c.score, "shipping" in c.field.meaning.concepts)
            )
            if found.is_enough:
                is_code = name == "country" and found.best.facts.length == _ISO
                yield found.as_text(name, "", IN_CAPITALS if is_code else NOT_EMPTY)

    @cached_property
    def total(self) -> Choice:
        """What was paid for the order."""
        found = self._find("totalvalue")
        if not found.scores(_TOTAL) and (made := self._sum_of_parts()):
            return made
        if not found.is_enough:
            return found.gap("totalvalue", "no column names it")
        field = found.best
        cents = field.looks_like_cents
        return found.choice(
            "totalvalue",
            field.number(cents=cents),
            _total_doubts(field, cents=cents),
        )

    def _sum_of_parts(self) -> Choice | None:
        """Add goods and shipping, where no column holds the whole."""
        parts = self._parts()
        if not parts:
            return None
        text = " + ".join(f.expression for f in parts)
        doubts = ["the sum of its parts: no column holds the total"]
        if parts[0].looks_like_cents:
            text = f"({text}){HUNDREDTHS}"
            doubts.append("taken for hundredths")
        return Choice(
            "totalvalue",
            Certainty.LIKELY,
            text,
            " and ".join(f.where for f in parts),
            tuple(doubts),
            fields=tuple(parts),
        )

    def _parts(self) -> list[Field]:
        """List the goods and the shipping of an order; empty: no column has them."""
        own = [
            f
            for f in self._fields
            if f.source.hops == 0
            and not f.path
            and f.kind in {Kind.INTEGER, Kind.NUMBER, Kind.MONEY}
        ]
        goods = [f for f in own if "subtotal" in f.meaning.concepts]
        if not goods:
            return []
        best = min(goods, key=lambda f: (not _is_gross(f), f.column))
        costs = [
            f
            for f in own
            if "shipping" in f.meaning.concepts and not f.meaning.concepts & _NO_GOODS
        ]
        costs.sort(key=lambda f: (_is_gross(f) != _is_gross(best), len(f.column)))
        return [best, *costs[:1]]

    def totals(self) -> dict[str, float]:
        """Return the total of each sampled order, by key, in whole units."""
        scale = 100.0 if self.total.is_in_hundredths else 1.0
        columns = [field.values() for field in self.total.fields]
        made = {}
        for place, row in enumerate(self._sources[0].rows if columns else ()):
            parts = [number(values[place]) for values in columns]
            key = row.get(self._key) if row else None
            if key is not None and None not in parts:
                made[key] = sum(p for p in parts if p is not None) / scale
        return made


def _filling(found: Candidates) -> Iterator[Field]:
    """List the best field and those that have a value where it has none."""
    best = found.best
    yield best
    empty = {place for place, value in enumerate(best.values()) if not value}
    if not empty or best.facts.filled > _FULL:
        return
    for candidate in found.ranked[1:4]:
        values = candidate.field.values()
        filled = {place for place in empty if values[place]}
        if filled and candidate.score > _FILLS:
            yield candidate.field
            empty -= filled


def _is_gross(field: Field) -> bool:
    return "gross" in field.meaning.concepts


def _worth(choice: Choice) -> float:
    facts = choice.fields[0].facts
    return facts.filled if facts.rows else 0.5


def _total_doubts(field: Field, *, cents: bool) -> Iterator[str]:
    concepts = field.meaning.concepts
    if cents and "cents" not in concepts:
        yield "taken for hundredths"
    if "net" in concepts:
        yield "named as without tax"
    if field.path:
        yield "within JSON"
    if field.facts.zeros:
        yield f"zero in {field.facts.zeros:.0%} of the sampled rows"
