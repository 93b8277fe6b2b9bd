"""Rows of a shop's tables, as samples, and those that belong to some keys."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from syncd.setup.views.draft.schema import (
    Name,
    Reference,
    Table,
)

Row = Mapping[str, str | None]

_MOST_KEYS = 300

_FOUND = 0.6


class Samples(Protocol):
    """Reads some rows of a table, as text by column name.

    Attributes:
        failed: Tables that could not be read, or not in time.
    """

    failed: set[Name]

    def rows(self, table: Table) -> Sequence[Row]:
        """Read some of the newest rows; none where it cannot be read."""
        ...

    def matching(self, table: Table, column: str, keys: Sequence[str]) -> Sequence[Row]:
        """Read rows that have one of these values in a column; bounded."""
        ...

    def values(self, table: Table, column: str) -> Sequence[str]:
        """Read the different values of a column in many rows; bounded."""
        ...


def aligned(
    samples: Samples, table: Table, column: str, keys: Sequence[str | None]
) -> tuple[list[Row | None], bool]:
    """Find the row of each key; and whether there are rows for most of them."""
    wanted = list(dict.fromkeys(k for k in keys if k is not None))[:_MOST_KEYS]
    if not wanted:
        return [None] * len(keys), True
    by_key: dict[str | None, Row] = {}
    for row in samples.matching(table, column, wanted):
        by_key.setdefault(row.get(column), row)
    is_found = sum(k in by_key for k in wanted) >= _FOUND * len(wanted)
    return [by_key.get(k) if k is not None else None for k in keys], is_found


def pivoted(
    samples: Samples,
    table: Table,
    reference: Reference,
    keys: Sequence[str | None],
    pair: tuple[str, str],
) -> tuple[list[Row | None], bool]:
    """Make one row of the keys and values of each key."""
    wanted = list(dict.fromkeys(k for k in keys if k is not None))[:_MOST_KEYS]
    rows: dict[str | None, dict[str, str | None]] = {}
    for row in samples.matching(table, reference.column, wanted) if wanted else ():
        name = row.get(pair[0])
        if name:
            rows.setdefault(row.get(reference.column), {})[name] = row.get(pair[1])
    return [rows.get(k) if k is not None else None for k in keys], bool(rows)
