"""Orders with several rows in `purchases`: only what their rows agree on is sent.

A join that finds two payments or two addresses gives an order two rows; which of them
would be the right one is not known.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from syncd.core.field_value import is_object

DIFFERS = "differs between the rows of this order in purchases"
"""Why a column of such an order is not sent."""

_MARK = "differs between rows"
_DECODER = msgspec.json.Decoder(dict[str, object], float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def merged(rows: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return one row for each order; a column that differs is marked in it.

    Args:
        rows: Keys, and rows as JSON objects.
    """
    found = dict(rows)
    if len(found) == len(rows):
        return found
    texts: dict[str, set[str]] = {key: set() for key in found}
    for key, text in rows:
        texts[key].add(text)
    return {k: _merge(t) if len(t) > 1 else found[k] for k, t in texts.items()}


def _merge(texts: set[str]) -> str:
    try:
        first, *others = [_DECODER.decode(text) for text in sorted(texts)]
    except msgspec.DecodeError:
        return min(texts)  # whoever reads it says that it is invalid
    return _ENCODER.encode(
        {
            name: value if all(o.get(name) == value for o in others) else {_MARK: True}
            for name, value in first.items()
        }
    ).decode()


def differing(row: Mapping[str, object]) -> list[str]:
    """Return the columns of a row that `merged` has marked."""
    return [name for name, v in row.items() if is_object(v) and _MARK in v]
