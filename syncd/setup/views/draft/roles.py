"""What each column of the views may be called, and what its values look like.

The words are in `roles.toml`.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from operator import attrgetter
from typing import Any

from syncd.setup.views.draft.samples import Facts
from syncd.setup.views.draft.schema import Kind
from syncd.setup.views.draft.words import Meaning, word_set

Patterns = Mapping[frozenset[str], float]

_EXTRA = 3.0  # for a known meaning that does not belong to it
_LONGER = 0.2  # for any other meaning: the plainest name is the likeliest
_UNKNOWN = 1.2  # for a word without meaning
_SCALARS = "text integer number uuid enum"
_NEUTRAL = frozenset({"order", "sale", "shop", "header", "purchase"})


@dataclass(frozen=True, slots=True)
class Role:
    """What a column of a view holds.

    Attributes:
        patterns: Meanings of the name and how well they fit (0 to 10).
        within: The same in tables of a meaning, e.g. `code` in a table of currencies.
        never: Meanings that rule a column out.
        neutral: Meanings that do not count here.
        fit: How well values fit (0: not at all); asked only if there are values.
        alone: The least share of values with which a column counts whatever its name,
            and its score then; None: no share is enough.
        topics: Meanings of the tables that may hold it; None: any.
        not_of: Meanings of those that never do.
    """

    patterns: Patterns
    within: Mapping[str, Patterns]
    never: frozenset[str]
    neutral: frozenset[str]
    kinds: frozenset[Kind]
    fit: Callable[[Facts], float]
    alone: tuple[float, float] | None
    topics: frozenset[str] | None
    not_of: frozenset[str]

    def named(self, meaning: Meaning, about: frozenset[str]) -> float:
        """Return how well a name fits, in a table about something (0 to 10)."""
        if meaning.concepts & self.never:
            return 0.0
        known: dict[frozenset[str], float] = dict(self.patterns)
        for topic, more in self.within.items():
            if topic in about:
                known.update({k: max(v, known.get(k, 0)) for k, v in more.items()})
        scores = [
            weight
            - _EXTRA * len(meaning.concepts - concepts - self.neutral)
            - _LONGER * len(meaning.concepts - concepts)
            for concepts, weight in known.items()
            if concepts <= meaning.concepts
        ]
        return max(0.0, max(scores, default=0.0) - _UNKNOWN * meaning.unknown)

    def by_value(self, facts: Facts) -> float:
        """Return what a column scores by its values alone, whatever its name."""
        least, score = self.alone or (1.0, 0.0)
        return score if self.fit(facts) > least else 0.0


def _identifying(facts: Facts) -> float:
    if not facts.is_distinct:
        return 0.0 if facts.distinct < 0.9 else 0.5  # noqa: PLR2004
    return 1.0 if facts.is_full else 0.6


def _money(facts: Facts) -> float:
    return 1.0 if facts.numbers > 0.95 and facts.positive > 0.2 else 0.0  # noqa: PLR2004


def _whole(facts: Facts) -> float:
    return 1.0 if facts.whole > 0.7 and facts.positive > 0.5 else 0.0  # noqa: PLR2004


_FITS: Mapping[str, Callable[[Facts], float]] = {
    "any": lambda _: 1.0,
    "identifying": _identifying,
    "money": _money,
    "whole": _whole,
    **{share: attrgetter(share) for share in ("emails", "currencies", "languages")},
}


def _patterns(text: str) -> Patterns:
    """Read patterns like `total+gross:10 total:8`."""
    pairs = (each.split(":") for each in text.split())
    return {frozenset(names.split("+")): float(weight) for names, weight in pairs}


def _role(facts: Mapping[str, Any]) -> Role:
    within = facts.get("within", {})
    topics = facts.get("topics")
    counts = word_set(facts.get("counts", ""))
    return Role(
        _patterns(facts["patterns"]),
        {topic: _patterns(text) for topic, text in within.items()},
        word_set(facts["never"]) | {"status_only"},
        (_NEUTRAL - counts) | word_set(facts.get("neutral", "")),
        frozenset(map(Kind, facts.get("kinds", _SCALARS).split())),
        _FITS[facts.get("fit", "any")],
        facts.get("alone"),
        None if topics is None else word_set(topics),
        word_set(facts.get("not_of", "")),
    )


def _read() -> Mapping[str, Role]:
    file = files("syncd.setup.views.draft") / "roles.toml"
    found = tomllib.loads(file.read_text("utf-8"))
    return {name: _role(facts) for name, facts in found.items()}


ROLES = _read()
PROFILE = ("firstname", "lastname", "phone", "postcode", "city", "country")
"""The roles of names, phone and address."""
