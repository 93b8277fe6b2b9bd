"""Choices: what was chosen and why, how sure that is, what else it could be."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice

from syncd.setup.views.draft.fields import Field, agree
from syncd.setup.views.draft.roles import Role
from syncd.setup.views.draft.schema import Kind
from syncd.setup.views.draft.sources import Source

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
class Candidate:
    """A field that may be the one searched for."""

    field: Field
    score: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen for one column of the views.

    Attributes:
        column: E.g. `orders`, `totalvalue`, `products.price`.
        expression: SQL; None: a gap.
        why: Reasons for it.
        doubts: Reasons against it, or what cannot be known.
        others: What else it could be.
    """

    column: str
    certainty: Certainty
    expression: str | None = None
    why: str = ""
    doubts: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    fields: tuple[Field, ...] = field(default=(), repr=False)


def candidates(
    role: Role, sources: Iterable[Source], fields: Iterable[Field]
) -> list[Candidate]:
    """List the fields that may be it, the best first."""
    allowed = {source.alias for source in sources}
    found = [
        Candidate(each, score)
        for each in fields
        if each.source.alias in allowed and each.kind in role.kinds
        if (score := _score(role, each)) > 0
    ]
    return sorted(found, key=lambda c: (-c.score, c.field.source.hops, c.field.where))


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


def certainty(found: Sequence[Candidate], role: Role) -> tuple[Certainty, list[str]]:
    """Return how sure the first candidate is, and the reasons to doubt it."""
    best = found[0]
    doubts = list(_doubts(found, role))
    if best.score < _GOOD:
        return Certainty.DOUBTFUL, doubts or ["its name is vague"]
    if best.score >= _CLEAR - best.field.source.hops and not doubts:
        return Certainty.SURE, doubts
    return Certainty.LIKELY, doubts or ["by its name"]


def _doubts(found: Sequence[Candidate], role: Role) -> Iterator[str]:
    field = found[0].field
    facts, source = field.facts, field.source
    for rival in islice(_rivals(found), 1):
        yield f"{rival.field.where} is as likely"
    if not facts.rows:
        yield "no rows to compare it with"
    elif facts.filled < _ALL:
        yield f"empty in {1 - facts.filled:.0%} of the sampled rows"
    elif role.fit(facts) < _ALL:
        yield "some values look different"
    if not source.is_verified:
        yield "the way to it is guessed from names"
    if source.join and source.join.is_first:
        yield "there may be several, and one is taken"


def _rivals(found: Sequence[Candidate]) -> Iterator[Candidate]:
    """List those that score about as high and have other values."""
    best = found[0]
    for other in found[1:]:
        is_near = other.score > best.score - _NEAR and other.field.facts.filled
        is_other = is_near and other.field.where != best.field.where
        if is_other and not agree(best.field, other.field):
            yield other


def is_enough(found: Sequence[Candidate]) -> bool:
    """Return whether the first candidate is worth a proposal."""
    return bool(found) and found[0].score >= _ENOUGH


def others(found: Sequence[Candidate], chosen: Sequence[Field]) -> tuple[str, ...]:
    """List what else it could be, at most three."""
    taken = {each.where for each in chosen}
    names = dict.fromkeys(c.field.where for c in found)
    return tuple(name for name in names if name not in taken)[:3]


def plain(
    name: str, role: Role, found: Sequence[Candidate], form: str = "{}"
) -> Choice:
    """Choose the first candidate as it stands, empty text as NULL."""
    field = found[0].field
    sure, doubts = certainty(found, role)
    text = form.format(as_text(field))
    return Choice(
        name,
        sure,
        text if form != "{}" else f"nullif({text}, '')",
        f"{field.where}, by its name",
        tuple(doubts),
        others(found, [field]),
        (field,),
    )


def as_text(field: Field) -> str:
    """Write a field as text."""
    return field.expression if field.kind is Kind.TEXT else f"{field.expression}::text"
