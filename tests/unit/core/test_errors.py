"""The messages of errors that an operator reads."""

from collections.abc import Callable
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
    PausedError,
    SyncdError,
    UnreadableRowError,
    UnreadableViewError,
    ViewFailedError,
    ViewsChangedError,
)

DAY = datetime(2026, 11, 20, tzinfo=UTC)
VIEWS_FILE = (
    "A file of views makes both of them, perhaps within BEGIN and COMMIT, and has no "
    "other statement: `syncd views show template`."
)
SEE_ROW = "Select the row from the view to see the error, then correct the view."

# Made when a test runs, not at collection, so that coverage attributes the code
# that makes them to the tests.
ERRORS: list[tuple[Callable[[], SyncdError], str, str]] = [
    (
        ViewsChangedError,
        (
            "the views were changed: nothing is captured until their keys have been "
            "compared with the ledger's"
        ),
        "A running daemon does that within seconds; `syncd check` shows more.",
    ),
    (
        lambda: UnreadableRowError("22P02"),
        "the purchases view fails on a row's data with SQLSTATE 22P02",
        SEE_ROW,
    ),
    (
        lambda: ViewFailedError("HV000", "purchases"),
        "the purchases view fails with SQLSTATE HV000",
        (
            "Something that the view reads raises it (a function, a foreign table, the "
            "server); no order is the cause, and syncd tries again by itself."
        ),
    ),
    (
        lambda: UnreadableViewError("22007", "1 cannot be read", "Mend it."),
        "orders are not captured: 1 cannot be read",
        "Mend it.",
    ),
    (
        lambda: PausedError("sending", DAY, None),
        "sending is paused since 2026-11-20 00:00:00+0000",
        "`syncd resume --sending` ends the pause.",
    ),
    (
        lambda: PausedError("capture", DAY, "stock"),
        "capture is paused since 2026-11-20 00:00:00+0000 (stock)",
        "`syncd resume --capture` ends the pause.",
    ),
    (
        lambda: ViewsUnknownError("magenta"),
        "there are no views called 'magenta', and no such file",
        "`syncd views list` shows those that ship with syncd.",
    ),
    (
        lambda: ViewFileError("a.sql", 7, "no"),
        "a.sql, line 7: no; nothing was changed",
        VIEWS_FILE,
    ),
    (
        lambda: ViewFileError("a.sql", None, "no", "Mend it."),
        "a.sql: no; nothing was changed",
        "Mend it.",
    ),
    (
        lambda: StatementRefusedError("42601", "near x", 4),
        "near x",
        "Mend the statement.",
    ),
    (
        lambda: OrderAmbiguousError("17", ["17", "23"]),
        "several orders may be meant by '17': order_key 17, order_key 23",
        (
            "Name the one that is meant by its other name, key or number, as "
            "`syncd preview` shows it."
        ),
    ),
    (
        lambda: RangePrunedError(DAY, DAY),
        (
            "orders confirmed from 2026-11-20 to 2026-11-20 were delivered, but their "
            "receipts are no longer kept (ledger.retention)"
        ),
        (
            "End before them (`syncd backfill --to 2026-11-20`), or begin later, at "
            "the earliest 2026-11-20T00:00:00+00:00."
        ),
    ),
]


@pytest.mark.parametrize(("make", "words", "step"), ERRORS, ids=range(len(ERRORS)))
def test_an_error_has_a_message_and_a_next_step(
    make: Callable[[], SyncdError], words: str, step: str
) -> None:
    """Each of the two is one line."""
    error = make()
    assert (str(error), error.hint) == (words, step)
    assert "\n" not in f"{error}{error.hint}"
    assert int(error.exit_code) > 0


def test_an_error_carries_what_its_handler_needs() -> None:
    """The state, the view, the place, the pause, the codes of the same findings."""
    row = UnreadableRowError("22P02", "confirmed_orders")
    assert (row.sqlstate, row.view) == ("22P02", "confirmed_orders")
    assert UnreadableRowError("22P02").view == "purchases"
    view = UnreadableViewError("22007", "1 cannot be read", "Mend it.")
    assert (view.sqlstate, view.view) == ("22007", "confirmed_orders")
    assert ViewFailedError("HV000", "purchases").sqlstate == "HV000"
    refused = StatementRefusedError("42601", "near x", 4)
    assert (refused.sqlstate, refused.reason, refused.offset) == ("42601", "near x", 4)
    paused = PausedError("capture", DAY, "stock")
    assert (paused.what, paused.since, paused.why) == ("capture", DAY, "stock")
    assert ViewsChangedError().of(["a", "b"]).codes == ("a", "b")
