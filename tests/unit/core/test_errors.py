"""What a person reads when something cannot go on."""

from datetime import UTC, datetime

import pytest

from syncd.core.command_errors import (
    OrderAmbiguousError,
    RangePrunedError,
    StatementRefusedError,
    ViewFileError,
    ViewsUnknownError,
)
from syncd.core.errors import (
    SyncdError,
    UnreadableRowError,
    UnreadableViewError,
    ViewFailedError,
    ViewsChangedError,
)

DAY = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("error", "words", "step"),
    [
        (ViewsChangedError(), "the views were changed", "check"),
        (UnreadableRowError("22P02"), "purchases view fails on a row", "Select"),
        (
            ViewFailedError("HV000", "purchases"),
            "SQLSTATE HV000",
            "that the view reads",
        ),
        (
            UnreadableViewError("22007", "1 cannot be read", "Correct it."),
            "orders are not captured: 1 cannot be read",
            "Correct it.",
        ),
        (ViewsUnknownError("magenta"), "called 'magenta'", "views list"),
        (ViewFileError("a.sql", 7, "no"), "a.sql, line 7: no; nothing", "template"),
        (ViewFileError("a.sql", None, "no", "Mend it."), "a.sql: no;", "Mend it."),
        (StatementRefusedError("42601", "near x", 4), "near x", "Mend"),
        (OrderAmbiguousError("17", ["17", "23"]), "order_key 23", "other name"),
        (RangePrunedError(DAY, DAY), "from 2026-11-20", "--to 2026-11-20"),
    ],
)
def test_an_error_says_what_is_wrong_and_what_to_do(
    error: SyncdError, words: str, step: str
) -> None:
    """Each in one line."""
    assert words in str(error)
    assert step in error.hint
    assert "\n" not in f"{error}{error.hint}"
    assert int(error.exit_code) > 0
