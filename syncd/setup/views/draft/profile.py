"""Names, phone and address of the customer: all of them from one place."""

from collections.abc import Iterator, Sequence

from syncd.setup.views.draft.choice import Choice, candidates, is_enough, plain
from syncd.setup.views.draft.fields import Field
from syncd.setup.views.draft.roles import PROFILE
from syncd.setup.views.draft.sources import Source

_PEOPLE = frozenset({"customer", "user", "contact"})
_ISO = 2.0  # letters of a country's code


def profile(sources: Sequence[Source], fields: Sequence[Field]) -> Iterator[Choice]:
    """Choose the source with the most fields, and these; addresses come first."""
    addresses = [
        s for s in sources if s.hops == 0 or (s.hops == 1 and "address" in s.about)
    ]
    people = [s for s in sources if s.hops == 1 and s.about & _PEOPLE]
    groups = [list(_of(source, fields)) for source in (*addresses, *people)]
    yield from max(groups, key=lambda choices: sum(map(_worth, choices)), default=[])


def _of(source: Source, fields: Sequence[Field]) -> Iterator[Choice]:
    for role in PROFILE:
        found = candidates(role, [source], fields)
        found.sort(key=lambda c: (-c.score, "shipping" in c.field.meaning.concepts))
        if is_enough(found):
            is_code = found[0].field.facts.length == _ISO
            form = "upper({})" if role.name == "country" and is_code else "{}"
            yield plain(role.name, role, found, form)


def _worth(choice: Choice) -> float:
    facts = choice.fields[0].facts
    return facts.filled if facts.rows else 0.5
