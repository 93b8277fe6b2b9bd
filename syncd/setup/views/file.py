"""A file of the two views, and nothing else; run one statement at a time."""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from syncd.config.settings import Settings
from syncd.core.command_errors import (
    StatementRefusedError,
    ViewFileError,
    ViewsUnknownError,
)
from syncd.core.sql_text import (
    DEFAULT_SCHEMA,
    SqlName,
    SqlStatement,
    SqlTextError,
    Token,
    statements,
)
from syncd.core.text import shown
from syncd.postgres.database import Database
from syncd.postgres.statements import composed, identifier
from syncd.setup.views.shop import TEMPLATE, shops, sql_of
from syncd.source.orders import Source

MOST_BYTES = 1_000_000
"""Of a file; no views are larger."""

_SHOWN_WORDS = 3
_WRAPPERS = frozenset(
    {
        *("BEGIN", "BEGIN TRANSACTION", "BEGIN WORK", "START TRANSACTION"),
        *("COMMIT", "COMMIT TRANSACTION", "COMMIT WORK", "END"),
    }
)
"""What a file may hold beside the views; a transaction is made anyway."""
_HINT = "Correct the view as PostgreSQL's message says; qualify tables with schemas."
_OTHER_COLUMNS = "42P16"
"""SQLSTATE: a view cannot be replaced by one with other columns."""
_MARK = re.compile(r"--.*\b(?:DOUBT|GAP)(?=[:.]|$)", re.MULTILINE)

_HEADS = (("CREATE", "VIEW"), ("CREATE", "OR", "REPLACE", "VIEW"))


@dataclass(frozen=True, slots=True)
class ViewNames:
    """The two views by name, with their schemas."""

    confirmed: SqlName
    purchases: SqlName

    @classmethod
    def of(cls, settings: Settings) -> "ViewNames":
        """Return the names that are configured."""
        source = settings.source
        return cls.parse(source.confirmed_view, source.purchases_view)

    @classmethod
    def parse(cls, confirmed: str, purchases: str) -> "ViewNames":
        """Read the names as the configuration has them."""
        names = [SqlName.parse(confirmed), SqlName.parse(purchases)]
        one, other = (name.qualified() for name in names if name is not None)
        return cls(one, other)

    @property
    def both(self) -> tuple[SqlName, SqlName]:
        """Both, `confirmed` first."""
        return self.confirmed, self.purchases

    def source(self, database: Database) -> Source:
        """Return the orders that the views of these names have."""
        return Source(database, *map(str, self.both))


DEFAULT_NAMES = ViewNames.parse("syncd.confirmed_orders", "syncd.purchases")
TRIAL_NAMES = ViewNames.parse("pg_temp.confirmed_orders", "pg_temp.purchases")
"""Under these a session has them for itself: no lock is needed, and none stay."""


@dataclass(frozen=True, slots=True)
class Definition:
    """The statement that makes one of the views, under some name.

    Attributes:
        line: Where it begins in its file.
    """

    view: SqlName
    text: str
    line: int

    def line_of(self, offset: int) -> int:
        """Return the line of the file in which a character of `text` stands."""
        return self.line + self.text.count("\n", 0, max(0, offset))


@dataclass(frozen=True, slots=True)
class ViewFile:
    """The statements of a file, each of which makes one of the two views.

    Attributes:
        title: As the operator named it.
        names: Of the views in the file.
        statements: Both, in the file's order.
        marks: How many comments still have a draft's DOUBT or GAP.
    """

    title: str
    names: ViewNames
    statements: Sequence[SqlStatement]
    marks: int = 0

    @classmethod
    def parse(cls, title: str, text: str, names: ViewNames) -> "ViewFile":
        """Read a file that makes the two views of these names, and nothing else.

        Raises:
            ViewFileError: It has other statements; the message names them.
        """
        found: dict[SqlName, SqlStatement] = {}
        try:
            for statement in statements(text.removeprefix("\ufeff")):
                if " ".join(statement.keywords) in _WRAPPERS:
                    continue
                view = _view_of(title, statement, names)
                if view in found:
                    raise ViewFileError(title, statement.line, f"{view} comes again")
                found[view] = statement
        except SqlTextError as error:
            raise ViewFileError(title, error.line, str(error)) from error
        for view in names.both:
            if view not in found:
                raise ViewFileError(title, None, f"makes no {view}")
        return cls(title, names, list(found.values()), len(_MARK.findall(text)))

    def definitions(self, names: ViewNames) -> Iterator[Definition]:
        """Yield the statements with other names of the views, in the file's order."""
        renamed = dict(zip(self.names.both, names.both, strict=True))
        for statement in self.statements:
            yield _renamed(statement, renamed)


def read(where: str, names: ViewNames, schema: str = DEFAULT_SCHEMA) -> ViewFile:
    """Read the views of a shop system by its name, or those in a file.

    Args:
        where: A name of `syncd views list`, a path, or `-` for standard input.
        names: Of the views that are wanted.
        schema: Where the shop system's tables are; a file has it itself.

    Raises:
        ViewsUnknownError: There is neither.
        ViewFileError: The file holds something else than the two views.
    """
    if where == TEMPLATE or where in shops():
        return ViewFile.parse(where, sql_of(where, schema), DEFAULT_NAMES)
    return ViewFile.parse(shown(where), _text_of(where), names)


def _bytes_of(where: str) -> bytes:
    """Read a file or, for "-", standard input; of what is too large, its beginning."""
    if where == "-":
        return sys.stdin.buffer.read(MOST_BYTES + 1)
    with Path(where).open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _text_of(where: str) -> str:
    try:
        content = _bytes_of(where)
    except (FileNotFoundError, ValueError) as error:
        raise ViewsUnknownError(shown(where)) from error
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        raise ViewFileError(shown(where), None, reason) from error
    if len(content) > MOST_BYTES:
        raise ViewFileError(shown(where), None, "is too large for two views")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ViewFileError(shown(where), line, "is no text in UTF-8") from error


def _view_of(title: str, statement: SqlStatement, names: ViewNames) -> SqlName:
    made = _made_by(statement)
    if made is None:
        words = " ".join(token.text for token in statement.tokens[:_SHOWN_WORDS])
        reason = f"{shown(words)} … makes neither of the two views"
        raise ViewFileError(title, statement.line, reason)
    name, _ = made
    if name.qualified() not in names.both:
        wanted = " or ".join(map(str, names.both))
        raise ViewFileError(title, statement.line, f"the view {name} is not {wanted}")
    return name.qualified()


def _made_by(statement: SqlStatement) -> tuple[SqlName, int] | None:
    """Return the view that a statement makes, and the place of what follows its name.

    None: it does something else.
    """
    for head in _HEADS:
        if tuple(each.keyword for each in statement.tokens[: len(head)]) == head:
            name, length = _name_at(statement.tokens, len(head))
            return (name, len(head) + length) if name else None
    return None


def _name_at(tokens: Sequence[Token], place: int) -> tuple[SqlName | None, int]:
    """Read a name, and of how many tokens it is: 3 with a schema, or 1."""
    is_long = [token.text for token in tokens[place + 1 : place + 2]] == ["."]
    length = 3 if is_long and len(tokens) > place + 2 else 1
    text = "".join(token.text for token in tokens[place : place + length])
    return SqlName.parse(text), length


def _renamed(statement: SqlStatement, renamed: dict[SqlName, SqlName]) -> Definition:
    """Put other names in the place of the views', wherever they stand."""
    tokens, text, made = statement.tokens, statement.text, _made_by(statement)
    assert made is not None  # noqa: S101  # found before
    view, place = renamed[made[0].qualified()], made[1]
    end = tokens[place - 1].end
    parts = [f"CREATE OR REPLACE VIEW {view}", "\n" * text.count("\n", 0, end)]
    while place < len(tokens):
        name, length = _name_at(tokens, place)
        if length > 1 and name in renamed:
            parts += [text[end : tokens[place].start], str(renamed[name])]
        else:
            length = 1
            parts.append(text[end : tokens[place].end])
        place += length
        end = tokens[place - 1].end
    return Definition(view, "".join(parts), statement.line)


def create(database: Database, file: ViewFile, names: ViewNames) -> None:
    """Create or replace the views of a file, under these names.

    Raises:
        ViewFileError: PostgreSQL refuses one; with the line in the file.
    """
    for each in file.definitions(names):
        _define(database, file, each.text, each)


def drop(database: Database, file: ViewFile, names: ViewNames) -> None:
    """Drop the views of these names, to make room for those of a file.

    Raises:
        ViewFileError: PostgreSQL refuses it.
    """
    confirmed, purchases = map(identifier, map(str, names.both))
    statement = composed("drop_views", confirmed=confirmed, purchases=purchases)
    _define(database, file, statement.text.decode())


def _define(
    database: Database, file: ViewFile, text: str, definition: Definition | None = None
) -> None:
    try:
        database.define(text)
    except StatementRefusedError as error:
        line = definition.line_of(error.offset or 0) if definition else None
        raise ViewFileError(file.title, line, error.reason, _HINT) from error


def is_of_other_columns(error: ViewFileError) -> bool:
    """Return whether PostgreSQL refused to replace a view by one of other columns."""
    cause = error.__cause__
    return isinstance(cause, StatementRefusedError) and cause.sqlstate == _OTHER_COLUMNS
