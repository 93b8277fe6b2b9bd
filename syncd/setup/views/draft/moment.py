"""A way to know since when an order is confirmed."""

from collections.abc import Sequence
from dataclasses import dataclass

from syncd.setup.views.draft.samples import Row, Samples
from syncd.setup.views.draft.schema import Catalogue, Column, Table


@dataclass(frozen=True, slots=True)
class Moment:
    """A way to know since when an order is confirmed.

    Attributes:
        key: Column of the table that holds the order's key.
        where: Conditions, with `{alias}.` before each column.
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


@dataclass(frozen=True, slots=True)
class Search:
    """What the ways are searched in."""

    catalogue: Catalogue
    samples: Samples
    orders: Table
    key: str
    rows: Sequence[Row]
