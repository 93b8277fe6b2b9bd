"""A file of SQL as its statements, by PostgreSQL's lexical rules.

PostgreSQL decides what a statement does: this only finds where each begins
and ends, what its first words are, and where names stand in it. Comments and texts hide
nothing: a word in them is no word.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase
from typing import Literal

from typing_extensions import override

PART = r'(?:"(?:[^"\0]|"")+"|[^\W\d][\w$]*)'
"""A name, or one part of a name with its schema."""

LONGEST_BYTES = 63
"""Of a name; PostgreSQL cuts off what is longer."""

DEFAULT_SCHEMA = "public"

_RESERVED = re.compile(
    "all|analyse|analyze|and|any|array|as|asc|asymmetric|authorization|"
    "binary|both|case|cast|check|collate|collation|column|concurrently|"
    "constraint|create|cross|current_catalog|current_date|current_role|"
    "current_schema|current_time|current_timestamp|current_user|default|"
    "deferrable|desc|distinct|do|else|end|except|false|fetch|for|"
    "foreign|freeze|from|full|grant|group|having|ilike|in|initially|"
    "inner|intersect|into|is|isnull|join|lateral|leading|left|like|"
    "limit|localtime|localtimestamp|natural|not|notnull|null|offset|on|"
    "only|or|order|outer|overlaps|placing|primary|references|returning|"
    "right|select|session_user|similar|some|symmetric|system_user|table|"
    "tablesample|then|to|trailing|true|union|unique|user|using|variadic|"
    "verbose|when|where|window|with"
)
"""Words that are no table's name without double quotes."""

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
_QUALIFIED = re.compile(rf"(?:({PART})\.)?({PART})")
_FOLDED = str.maketrans(ascii_uppercase, ascii_lowercase)


@dataclass(frozen=True, slots=True, order=True)
class SqlName:
    """The name of a table or a view.

    Attributes:
        schema: None where it was not named.
    """

    schema: str | None
    name: str

    @classmethod
    def parse(cls, text: str) -> "SqlName | None":
        """Read NAME or SCHEMA.NAME; None: it is not of this form."""
        found = _QUALIFIED.fullmatch(text)
        if found is None:
            return None
        schema, name = (part and unquoted(part) for part in found.groups())
        parts = (schema or "", name)
        if any(len(part.encode(errors="replace")) > LONGEST_BYTES for part in parts):
            return None
        return cls(schema, name)

    @property
    def parts(self) -> tuple[str, ...]:
        """Its parts without quotes: the schema, if it was named, and the name."""
        return (self.name,) if self.schema is None else (self.schema, self.name)

    def qualified(self) -> "SqlName":
        """Return the name with a schema: `public` where none was named."""
        return SqlName(self.schema or DEFAULT_SCHEMA, self.name)

    @override
    def __str__(self) -> str:
        """Write it as SQL does, with double quotes only where they are needed."""
        return ".".join(map(quoted, self.parts))


def unquoted(name: str) -> str:
    """Return the name that one SQL identifier stands for."""
    if name.startswith('"'):
        return name[1:-1].replace('""', '"')
    return name.translate(_FOLDED)


def quoted(name: str) -> str:
    """Write a name as an SQL identifier, with double quotes if it needs them."""
    if _PLAIN.fullmatch(name) and not _RESERVED.fullmatch(name):
        return name
    return '"' + name.replace('"', '""') + '"'


Kind = Literal["word", "quoted", "text", "sign"]

_WORD = re.compile(r"[^\W\d][\w$]*")
_BLANK = re.compile(r"\s+|--[^\r\n]*")
_COMMENT_PART = re.compile(r"/\*|\*/")
_NUMBER = re.compile(r"\d[\w.]*")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_TEXT = re.compile(r"'(?:[^']|'')*'")
_ESCAPED_TEXT = re.compile(r"[eE]'(?:[^'\\]|\\.|'')*'", re.DOTALL)
_DOLLAR = re.compile(r"\$(?:[^\W\d]\w*)?\$")


class SqlTextError(Exception):
    """A file is no SQL that could be sent; the reason, and the line where it is."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.line = line


@dataclass(frozen=True, slots=True)
class Token:
    """A part of SQL that is not a blank or a comment: `text` stands at `start`."""

    kind: Kind
    text: str
    start: int

    @property
    def end(self) -> int:
        """Where it ends, excluded."""
        return self.start + len(self.text)

    @property
    def keyword(self) -> str:
        """The word in capitals; empty for anything else."""
        return self.text.upper() if self.kind == "word" else ""


@dataclass(frozen=True, slots=True)
class SqlStatement:
    """One statement, without its semicolon.

    Attributes:
        text: From its first word to its last, comments in between included.
        tokens: Its parts; they are placed in `text`, never empty.
        line: Where it begins in the file, from 1.
    """

    text: str
    tokens: Sequence[Token]
    line: int

    @property
    def keywords(self) -> Sequence[str]:
        """The words that it begins with, in capitals."""
        found: list[str] = []
        for token in self.tokens:
            if token.kind != "word":
                break
            found.append(token.keyword)
        return found

    def line_of(self, offset: int) -> int:
        """Return the line of the file in which a character of `text` stands."""
        return self.line + self.text.count("\n", 0, max(0, offset))


def statements(text: str) -> Iterator[SqlStatement]:
    """Take a file of SQL apart.

    Raises:
        SqlTextError: A text or a comment has no end, or there is a command of psql's.
    """
    tokens: list[Token] = []
    for token in _tokens(text):
        if token.text != ";":
            tokens.append(token)
        elif tokens:
            yield _statement(text, tokens)
            tokens = []
    if tokens:
        yield _statement(text, tokens)


def _statement(text: str, tokens: Sequence[Token]) -> SqlStatement:
    first, last = tokens[0].start, tokens[-1].end
    placed = [Token(each.kind, each.text, each.start - first) for each in tokens]
    return SqlStatement(text[first:last], placed, _line(text, first))


def _tokens(text: str) -> Iterator[Token]:
    place = 0
    while place < len(text):
        if blank := _BLANK.match(text, place):
            place = blank.end()
        elif text.startswith("/*", place):
            place = _comment_end(text, place)
        else:
            token = _token(text, place)
            yield token
            place = token.end


def _token(text: str, place: int) -> Token:
    char = text[place]
    if char == "\\":
        raise SqlTextError("is a command of psql's, no SQL", _line(text, place))
    if char == "'":
        return _matched("text", _TEXT, text, place)
    if char in "eE" and text.startswith("'", place + 1):
        return _matched("text", _ESCAPED_TEXT, text, place)
    if char == '"':
        return _matched("quoted", _QUOTED, text, place)
    if opening := _DOLLAR.match(text, place):
        return _dollar_quoted(opening, text, place)
    if word := _WORD.match(text, place):
        return Token("word", word[0], place)
    number = _NUMBER.match(text, place)
    return Token("sign", number[0] if number else char, place)


def _matched(kind: Kind, pattern: re.Pattern[str], text: str, place: int) -> Token:
    found = pattern.match(text, place)
    if found is None:
        raise _endless(text, place)
    return Token(kind, found[0], place)


def _dollar_quoted(opening: re.Match[str], text: str, place: int) -> Token:
    end = text.find(opening[0], opening.end())
    if end < 0:
        raise _endless(text, place)
    return Token("text", text[place : end + len(opening[0])], place)


def _comment_end(text: str, place: int) -> int:
    """Return where a comment ends; one may hold others."""
    depth = 0
    for found in _COMMENT_PART.finditer(text, place):
        depth += 1 if found[0] == "/*" else -1
        if depth == 0:
            return found.end()
    raise _endless(text, place)


def _endless(text: str, place: int) -> SqlTextError:
    return SqlTextError(
        "begins a text or a comment that does not end", _line(text, place)
    )


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1
