"""Choices: what was chosen and why, how sure that is, what else it could be."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from syncd.setup.views.draft.fields import HUNDREDTHS, Field, agree
from syncd.setup.views.draft.roles import Role
from syncd.setup.views.draft.sources import Source

NOT_EMPTY = "nullif({}, '')"
IN_CAPITALS = "upper({})"

_ENOUGH = 4.0
_GOOD = 6.5
_CLEAR = 8.0
_NEAR = 1.5
_ALL = 0.97


class Certainty(StrEnum):
    """How far a choice can be trusted; all but the first are marked as doubts."""

    SURE = "sure"
    LIKELY = "likely"
    DOUBTFUL = "doubtful"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen for one column of the views.

    Attributes:
        column: E.g. `orders`, `totalvalue`, `products.price`.
        expression: SQL; None: a gap.
        why: Reasons for it.
        doubts: Reasons against it, or what cannot be known.
        others: What else it could be.
        fields: What the SQL reads.
        tax: What it needs beside these: a table of taxes, or taxes in JSON.
    """

    column: str
    certainty: Certainty
    expression: str | None = None
    why: str = ""
    doubts: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    fields: tuple[Field, ...] = field(default=(), repr=False)
    tax: Mapping[str, object] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The column's name, or that of a product's field."""
        return self.column.removeprefix("products.")

    @property
    def is_in_hundredths(self) -> bool:
        """Whether the SQL reads an amount that is counted in hundredths."""
        return (self.expression or "").endswith(HUNDREDTHS)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A field that may be the one searched for."""

    field: Field
    score: float


@dataclass(frozen=True, slots=True)
class Candidates:
    """The fields that may have a role, the best first; maybe none."""

    role: Role
    ranked: list[Candidate]

    @classmethod
    def of(
        cls, role: Role, sources: Iterable[Source], fields: Iterable[Field]
    ) -> "Candidates":
        """Find those among the fields of some sources."""
        allowed = {source.alias for source in sources}
        found = [
            Candidate(each, score)
            for each in fields
            if each.source.alias in allowed and each.kind in role.kinds
            if (score := _score(role, each)) > 0
        ]
        found.sort(key=lambda c: (-c.score, c.field.source.hops, c.field.where))
        return cls(role, found)

    @property
    def best(self) -> Field:
        """The first; there must be one."""
        return self.ranked[0].field

    @property
    def is_enough(self) -> bool:
        """Whether the best is worth a proposal."""
        return self.scores(_ENOUGH)

    def scores(self, least: float) -> bool:
        """Return whether the best scores so much."""
        return bool(self.ranked) and self.ranked[0].score >= least

    def others(self, *chosen: Field) -> tuple[str, ...]:
        """List what else it could be, at most three."""
        taken = {each.where for each in chosen}
        names = dict.fromkeys(c.field.where for c in self.ranked)
        return tuple(name for name in names if name not in taken)[:3]

    def certainty(self) -> tuple[Certainty, list[str]]:
        """Return how sure the best is, and the reasons to doubt it."""
        score, doubts = self.ranked[0].score, list(self._doubts())
        if score < _GOOD:
            return Certainty.DOUBTFUL, doubts or ["its name is vague"]
        if score >= _CLEAR - self.best.source.hops and not doubts:
            return Certainty.SURE, doubts
        return Certainty.LIKELY, doubts or ["by its name"]

    def _doubts(self) -> Iterator[str]:
        facts, source = self.best.facts, self.best.source
        if rival := next(self._rivals(), None):
            yield f"{rival.where} is as likely"
        if not facts.rows:
            yield "no rows to compare it with"
        elif facts.filled < _ALL:
            yield f"empty in {1 - facts.filled:.0%} of the sampled rows"
        elif self.role.fit(facts) < _ALL:
            yield "some values look different"
        if not source.is_verified:
            yield "the way to it is guessed from names"
        if source.join and source.join.is_first:
            yield "there may be several, and one is taken"

    def _rivals(self) -> Iterator[Field]:
        """List those that score about as high and have other values."""
        for other in self.ranked[1:]:
            field = other.field
            is_near = other.score > self.ranked[0].score - _NEAR
            is_other = bool(field.facts.filled) and field.where != self.best.where
            if is_near and is_other and not agree(self.best, field):
                yield field

    def choice(
        self, column: str, expression: str, more_doubts: Iterable[str] = ()
    ) -> Choice:
        """Choose the best, written as an expression."""
        certainty, doubts = self.certainty()
        doubts += more_doubts
        if doubts and certainty is Certainty.SURE:
            certainty = Certainty.LIKELY
        return Choice(
            column,
            certainty,
            expression,
            f"{self.best.where}, by its name",
            tuple(doubts),
            self.others(self.best),
            (self.best,),
        )

    def as_text(self, column: str, gap: str, form: str = NOT_EMPTY) -> Choice:
        """Choose the best in some form, by default with NULL for empty text.

        If none is worth a proposal, `gap` is the reason.
        """
        if not self.is_enough:
            return self.gap(column, gap)
        return self.choice(column, form.format(self.best.text))

    def gap(self, column: str, why: str) -> Choice:
        """Choose none."""
        return Choice(column, Certainty.GAP, why=why, others=self.others())


def _score(role: Role, each: Field) -> float:
    source, facts = each.source, each.facts
    score = role.named(each.meaning, source.about)
    if facts.is_known:
        score = max(score * role.fit(facts), role.by_value(facts))
    elif facts.rows:
        score *= 0.4
    score -= 1.0 * source.hops + 0.7 * bool(source.join and source.join.is_first)
    score -= 2.0 * (source.hops > 0 and "company" in source.about)
    score -= 1.5 * (not source.is_verified) + 0.3 * bool(each.path)
    return score if score >= _ENOUGH * 0.6 else 0.0
