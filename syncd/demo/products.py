"""Made-up orders as real shops have them: markets, names, wares, odd characters."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

Order = dict[str, object]


@dataclass(frozen=True, slots=True)
class _Market:
    locale: str
    country: str
    currency: str
    cities: tuple[str, ...]
    names: tuple[tuple[str, str], ...]
    price_factor: int = 1


_MARKETS = (
    _Market(
        "nl-NL",
        "NL",
        "EUR",
        ("Utrecht", "'s-Hertogenbosch", "Groningen"),
        (("Mila", "de Vries"), ("Zoë", "van 't Hof"), ("Daan", "Bakker")),
    ),
    _Market(
        "en-GB",
        "GB",
        "GBP",
        ("Leeds", "King's Lynn", "Cardiff"),
        (("Siobhán", "O'Brien"), ('Ann "Annie"', "Smith"), ("Bobby", "'); DROP--")),
    ),
    _Market(
        "en-GB",
        "US",
        "USD",
        ("Portland", "Coeur d'Alene", "Española"),
        (("Jane", "Doe"), ("<script>alert(1)</script>", "Miller"), ("José", "Ñandú")),
    ),
    _Market(
        "de-DE",
        "DE",
        "EUR",
        ("Köln", "Gießen", "Lübeck"),
        (("Jürgen", "Groß"), ("Änne", "Müller-Lüdenscheidt"), ("Uwe", "Weiß")),
    ),
    _Market(
        "fr-FR",
        "FR",
        "EUR",
        ("Besançon", "L'Haÿ-les-Roses", "Orléans"),
        (("Zélie", "D'Aboville"), ("Loïc", "Lefèvre"), ("Noël", "Œuvrard")),
    ),
    _Market(
        "pl-PL",
        "PL",
        "PLN",
        ("Łódź", "Żary", "Święta Lipka"),
        (("Zażółć", "Żółć"), ("Łucja", "Gęśla"), ("Święcisław", "Jaźń")),
        price_factor=4,
    ),
    _Market(
        "ja-JP",
        "JP",
        "JPY",
        ("京都市", "札幌市", "那覇市"),
        (("花子", "山田"), ("太郎", "𠮷野"), ("Émi", "髙橋")),
        price_factor=160,
    ),
)

_WARES = (
    ("MUG-1", "Mug “Sunday” ☕", "12.50"),
    ("TEA-250", "Earl Grey, 250 g", "8.95"),
    ("LAMP-Ø30", "Lamp Ø 30 cm", "79.00"),
    ("SOCK-42/44", 'Socks "Fjord" 🧦', "14.99"),
    ("POSTER-<b>", "Poster <b>bold</b> & bright", "24.00"),
    ("BOOK-O'R", "O'Reilly's pocket \\ guide", "31.75"),
    ("KIMONO-花", "着物 “花”", "129.00"),
    ("GIFT-10", "Gift card 🎁", "10.00"),
)

_NOTES = (
    "Happy birthday, O'Brien! 🎉",
    "<script>alert('hi')</script>",
    'She said: "no ribbon"; thanks',
    "Dla Żanety 👩‍👩‍👧 z pozdrowieniami",
    "二行目\nsecond line",
)

_ACCOUNTS = 210
_GUEST_SHARE = 0.5
_NOTE_SHARE = 0.15


def customers() -> list[Mapping[str, object]]:
    """List the customers who have an account."""
    return [_customer(number) for number in range(1, _ACCOUNTS + 1)]


def new_order(choice: random.Random) -> Order:
    """Make up an order with its lines, as the statement `place` takes it."""
    number = choice.randint(1, _ACCOUNTS)
    market = _MARKETS[number % len(_MARKETS)]
    is_guest = choice.random() < _GUEST_SHARE
    customer = _customer(number)
    lines = _lines(choice, market)
    return {
        "customer_id": None if is_guest else number,
        "email": f"guest+{number}@example.org" if is_guest else customer["email"],
        "first_name": customer["first_name"],
        "last_name": customer["last_name"],
        "city": choice.choice(market.cities),
        "country": market.country,
        "locale": market.locale,
        "currency": market.currency,
        "total": str(sum(Decimal(str(li["unit_price"])) * _count(li) for li in lines)),
        "gift_note": choice.choice(_NOTES) if choice.random() < _NOTE_SHARE else None,
        "lines": lines,
    }


def front_end_purchase(order: Order, orderid: str) -> dict[str, object]:
    """Make the purchase that the browser sends from the thank-you page."""
    return {
        "event": "Purchase",
        "orderid": orderid,
        "currency": order["currency"],
        "totalvalue": float(str(order["total"])),
        "products": [
            {
                "id": line["sku"],
                "quantity": line["quantity"],
                "price": float(str(line["unit_price"])),
                "language": order["locale"],
            }
            for line in _lines_of(order)
        ],
    }


def _customer(number: int) -> dict[str, object]:
    market = _MARKETS[number % len(_MARKETS)]
    first, last = market.names[number // len(_MARKETS) % len(market.names)]
    odd = "o'" if number % 5 == 0 else ""
    return {
        "id": number,
        "email": f"{odd}customer.{number}@example.com",
        "first_name": first,
        "last_name": last,
    }


def _lines(choice: random.Random, market: _Market) -> list[dict[str, object]]:
    chosen = choice.sample(_WARES, choice.choice((1, 1, 2, 3)))
    return [
        {
            "sku": sku,
            "title": title,
            "quantity": choice.choice((1, 1, 1, 2, 5)),
            "unit_price": _price(price, market),
        }
        for sku, title, price in chosen
    ]


def _price(price: str, market: _Market) -> str:
    """Convert roughly; the yen has no cents."""
    amount = Decimal(price) * market.price_factor
    return str(amount.quantize(Decimal(1 if market.currency == "JPY" else "0.01")))


def _count(line: Mapping[str, object]) -> int:
    return int(str(line["quantity"]))


def _lines_of(order: Order) -> list[dict[str, object]]:
    lines = order["lines"]
    return lines if isinstance(lines, list) else []
