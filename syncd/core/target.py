"""A table of the shop and its column with the orders' key, as an operator writes it."""

import re
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase

_NAME = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_TARGET = re.compile(rf"({_NAME}(?:\.{_NAME})?):({_NAME})")
_FOLDED = str.maketrans(ascii_uppercase, ascii_lowercase)

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


def unquoted(name: str) -> str:
    """Return the name that an SQL identifier stands for."""
    if name.startswith('"'):
        return name[1:-1].replace('""', '"')
    return name.translate(_FOLDED)
