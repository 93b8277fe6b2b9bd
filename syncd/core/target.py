"""A table of the shop and its column with the orders' key, as an operator writes it."""

import re
from dataclasses import dataclass

from syncd.core.sql_text import PART, unquoted

_TARGET = re.compile(rf"({PART}(?:\.{PART})?):({PART})")

EXAMPLE = """Write it as in SQL, like orders:id, public.payments:order_id or \
'"Order":"orderId"' (capitals want double quotes)."""
"""How a target is written, a sentence."""


@dataclass(frozen=True, slots=True)
class Target:
    """A table and its key column.

    Attributes:
        table: As SQL writes it, with its schema if that was named.
        key: The column's name, without quotes.
    """

    table: str
    key: str

    @classmethod
    def parse(cls, text: str) -> "Target | None":
        """Read TABLE:KEYCOLUMN by SQL's rules for names; None: it is not of this form.

        Names without double quotes are folded to lower case, as PostgreSQL does.
        """
        found = _TARGET.fullmatch(text)
        return cls(found[1], unquoted(found[2])) if found else None
