"""The two views of the shop's order database: their names, columns and statements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import msgspec
from psycopg import sql

from syncd.core.errors import SchemaMismatchError, UnreadableRowError, ViewMissingError
from syncd.postgres.database import Database
from syncd.postgres.statements import (
    Statement,
    composed,
    identifier,
    part,
    query,
    trusted_sql,
)

_CONFIRMED = ("order_key", "confirmed_at")
_PURCHASES = ("order_key", "orderid", "email", "products")
_CREATE = (
    "Create the two views (`syncd views detect`, or sql/shops/template.sql), then run "
    "`syncd check`."
)
INVALID_JSON = "22032"
"""SQLSTATE of JSON that PostgreSQL lets pass (type json) but no reader does."""

_DECODER = msgspec.json.Decoder(dict[str, object], float_hook=Decimal)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a view: its name, its type, and the type's schema."""

    name: str
    type: str
    schema: str


class LeftOut:
    """Keys of orders that are read as if they had no time; sources may share them."""

    def __init__(self) -> None:
        self.keys: tuple[str, ...] = ()


class Views:
    """The two views by name, with the key's native type read from the catalogue."""

    def __init__(
        self,
        database: Database,
        confirmed: str,
        purchases: str,
        *,
        left_out: LeftOut | None = None,
    ) -> None:
        self.confirmed = confirmed
        self.purchases = purchases
        self._database = database
        self._key_type: sql.Identifier | None = None
        self._statements: dict[str, Statement] = {}
        self._left_out = left_out or LeftOut()
        self._without: tuple[str, ...] = ()
        database.on_schema_error(self.forget)

    @property
    def params(self) -> Mapping[str, object]:
        """The views' names for the statements that look them up in the catalogue."""
        return {"confirmed_view": self.confirmed, "purchases_view": self.purchases}

    def columns(self, view: str) -> list[Column]:
        """List a view's columns in order; empty when there is no such view."""
        return self._database.rows(Column, query("columns"), view=view)

    def timed(self) -> list[str]:
        """List the views behind the confirmed orders that use the present time."""
        return self._database.values(
            str, query("timed_views"), confirmed_view=self.confirmed
        )

    def names(self) -> Mapping[str, sql.Composable]:
        """Identifiers for the statements that read the views.

        Raises:
            SchemaMismatchError: `purchases` or its `order_key` is missing.
        """
        if self._key_type is None:
            self._key_type = self._read_key_type()
        return {
            "confirmed": self._confirmed(),
            "purchases": identifier(self.purchases),
            "key_type": self._key_type,
            "seal": trusted_sql(query("seal").text.decode()),
        }

    @property
    def left_out(self) -> Sequence[str]:
        """Keys of the orders that are read as if they had no time."""
        return self._left_out.keys

    def leave_out(self, keys: Sequence[str]) -> None:
        """Read orders from now on as if they had no time."""
        self._left_out.keys = tuple(keys)

    def _confirmed(self) -> sql.Composable:
        view = identifier(self.confirmed)
        if not self._without:
            return view
        keys = sql.Literal([key.encode().hex() for key in self._without])
        return part("confirmed_without", view=view, keys=keys)

    def check(self) -> None:
        """Refuse views that are missing or lack the columns that syncd needs.

        Raises:
            SchemaMismatchError: It names the view and the column.
        """
        needed = ((self.confirmed, _CONFIRMED), (self.purchases, _PURCHASES))
        for view, columns in needed:
            present = {column.name for column in self.columns(view)}
            if not present:
                raise ViewMissingError(f"the view {view} is missing", _CREATE)
            if missing := [c for c in columns if c not in present]:
                what = f"lacks the column {missing[0]}"
                raise SchemaMismatchError(f"the view {view} {what}", _CREATE)

    def statement(self, name: str) -> Statement:
        """Compose a named statement with the views' identifiers."""
        if self._without != self._left_out.keys:
            self._without = self._left_out.keys
            self._statements.clear()
        if name not in self._statements:
            self._statements[name] = composed(name, **self.names())
        return self._statements[name]

    def forget(self) -> None:
        """Read the key's type again: the shop's migration may have changed it."""
        self._key_type = None
        self._statements.clear()

    def _read_key_type(self) -> sql.Identifier:
        for column in self.columns(self.purchases):
            if column.name == "order_key":
                return sql.Identifier(column.schema, column.type)
        raise SchemaMismatchError(
            f"the view {self.purchases} with a column order_key is missing", _CREATE
        )


def columns_of(row: str) -> dict[str, object]:
    """Read a row's columns; their numbers are int or Decimal.

    Raises:
        UnreadableRowError: It is not valid JSON.
    """
    try:
        return _DECODER.decode(row)
    except msgspec.DecodeError as error:
        raise UnreadableRowError(INVALID_JSON) from error
