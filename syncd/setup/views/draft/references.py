"""References between tables: foreign keys, and columns that are named like a table.

Many schemas declare no foreign keys. What a name suggests is a guess, and is verified
against values before it is used.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from operator import itemgetter

from syncd.setup.views.draft.schema import Catalogue, Column, Kind, Reference, Table
from syncd.setup.views.draft.words import singular, word_set, words

_ID_WORDS = word_set("""id ids uuid guid fk pk rowid key no""")
_NUMBER = frozenset({"number", "code"})
_KEY_KINDS = {Kind.TEXT, Kind.INTEGER, Kind.UUID, Kind.NUMBER}
_GENERIC_KEYS = frozenset({"id", "uuid", "guid", "pk", "rowid", "entity"})
_TOPIC = frozenset({"sale", "shop", "header", "customer", "user"})
_EXTRA = 2.0  # for a table of more than the column names: it extends that row
_WEAKEST = 1.0
_NEAREST = 40  # tables of one word that are compared: those of the shortest names


_Guess = tuple[float, Reference]  # with its score


def with_guesses(catalogue: Catalogue) -> Catalogue:
    """Add the references that names suggest to those that are declared."""
    finder = _Finder(catalogue)
    tables = [
        replace(table, references=(*table.references, *finder.guesses(table)))
        for table in catalogue.tables
    ]
    return Catalogue(tables, catalogue.seen, catalogue.unreadable)


class _Finder:
    """Finds the table that a column names."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._by_word: dict[str, list[Table]] = defaultdict(list)
        self._by_key: dict[str, list[Table]] = defaultdict(list)
        for table in sorted(catalogue.tables, key=lambda t: len(_words_of(t))):
            own = _words_of(table)
            for word in {*own, " ".join(own)}:
                self._by_word[word].append(table)
            for concept in table.meaning.concepts:
                self._by_word[f"<{concept}>"].append(table)
            key = _key_of(table)
            if key and not set(words(key.name)) <= _GENERIC_KEYS:
                self._by_key[key.name].append(table)

    def guesses(self, table: Table) -> Iterator[Reference]:
        """List the references of a table that are not declared."""
        declared = {reference.column for reference in table.references}
        for column in table.columns:
            if column.name in declared or column.kind not in _KEY_KINDS:
                continue
            if "parent" in column.meaning.concepts:
                continue
            found = [*self._same_key(table, column)]
            if (column.name,) != table.key:
                found += self._named(table, column)
            score, best = max(found, key=itemgetter(0), default=(0.0, None))
            if best and score > _WEAKEST:
                yield best

    def _same_key(self, table: Table, column: Column) -> Iterator[_Guess]:
        """Columns named like the primary key of another table (`order_id`)."""
        own = column.meaning.concepts
        for other in self._by_key.get(column.name, ()):
            key, about = _key_of(other), other.meaning.concepts
            if other.name == table.name or key is None or column.kind != key.kind:
                continue
            if about & own:
                extra = len(about - own - _TOPIC)
                fewer = 0.1 * len(_words_of(other))
                score = 5 + _kinship(table, other) - fewer - _EXTRA * extra
                yield score, _reference(column, other, key)

    def _named(self, table: Table, column: Column) -> Iterator[_Guess]:
        """Columns named after another table, with or without an id."""
        own, concepts = words(column.name), column.meaning.concepts
        stem = tuple(singular(w) for w in own if w not in _ID_WORDS)
        has_id = len(stem) < len(own) or "id" in concepts
        is_number = bool(concepts & _NUMBER)
        is_whole = has_id or is_number or len(own) == 1
        for other in self._near(stem, concepts) if stem else ():
            if other.name == table.name or not (is_whole or _words_of(other) == stem):
                continue
            target = _numbered(other, column) if is_number else _key_of(other)
            if target is None or column.kind != target.kind:
                continue
            score = _likeness(stem, concepts - {"id", "number", "code"}, other)
            if score:
                score += _kinship(table, other) - (0 if has_id else 0.5)
                yield score, _reference(column, other, target)

    def _near(self, stem: tuple[str, ...], concepts: Iterable[str]) -> Iterable[Table]:
        """List the tables that share a word or a meaning, each once."""
        about = [f"<{concept}>" for concept in sorted(concepts)]
        keys = (" ".join(stem), stem[-1], *about)
        near = (table for key in keys for table in self._by_word[key][:_NEAREST])
        return {table.name: table for table in near}.values()


def _reference(column: Column, other: Table, target: Column) -> Reference:
    return Reference(column.name, other.name, target.name, is_declared=False)


def _words_of(table: Table) -> tuple[str, ...]:
    return tuple(singular(word) for word in words(table.name.name))


def _key_of(table: Table) -> Column | None:
    """Return the column that another table would refer to."""
    own = table.meaning.concepts
    keys = [c for c in map(table.column, table.key) if c.kind in _KEY_KINDS]
    if keys:
        return min(
            keys,
            key=lambda c: (words(c.name) != ("id",), not own & c.meaning.concepts),
        )
    generic = [c for c in table.columns if words(c.name) in {("id",), ("rowid",)}]
    named = own | {"id"}
    after_it = [
        c for c in table.of_kind(*_KEY_KINDS) if own and c.meaning.concepts == named
    ]
    return next(iter([*generic, *after_it]), None)


def _numbered(table: Table, column: Column) -> Column | None:
    """Return the column of a table that holds the number which another names."""
    own = table.meaning.concepts
    wanted = column.meaning.concepts | own
    same = [c for c in table.columns if c.name == column.name]
    alike = [
        c
        for c in table.columns
        if c.meaning.concepts & _NUMBER
        and c.meaning.concepts | own == wanted
        and c.is_unique
    ]
    return next(iter([*same, *alike]), None)


def _likeness(
    stem: tuple[str, ...], column_concepts: frozenset[str], other: Table
) -> float:
    """Return how well a column's words name a table; 0: not at all."""
    own = _words_of(other)
    extra = max(0, len(own) - len(stem))
    if own[-len(stem) :] == stem:
        return 4 - 0.3 * extra
    concepts = other.meaning.concepts
    if column_concepts and column_concepts == concepts:
        return 3.5 - 0.5 * other.meaning.unknown
    if own[-1:] == stem[-1:]:
        return 2.5 - 0.3 * len(own)
    if column_concepts and concepts and concepts <= column_concepts:
        return 2.0
    return 1.8 if column_concepts and column_concepts <= concepts else 0.0


def _kinship(table: Table, other: Table) -> float:
    """Return how much two tables belong together: schema, first words."""
    same = 1.0 if table.name.schema == other.name.schema else 0.0
    for mine, theirs in zip(_words_of(table), _words_of(other), strict=False):
        if mine != theirs:
            break
        same += 0.4
    return same
