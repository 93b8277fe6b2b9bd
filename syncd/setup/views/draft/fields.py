"""Fields: columns, and what is in the JSON or the key tables of a reached row."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from syncd.core.sql_text import quoted
from syncd.setup.views.draft.samples import Facts, facts_of, number
from syncd.setup.views.draft.schema import Kind, literal, one_line
from syncd.setup.views.draft.sources import Source
from syncd.setup.views.draft.words import Meaning, meaning_of

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_ -]{0,40}")
_SQL_NUMBER = "^-?[0-9]+([.][0-9]+)?$"
_FLOATS = frozenset({"real", "double precision"})
_CENTS_FROM = 100.0
_DEEPEST = 2
_OUTER = frozenset({"billing", "shipping", "customer", "currency"})
_ALIKE = 0.95

HUNDREDTHS = " / 100.0"
"""What SQL adds to an amount that is counted in hundredths."""


@dataclass(frozen=True, slots=True)
class Field:
    """A value that can be reached: a column, or something in its JSON.

    Attributes:
        path: Keys within the JSON of the column.
    """

    source: Source
    column: str
    kind: Kind
    meaning: Meaning
    facts: Facts
    path: tuple[str, ...] = ()
    is_unique: bool = False

    @property
    def expression(self) -> str:
        """Return it as SQL writes it."""
        name = f"{quoted(self.source.alias)}.{quoted(self.column)}"
        if not self.path:
            return name
        if self.source.table.column(self.column).kind is Kind.TEXT:
            name = f"CASE WHEN {name} LIKE '{{%' THEN {name}::jsonb END"
        *inner, last = map(literal, self.path)
        return f"({name}{''.join(f' -> {key}' for key in inner)} ->> {last})"

    @property
    def text(self) -> str:
        """Return it as SQL writes its text."""
        is_text = self.kind is Kind.TEXT
        return self.expression if is_text else f"{self.expression}::text"

    def number(self, *, cents: bool = False) -> str:
        """Return it as SQL writes a number, with NULL where a text is none.

        Args:
            cents: Whether it is counted in hundredths.
        """
        text = self.expression
        if self.kind is Kind.TEXT or self.path:
            text = f"(CASE WHEN {text} ~ '{_SQL_NUMBER}' THEN ({text})::numeric END)"
        elif self.kind is Kind.MONEY or self._type in _FLOATS:
            text = f"{text}::numeric"
        return f"{text}{HUNDREDTHS}" if cents else text

    @property
    def looks_like_cents(self) -> bool:
        """Whether an amount is counted in hundredths."""
        if "cents" in self.meaning.concepts:
            return True
        is_large = not self.facts.is_known or self.facts.middle >= _CENTS_FROM
        return self.kind is Kind.INTEGER and is_large

    @property
    def is_endless(self) -> bool:
        """Whether an amount may have any number of digits after its point."""
        is_open = self._type in {"", "numeric", "text", *_FLOATS}
        return self.kind is not Kind.INTEGER and is_open

    @property
    def _type(self) -> str:
        """The column's type; empty: it is no column."""
        if self.path or self.source.keys:
            return ""
        return self.source.table.column(self.column).type

    @property
    def where(self) -> str:
        """Return where it comes from, for a person."""
        keys = "".join(f" -> {key}" for key in self.path)
        return one_line(f"{self.source.table.name}.{quoted(self.column)}{keys}")

    def values(self) -> list[str | None]:
        """Return its value in each sampled row of the base."""
        values = self.source.values(self.column)
        return [_at(_parsed(v), self.path) for v in values] if self.path else values


def fields(source: Source) -> Iterator[Field]:
    """List what a source's rows hold: columns, keys of JSON, keys of a key table."""
    if source.keys:
        yield from _pairs(source)
        return
    for column in source.table.columns:
        yield Field(
            source,
            column.name,
            column.kind,
            column.meaning,
            facts_of(source.values(column.name)),
            is_unique=column.is_unique or source.table.key == (column.name,),
        )
        if column.kind in {Kind.JSON, Kind.TEXT}:
            yield from _in_json(source, column.name)


T = TypeVar("T", str, tuple[str, ...])


def _usual(names: Iterable[T]) -> list[T]:
    """List names that several rows have: a name that only one has may be data."""
    return sorted(name for name, times in Counter(names).items() if times > 1)


def _pairs(source: Source) -> Iterator[Field]:
    for name in _usual(name for row in source.rows if row for name in row):
        if meaning_of(name).concepts and _KEY.fullmatch(name):
            facts = facts_of(source.values(name))
            yield Field(source, name, Kind.TEXT, meaning_of(name), facts)


def _in_json(source: Source, column: str) -> Iterator[Field]:
    """List the scalars in JSON objects, to a depth of two; only keys with a meaning."""
    documents = [_parsed(text) for text in source.values(column)]
    outer = meaning_of(column).concepts & _OUTER
    for path in _usual(path for each in documents for path in _paths(each)):
        meaning = meaning_of(" ".join(path))
        if not meaning.concepts or not all(map(_KEY.fullmatch, path)):
            continue
        whole = Meaning(meaning.concepts | outer, meaning.unknown)
        facts = facts_of(_at(each, path) for each in documents)
        kind = Kind.NUMBER if facts.numbers == 1 else Kind.TEXT
        yield Field(source, column, kind, whole, facts, path)


def _parsed(text: str | None) -> object:
    """Read JSON; None: it is none."""
    if not text or text[0] not in "{[":
        return None
    try:
        return json.loads(text, parse_float=str, parse_int=str)
    except ValueError:
        return None


def objects(text: str | None) -> list[Mapping[str, object]]:
    """Read the objects of a JSON array; none if it is no array."""
    array = _parsed(text)
    items = array if isinstance(array, list) else []
    return [item for item in items if isinstance(item, dict)]


def _paths(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict) and len(path) < _DEEPEST:
        for key, inner in value.items():
            yield from _paths(inner, (*path, str(key)))
    elif path and isinstance(value, str):
        yield path


def _at(value: object, path: Sequence[str]) -> str | None:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


def agree(one: Field, other: Field) -> bool:
    """Return whether two fields have the same values, wherever both have one."""
    pairs = [
        (a.strip().lower(), b.strip().lower())
        for a, b in zip(one.values(), other.values(), strict=True)
        if a and b
    ]
    same = sum(a == b or _same_number(a, b) for a, b in pairs)
    return bool(pairs) and same >= _ALIKE * len(pairs)


def _same_number(one: str, other: str) -> bool:
    first, second = number(one), number(other)
    return first is not None and first == second
