"""The shop's customers: their orders, and the browsers with its thank-you pages."""

import http.client
import json
import random
import threading
import time
import tomllib
from collections import deque
from contextlib import suppress
from decimal import Decimal
from importlib.resources import files
from typing import Any, Self, TypeAlias
from urllib.parse import urlsplit

Order: TypeAlias = dict[str, Any]

_DATA = tomllib.loads((files("syncd.demo") / "shop.toml").read_text(encoding="utf-8"))
_MARKETS = _DATA["markets"]

_ACCOUNTS = 210
_GUEST_SHARE = 0.5
_NOTE_SHARE = 0.15
_SECONDS_LATER = 1.0
_MOST_WAITING = 500


def customers() -> list[dict[str, object]]:
    """List the customers who have an account."""
    return [_customer(number) for number in range(1, _ACCOUNTS + 1)]


def new_order(choice: random.Random) -> Order:
    """Make up an order with its lines, as the statement `place` takes it."""
    number = choice.randint(1, _ACCOUNTS)
    market = _MARKETS[number % len(_MARKETS)]
    is_guest = choice.random() < _GUEST_SHARE
    customer = _customer(number)
    lines = [
        {
            "sku": sku,
            "title": title,
            "quantity": choice.choice((1, 1, 1, 2, 5)),
            "unit_price": _price(price, market),
        }
        for sku, title, price in choice.sample(
            _DATA["products"], choice.choice((1, 1, 2, 3))
        )
    ]
    has_note = choice.random() < _NOTE_SHARE
    return {
        "customer_id": None if is_guest else number,
        "email": f"guest+{number}@example.org" if is_guest else customer["email"],
        "first_name": customer["first_name"],
        "last_name": customer["last_name"],
        "city": choice.choice(market["cities"]),
        "country": market["country"],
        "locale": market["locale"],
        "currency": market["currency"],
        "total": str(sum(Decimal(li["unit_price"]) * li["quantity"] for li in lines)),
        "gift_note": choice.choice(_DATA["gift_notes"]) if has_note else None,
        "lines": lines,
    }


def front_end_purchase(order: Order, orderid: str) -> dict[str, object]:
    """Make the purchase that the browser sends from the thank-you page."""
    return {
        "event": "Purchase",
        "orderid": orderid,
        "currency": order["currency"],
        "totalvalue": float(order["total"]),
        "products": [
            {
                "id": line["sku"],
                "quantity": line["quantity"],
                "price": float(line["unit_price"]),
                "language": order["locale"],
            }
            for line in order["lines"]
        ],
    }


def _customer(number: int) -> dict[str, object]:
    names = _MARKETS[number % len(_MARKETS)]["names"]
    first, last = names[number // len(_MARKETS) % len(names)]
    odd = "o'" if number % 5 == 0 else ""
    return {
        "id": number,
        "email": f"{odd}customer.{number}@example.com",
        "first_name": first,
        "last_name": last,
    }


def _price(price: str, market: dict[str, Any]) -> str:
    """Convert roughly; the yen has no cents."""
    amount = Decimal(price) * market.get("price_factor", 1)
    return str(amount.quantize(Decimal(1 if market["currency"] == "JPY" else "0.01")))


class Browsers:
    """Posts front-end purchases to the fake API, at once or a little later.

    Pages that are too many to load, or fail, are lost, as in a real shop.
    """

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self._waiting: deque[tuple[float, dict[str, object]]] = deque(
            maxlen=_MOST_WAITING
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="browsers", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def load(self, purchase: dict[str, object]) -> None:
        """Load a thank-you page now."""
        connection = http.client.HTTPConnection(self._address, timeout=2)
        body, headers = json.dumps(purchase), {"Content-Type": "application/json"}
        with suppress(OSError, http.client.HTTPException):
            connection.request("POST", "/sandbox/front-end", body, headers)
            connection.getresponse().read()
        connection.close()

    def load_later(self, purchase: dict[str, object]) -> None:
        """Load a thank-you page in about a second."""
        self._waiting.append((time.monotonic() + _SECONDS_LATER, purchase))

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._waiting and self._waiting[0][0] <= time.monotonic():
                self.load(self._waiting.popleft()[1])
            else:
                self._stopping.wait(0.05)
