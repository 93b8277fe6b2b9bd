"""Making the views of a file, one statement at a time, with the server's own words."""

from syncd.core.command_errors import StatementRefusedError, ViewFileError
from syncd.postgres.database import Database
from syncd.setup.views.file import Definition, ViewFile

_HINT = "Correct the view as PostgreSQL's message says; qualify tables with schemas."
_OTHER_COLUMNS = "42P16"
"""SQLSTATE: a view cannot be replaced by one with other columns."""


def define(database: Database, file: ViewFile, statement: Definition | str) -> None:
    """Run a statement of a file, or one that makes room for it.

    Raises:
        ViewFileError: PostgreSQL refuses it; with the line in the file.
    """
    text = statement if isinstance(statement, str) else statement.text
    try:
        database.define(text)
    except StatementRefusedError as error:
        line = None
        if not isinstance(statement, str):
            line = statement.line_of(error.offset or 0)
        raise ViewFileError(file.title, line, error.reason, _HINT) from error


def is_of_other_columns(error: ViewFileError) -> bool:
    """Return whether PostgreSQL refused to replace a view by one of other columns."""
    cause = error.__cause__
    return isinstance(cause, StatementRefusedError) and cause.sqlstate == _OTHER_COLUMNS
