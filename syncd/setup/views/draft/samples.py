"""Samples: rows of a shop's tables, those of some keys, and what values are like."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from syncd.core.sql_text import SqlName
from syncd.setup.views.draft.schema import Table
from syncd.setup.views.draft.words import word_set

Row = Mapping[str, str | None]

_MOST_KEYS = 300
_FOUND = 0.6
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,2}")
_ALL = 0.95
_CURRENCIES = word_set(
    """AED ARS AUD BGN BHD BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP GEL HKD HRK
    HUF IDR ILS INR ISK JPY KES KRW KWD MAD MXN MYR NGN NOK NZD PEN PHP PKR PLN
    QAR RON RSD RUB SAR SEK SGD THB TND TRY TWD UAH USD UYU VND XAF XOF XPF ZAR
    OMR IQD JOD KZT DZD"""
)


class Samples(Protocol):
    """Reads some rows of a table, as text by column name.

    Attributes:
        failed: Tables that could not be read, or not in time.
    """

    failed: set[SqlName]

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
    samples: Samples,
    table: Table,
    column: str,
    keys: Sequence[str | None],
    pair: tuple[str, str] | None = None,
) -> tuple[list[Row | None], bool]:
    """Find the row of each key; and whether there are rows for most of them.

    With a pair of columns, several rows make one of a key: names with their values.
    Then any row is enough.
    """
    wanted = list(dict.fromkeys(k for k in keys if k is not None))[:_MOST_KEYS]
    found: dict[str | None, dict[str, str | None]] = {}
    for row in samples.matching(table, column, wanted) if wanted else ():
        if pair is None:
            found.setdefault(row.get(column), dict(row))
        elif name := row.get(pair[0]):
            found.setdefault(row.get(column), {})[name] = row.get(pair[1])
    known = sum(key in found for key in wanted)
    is_found = bool(found) if pair else known >= _FOUND * len(wanted)
    return [found.get(key) for key in keys], is_found


@dataclass(frozen=True, slots=True)
class Facts:
    """Shares (0 to 1) of the values of a sample.

    Attributes:
        rows: How many were sampled; with none, every share is 0.
        filled: Neither NULL nor empty; the other shares are of those.
        distinct: Different ones.
        numbers: Written as numbers; `whole`: without a fraction.
        middle: The median of the numbers.
    """

    rows: int = 0
    filled: float = 0.0
    distinct: float = 0.0
    emails: float = 0.0
    currencies: float = 0.0
    languages: float = 0.0
    numbers: float = 0.0
    whole: float = 0.0
    middle: float = 0.0
    positive: float = 0.0
    zeros: float = 0.0
    length: float = 0.0

    @property
    def is_known(self) -> bool:
        """Whether there is a value to judge by."""
        return self.filled > 0

    @property
    def is_full(self) -> bool:
        """Whether about every row has a value."""
        return self.filled >= _ALL

    @property
    def is_distinct(self) -> bool:
        """Whether no two rows have the same value."""
        return self.rows > 0 and self.distinct >= 1


def facts_of(values: Iterable[str | None]) -> Facts:
    """Describe some values."""
    rows = list(values)
    some = [v for v in rows if v is not None and v.strip() not in {"", "{}", "null"}]
    if not some:
        return Facts(len(rows))
    numbers = [float(v) for v in some if _NUMBER.fullmatch(v)]

    def share(matching: Iterable[object]) -> float:
        return sum(map(bool, matching)) / len(some)

    return Facts(
        rows=len(rows),
        filled=len(some) / len(rows),
        distinct=len(set(some)) / len(some),
        emails=share(_EMAIL.fullmatch(v) for v in some),
        currencies=share(
            _CURRENCY.fullmatch(v) and v.upper() in _CURRENCIES for v in some
        ),
        languages=share(_LANGUAGE.fullmatch(v) for v in some),
        numbers=len(numbers) / len(some),
        whole=share(v.is_integer() for v in numbers),
        middle=median(numbers) if numbers else 0.0,
        positive=share(v > 0 for v in numbers),
        zeros=share(v == 0 for v in numbers),
        length=median(map(len, some)),
    )


def number(value: str | None) -> float | None:
    """Read a number; None: it is none."""
    return float(value) if value and _NUMBER.fullmatch(value) else None
