"""What each column of the views may be called, and what its values look like."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from syncd.setup.views.draft.schema import Kind
from syncd.setup.views.draft.values import Facts
from syncd.setup.views.draft.words import Meaning, word_set

Patterns = Mapping[frozenset[str], float]

EXTRA = 3.0  # for a known meaning that does not belong to it
LONGER = 0.2  # for any other meaning: the plainest name is the likeliest
UNKNOWN = 1.2  # for a word without meaning
_SCALARS = frozenset({Kind.TEXT, Kind.INTEGER, Kind.NUMBER, Kind.UUID, Kind.ENUM})
_TEXTS = frozenset({Kind.TEXT, Kind.ENUM})
_NUMBERS = frozenset({Kind.INTEGER, Kind.NUMBER, Kind.MONEY, Kind.TEXT})
_PLAIN = frozenset({"order", "sale", "shop", "header", "purchase"})
_MISLEADING = frozenset({"status_only"})


def patterns(text: str) -> Patterns:
    """Read patterns like `total+gross:10 total:8`."""
    pairs = (each.split(":") for each in text.split())
    return {frozenset(names.split("+")): float(weight) for names, weight in pairs}


def _any_value(_: Facts) -> float:
    return 1.0


@dataclass(frozen=True, slots=True)
class Role:
    """What a column of a view holds.

    Attributes:
        patterns: Meanings of the name and how well they fit (0 to 10).
        within: The same in tables of a meaning, e.g. `code` in a table of currencies.
        never: Meanings that rule a column out.
        neutral: Meanings that do not count here.
        fit: How well values fit (0: not at all); asked only if there are values.
        by_value: What a column scores by its values alone, whatever its name.
    """

    name: str
    patterns: Patterns
    within: Mapping[str, Patterns] = field(default_factory=dict)
    never: frozenset[str] = frozenset()
    neutral: frozenset[str] = _PLAIN
    kinds: frozenset[Kind] = _SCALARS
    fit: Callable[[Facts], float] = _any_value
    by_value: Callable[[Facts], float] = lambda _: 0.0

    def named(self, meaning: Meaning, about: frozenset[str]) -> float:
        """Return how well a name fits, in a table about something (0 to 10)."""
        if meaning.concepts & (self.never | _MISLEADING):
            return 0.0
        known: dict[frozenset[str], float] = dict(self.patterns)
        for topic, more in self.within.items():
            if topic in about:
                known.update({k: max(v, known.get(k, 0)) for k, v in more.items()})
        scores = [
            weight
            - EXTRA * len(meaning.concepts - concepts - self.neutral)
            - LONGER * len(meaning.concepts - concepts)
            for concepts, weight in known.items()
            if concepts <= meaning.concepts
        ]
        return max(0.0, max(scores, default=0.0) - UNKNOWN * meaning.unknown)


def _identifying(facts: Facts) -> float:
    if not facts.is_distinct:
        return 0.0 if facts.distinct < 0.9 else 0.5  # noqa: PLR2004
    return 1.0 if facts.is_full else 0.6


def _money(facts: Facts) -> float:
    return 1.0 if facts.numbers > 0.95 and facts.positive > 0.2 else 0.0  # noqa: PLR2004


def _whole(facts: Facts) -> float:
    return 1.0 if facts.whole > 0.7 and facts.positive > 0.5 else 0.0  # noqa: PLR2004


_NOT_THIS_MONEY = word_set(
    """tax shipping discount refund paid_out reserved weight count base id status
    time email point group address canceled supplier price_list number history
    language customer code"""
)

ORDERID = Role(
    "orderid",
    patterns(
        "number:9 id+number:8.5 number+code:8.5 code:8 order+number:10 order+code:8.5"
        " order+id+code:7 order+reserved:0 name:5 order+id:6"
    ),
    never=word_set(
        """customer user shipping billing payment tax phone parent status currency
    email product line country street postcode history discount paid language
    old address test cart contact time total amount quantity ip supplier group
    company first last canceled refund count version shop_only deleted version"""
    ),
    neutral=_PLAIN | {"id"},
    fit=_identifying,
)
EMAIL = Role(
    "email",
    patterns("email:10 email+address:10 email+customer:10 email+contact:9.5"),
    never=frozenset({"supplier", "meta", "time", "history", "shipping_only", "ip"}),
    neutral=_PLAIN | {"customer", "contact", "user", "billing", "address", "name"},
    kinds=frozenset({Kind.TEXT}),
    fit=lambda facts: facts.emails,
    by_value=lambda facts: 7.0 if facts.emails > 0.9 else 0.0,  # noqa: PLR2004
)
CURRENCY = Role(
    "currency",
    patterns("currency+code:10 currency:9.5 currency+iso:10 currency+name:7"),
    within={"currency": patterns("iso:10 iso+code:10 code:9.5 name:6.5 iso+name:7")},
    never=frozenset({"time", "price", "amount", "total", "id", "number"}),
    neutral=(_PLAIN | {"payment"}) - {"shop"},
    kinds=_TEXTS,
    fit=lambda facts: facts.currencies,
    by_value=lambda facts: 6.0 if facts.currencies > 0.95 else 0.0,  # noqa: PLR2004
)
TOTAL = Role(
    "totalvalue",
    patterns(
        "grand+total:10 total+gross:10 total:8.5 total+amount:9 amount+gross:9"
        " total+amount+gross:10 grand+amount:8 amount:6.5 total+price:8.5"
        " total+price+gross:9.5 gross:6 price+gross:6.5 price:5 total+paid:7"
        " total+paid+gross:9.5 amount+paid:5.5 paid:2 total+net:4.5 amount+net:3.5"
        " total+tax+gross:9.5 total+tax+paid+gross:9.5 total+amount+tax+gross:9.5"
        " subtotal:2 amount+tax+gross:8.5 price+tax+gross:6.5 net:2"
        " total+amount+tax+net:4 total+tax+net:4 total+net+amount:4.5 new+total:8"
    ),
    never=_NOT_THIS_MONEY - {"tax"},
    neutral=_PLAIN | {"cents"},
    kinds=_NUMBERS,
    fit=_money,
)
QUANTITY = Role(
    "quantity",
    patterns(
        "quantity:10 quantity+placed:10.5 quantity+unit:9.5 count:6 unit:4"
        " quantity+order:10 amount:4.5 product+quantity:10 product+unit+quantity:10"
        " number+product:4 number:1"
    ),
    never=word_set(
        """shipping refund canceled reserved price tax discount id time deleted base
    weight total paid completed code name history"""
    ),
    neutral=_PLAIN | {"line"},
    kinds=frozenset({Kind.INTEGER, Kind.NUMBER, Kind.TEXT}),
    fit=_whole,
)
PRICE = Role(
    "price",
    patterns(
        "price+unit+gross:10.5 price+unit:9.5 price+gross:9.5 price:8.5 unit+gross:7"
        " price+unit+tax+gross:10.5 price+tax+gross:9.5 price+unit+amount:9"
        " price+amount:8 unit+amount:8.5 amount:5.5 price+unit+amount+gross:10"
        " price+unit+net:6.5 price+net:6 unit:3 price+unit+tax+net:5.5 price+tax+net:5"
        " price+total:5 total:5 total+amount:5 price+total+gross:5.5 subtotal:4.5"
        " total+gross:5.5 price+total+tax+gross:5.5 subtotal+gross:5 gross:4"
        " price+base:5.5 price+unit+base:6 price+unit+amount+base:6"
    ),
    never=_NOT_THIS_MONEY - {"tax", "base"},
    neutral=_PLAIN | {"line", "product", "cents", "placed"},
    kinds=_NUMBERS,
    fit=_money,
)
SKU = Role(
    "id",
    patterns(
        "sku:10 product+sku:10 variant+sku:10 product+number:9 product+code:9"
        " line+sku:10 line+number+product:8 sku+code:9.5 barcode:4 line+code:7"
        " sku+supplier:9 product+variant+sku:10 supplier+number:3 product+barcode:4"
        " product+model:6 model:6 variant+code:8 variant+number:8 sku+name:8"
        " sku+user:9.5 sku+customer:8"
    ),
    within={
        "product": patterns("number:7.5 code:8 sku:9.5 number+code:7.5 slug:2"),
        "variant": patterns("number:7.5 code:8 sku:9.5 number+code:7.5 slug:2"),
    },
    never=word_set(
        """price tax discount quantity total shipping refund time group parent status
    payment currency email old address base id meta"""
    ),
    neutral=_PLAIN | {"line"},
    kinds=frozenset({Kind.TEXT, Kind.INTEGER}),
)
PRODUCT_ID = Role(
    "id",
    patterns(
        "variant+id:7 product+variant+id:7.5 product+id:5.5 line+id+product:5"
        " variant:5.5 product:5 line+id:4.2 product+variant:6"
    ),
    never=SKU.never - {"id", "base"},
    neutral=_PLAIN,
    kinds=frozenset({Kind.TEXT, Kind.INTEGER, Kind.UUID}),
)
TITLE = Role(
    "name",
    patterns("name:9 product+name:10 line+name:9 variant+name:5 product:4"),
    never=word_set(
        """price tax discount quantity total shipping customer first last email code
    sku supplier id status group meta old company"""
    ),
    neutral=_PLAIN | {"line"},
    kinds=frozenset({Kind.TEXT}),
)
LANGUAGE = Role(
    "language",
    patterns("language:9.5 language+code:10 language+iso:10 language+customer:8"),
    within={"language": patterns("code:9.5 iso:9.5 language:9 iso+code:10 name:3")},
    never=frozenset({"id", "supplier", "time"}),
    neutral=_PLAIN | {"user", "customer", "base"},
    kinds=_TEXTS,
    fit=lambda facts: facts.languages,
)
_PERSON = _PLAIN | {"billing", "customer", "contact", "address", "user", "shipping"}
PROFILE = tuple(
    Role(
        name,
        patterns(text),
        never=never,
        neutral=_PERSON,
        kinds=_TEXTS,
    )
    for name, text, never in (
        ("firstname", "first:8 first+name:10", frozenset({"last"})),
        ("lastname", "last:8 last+name:10", frozenset({"first"})),
        ("phone", "phone:9 phone+number:10", frozenset({"id", "status"})),
        ("postcode", "postcode:9.5 postcode+code:10", frozenset({"id"})),
        ("city", "city:9.5 city+name:9", frozenset({"id", "code"})),
        (
            "country",
            "country+code:10 country+iso:10 country:8 country+id:5",
            frozenset({"old"}),
        ),
    )
)
