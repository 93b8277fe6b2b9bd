"""Purchases as rows of the screen: text and numbers only, whatever the body holds."""

from decimal import Decimal

from syncd.demo.sandbox.received_events import Purchase
from syncd.demo.sandbox.timestamps import AMSTERDAM


def row(purchase: Purchase) -> dict[str, object]:
    """Show a purchase without its body; what the body lacks is None or empty."""
    body = purchase.body or {}
    return {
        "orderid": purchase.orderid,
        "created_at": purchase.created_at,
        "received_at": purchase.received_at.astimezone(AMSTERDAM).isoformat(),
        "api_inserted": purchase.api_inserted,
        "api_verified": purchase.api_verified,
        "merged": purchase.merged,
        "posts": purchase.posts,
        "body_kept": purchase.body is not None,
        "products": [_line(product) for product in purchase.products],
        "total": total(purchase),
        "currency": _text(body.get("currency")),
        "languages": _languages(purchase),
    }


def whole(purchase: Purchase) -> dict[str, object]:
    """Show a purchase with its last body as it came; None once it is dropped."""
    return {**row(purchase), "body": purchase.body}


def total(purchase: Purchase) -> str | None:
    """Show `totalvalue`, else the sum of price times quantity, in two decimals.

    Source: SQUEEZELY.md 2.1.
    """
    stated = _number((purchase.body or {}).get("totalvalue"))
    if stated is not None:
        return f"{stated:.2f}"
    prices = [_number(line.get("price")) for line in purchase.products]
    quantities = [_number(line.get("quantity", 1)) for line in purchase.products]
    amounts = [
        price * quantity
        for price, quantity in zip(prices, quantities, strict=True)
        if price is not None and quantity is not None
    ]
    return f"{sum(amounts, Decimal(0)):.2f}" if amounts else None


def _line(product: dict[str, object]) -> dict[str, object]:
    quantity = _number(product.get("quantity"))
    return {
        "id": _text(product.get("id")),
        "quantity": None if quantity is None else f"{quantity.normalize():f}",
    }


def _languages(purchase: Purchase) -> list[str]:
    """List the event's language and its products', each once, in their order."""
    holders = [purchase.body or {}, *purchase.products]
    spoken = (_text(holder.get("language")) for holder in holders)
    return list(dict.fromkeys(language for language in spoken if language))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> Decimal | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(str(value))
    return None
