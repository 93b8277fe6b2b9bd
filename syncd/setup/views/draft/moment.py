"""A way to know since when an order is confirmed."""

from collections.abc import Sequence
from dataclasses import dataclass

from syncd.setup.views.draft.samples import Row, Samples
from syncd.setup.views.draft.schema import Catalogue, Column, Table, quote


@dataclass(frozen=True, slots=True)
class Moment:
    """A way to know since when an order is confirmed.

    Attributes:
        key: Column of the table that holds the order's key.
        where: Conditions, with `{alias}.` before each column.
        per_second: Of a time that is a number since 1970: 1, or 1000 for milliseconds.
        orders_where: The same on the order, where the table is another one.
        why: Reasons for it.
        doubts: Reasons against it.
    """

    table: Table
    key: str
    time: Column
    score: float
    why: str
    where: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    orders_where: tuple[str, ...] = ()
    per_second: int | None = None

    def at(self, alias: str = "") -> str:
        """Write the time, of a row with an alias like `c.`."""
        name = f"{alias}{quote(self.time.name)}"
        if self.per_second is None:
            return name
        scale = "" if self.per_second == 1 else f" / {self.per_second}.0"
        return f"to_timestamp({name}{scale})"


@dataclass(frozen=True, slots=True)
class Search:
    """What the ways are searched in."""

    catalogue: Catalogue
    samples: Samples
    orders: Table
    key: str
    rows: Sequence[Row]
