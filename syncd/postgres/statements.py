"""Every statement by its name, as the files of `queries/` hold it.

SQL is made of these files and of quoted names only: nothing built is ever run.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib.resources import files
from typing import LiteralString, cast

from psycopg import sql

from syncd.core.cause import Place
from syncd.core.sql_text import SqlName

_MARGIN = re.compile(r"^\s*(--.*)?\n?", re.MULTILINE)
_PLACEHOLDER = re.compile(rb"%(?:\((\w+)\)s|%)")
_BRACES = {Place.CONFIRMED: "confirmed", Place.PURCHASES: "purchases"}


@cache
def statements() -> Mapping[str, str]:
    """The statements of `queries/` by name; `:one`, `:many` … are their results.

    Braces are identifiers that the code fills in, or another of the statements. Without
    comments and margins, which the server would read.
    """
    found: dict[str, str] = {}
    for file in (files("syncd.postgres") / "queries").iterdir():
        text = file.read_text(encoding="utf-8")
        parts = re.split(r"^-- name: (\w+) :\w+$", text, flags=re.MULTILINE)
        for name, statement in zip(parts[1::2], parts[2::2], strict=True):
            bare = _MARGIN.sub("", statement)
            if found.setdefault(name, bare) is not bare:
                raise ValueError(f"two statements are named {name}")
    return found


@dataclass(frozen=True, eq=False)
class Statement:
    """SQL that may be run; made of files of the distribution and quoted names only."""

    text: bytes
    place: Place = Place.LEDGER

    @classmethod
    def of(cls, composed: sql.Composable, place: Place = Place.LEDGER) -> "Statement":
        """Take what was composed of vetted pieces; `place` is what it reads."""
        return cls(composed.as_bytes(), place)

    @cached_property
    def numbered(self) -> tuple[bytes, Sequence[str]]:
        """The text with PostgreSQL's placeholders, and the names of their values.

        psycopg would read the placeholders of a text above 4 kB at each run.
        """
        places: dict[str, int] = {}

        def numbered(found: re.Match[bytes]) -> bytes:
            if found[1] is None:
                return b"%"
            return b"$%d" % places.setdefault(found[1].decode(), len(places) + 1)

        return _PLACEHOLDER.sub(numbered, self.text), tuple(places)


@cache
def query(name: str) -> Statement:
    """Find the statement `name`, one without braces."""
    return composed(name)


@lru_cache(256)
def compose(name: str, **queries: Statement) -> Statement:
    """Put queries into the braces of the statement `name`.

    Whatever a statement may do without has a query of nothing then.
    """
    spare = {
        "taken": query("nothing_taken"),
        "rows": query("nothing_read"),
        "listings": query("no_listings"),
        "initial": query("was_listed_initially"),
        "sealed": query("is_unsealed"),
    }
    texts = {brace: q.text.decode() for brace, q in (spare | queries).items()}
    made = composed(name, **{b: trusted_sql(text) for b, text in texts.items()})
    places = [q.place for q in queries.values() if q.place.is_view]
    return Statement(made.text, places[0] if places else made.place)


def part(name: str, **identifiers: sql.Composable) -> sql.Composed:
    """Compose the statement `name` as a part of others: it has no end of its own."""
    return trusted_sql(statements()[name]).format(**identifiers)


def composed(name: str, **identifiers: sql.Composable) -> Statement:
    """Compose the statement `name` with quoted identifiers for its braces."""
    text = statements()[name]
    read = [place for place in Place if f"{{{_BRACES.get(place)}}}" in text]
    place = read[0] if read else Place.LEDGER
    return Statement.of(trusted_sql(text).format(**identifiers), place)


def trusted_sql(text: str) -> sql.SQL:
    """Take a statement from a file of the distribution as safe."""
    # basedpyright wants the cast, mypy sees a str in it
    return sql.SQL(cast("LiteralString", text))  # type: ignore[redundant-cast]


def quoted(name: str) -> sql.Identifier:
    """Quote one name, whatever is in it."""
    return sql.Identifier(name)


def identifier(name: str) -> sql.Identifier:
    """Quote a name of a table or view as SQL writes it, like `syncd.purchases`."""
    found = SqlName.parse(name)
    return sql.Identifier(*(found.parts if found else (name,)))
