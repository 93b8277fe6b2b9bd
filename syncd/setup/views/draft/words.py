"""What names mean: the words of a name, in four languages, as concepts.

A concept is one meaning, whatever the language: `bestellnummer`, `order_no` and
`numeroCommande` are all {order, number}.
"""

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SPLIT = re.compile(r"[^a-z0-9]+")
_FOREIGN = str.maketrans({"ß": "ss", "æ": "ae", "ø": "o", "œ": "oe"})
_PLAIN = re.compile(r"[A-Za-z\u00c0-\u017f][A-Za-z0-9\u00c0-\u017f_. :/-]{0,59}")
_COMMENT = 60
_SHORTEST = 3  # letters of a word within a compound
_ENDINGS = ("s", "es", "en", "n", "e")


def is_plain(text: str) -> bool:
    """Return whether a text is a name like those of statuses, and no other data."""
    return bool(_PLAIN.fullmatch(text))


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(text.split())


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name means.

    Attributes:
        concepts: The known meanings in it.
        unknown: How many of its words have none.
    """

    concepts: frozenset[str]
    unknown: int


@cache
def _vocabulary() -> Mapping[str, Mapping[str, Any]]:
    file = files("syncd.setup.views.draft") / "vocabulary.toml"
    return tomllib.loads(file.read_text("utf-8"))


@cache
def _known() -> Mapping[str, str]:
    """Return the concept of each word; of two concepts, the first that is listed."""
    concepts = reversed([*_vocabulary()["concepts"].items()])
    return {word: concept for concept, text in concepts for word in text.split()}


@cache
def _together() -> Mapping[tuple[str, str], str]:
    """Return what two words mean that follow each other."""
    return {
        (one, other): meaning
        for meaning, pairs in _vocabulary()["together"].items()
        for left, right in (pair.split("+") for pair in pairs)
        for one in left.split()
        for other in right.split()
    }


def words_of(name: str) -> frozenset[str]:
    """Return one of the lists of the vocabulary."""
    return word_set(_vocabulary()["lists"][name])


@cache
def words(name: str) -> tuple[str, ...]:
    """Split a name into its words: lower case, without accents or punctuation."""
    apart = _CAMEL.sub(" ", name)
    folded = unicodedata.normalize("NFKD", apart.translate(_FOREIGN)).lower()
    plain = "".join(c for c in folded if not unicodedata.combining(c))
    return tuple(word for word in _SPLIT.split(plain) if word)


@cache
def meaning_of(name: str) -> Meaning:
    """Return what the words of a name mean."""
    concepts: set[str] = set()
    unknown = 0
    for word in _joined(words(name)):
        found = concepts_of(word)
        concepts.update(found)
        unknown += not found and not word.isdigit()
    return Meaning(frozenset(concepts), unknown)


def meaning_with_comment(name: str, comment: str) -> Meaning:
    """Return what a name means, or its comment where the name means nothing."""
    meaning = meaning_of(name)
    return (
        meaning if meaning.concepts or not comment else meaning_of(comment[:_COMMENT])
    )


def _joined(apart: tuple[str, ...]) -> list[str]:
    """Join words that mean something together: `sub total`, `incl tax`."""
    joined: list[str] = []
    for word in apart:
        pair = (joined[-1], word) if joined else ("", word)
        if meaning := _together().get(pair):
            joined[-1] = meaning
        else:
            joined.append(word)
    return joined


@cache
def concepts_of(word: str) -> tuple[str, ...]:
    """Return the concepts of a word, or of the words that it is composed of."""
    known = _known()
    for form in (word, *(word.removesuffix(e) for e in _ENDINGS if word.endswith(e))):
        if form in known:
            return (known[form],)
    return _composed(word.rstrip("0123456789"))


def _composed(word: str) -> tuple[str, ...]:
    """Take a compound apart, the longest word first: bestell-nummer, order-s-regel."""
    known, tails = _known(), _vocabulary()["tails"]
    for length in range(len(word) - 1, _SHORTEST - 1, -1):
        head, rest = word[:length], word[length:]
        if head not in known:
            continue
        for tail in (rest, rest[1:] if rest[0] in "sn_" else ""):
            if tail in tails:
                return (known[head], tails[tail])
            if len(tail) >= _SHORTEST and (found := concepts_of(tail)):
                return (known[head], *found)
    return ()


@cache
def singular(word: str) -> str:
    """Return a word without the ending of a plural, as names of tables have it."""
    if word.endswith("ies") and len(word) > len("ties"):
        return f"{word[:-3]}y"
    if word.endswith(("sses", "xes", "ches")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
