"""Which order a person means: by its key, or by its public number.

Every command with ORDER resolves it here, so that none acts on the first of two.
"""

from contextlib import suppress

from syncd.core.command_errors import OrderAmbiguousError
from syncd.core.errors import UNREADABLE
from syncd.postgres.database import Database
from syncd.postgres.statements import query
from syncd.source.orders import Source


def find_key(
    source: Source, database: Database, feed_id: int, order: str
) -> str | None:
    """Find the order that the view or the ledger has by that name; None for none.

    A view that cannot be read is ignored: it may be what is being corrected.

    Raises:
        OrderAmbiguousError: It is one order's key and another's number.
    """
    keys = set(database.values(str, query("known_as"), feed=feed_id, order=order))
    with suppress(*UNREADABLE):
        keys.update(source.matches(order))
    if len(keys) > 1:
        raise OrderAmbiguousError(order, sorted(keys))
    return next(iter(keys), None)
