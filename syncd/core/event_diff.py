"""Which fields of an event differ, between two events or an event and its fingerprint.

An event is taken apart into places: a field, or a field of a product's line, which is
known by its id. The order of the lines is no difference.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Literal, NamedTuple, cast

PRINT_BYTES = 4
LINES = "products"
_SELF = frozenset({"event", LINES})

Kind = Literal["added", "removed", "changed"]


class FieldPath(NamedTuple):
    """A field of an event; with a product's id, of its line. `products` is the line."""

    field: str
    product: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A place that differs; `before` and `after` are None where there was nothing."""

    place: FieldPath
    kind: Kind
    before: object = None
    after: object = None


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of one order's event.

    Attributes:
        key: The order's key.
        changes: Sorted by place; empty when `fault` is why there is no event.
        is_gone: It has no row any more.
        same_mapping: The view's text is the one that the event was made with; None
            when that does not apply.
    """

    key: str
    changes: Sequence[Change] = ()
    fault: str | None = None
    is_gone: bool = False
    same_mapping: bool | None = None


def places(event: Mapping[str, object]) -> dict[FieldPath, object]:
    """Take an event apart; a second line of the same product is `id#2`."""
    found: dict[FieldPath, object] = {
        FieldPath(name): value for name, value in event.items() if name not in _SELF
    }
    seen: Counter[str] = Counter()
    for line in cast("Sequence[Mapping[str, object]]", event.get(LINES, ())):
        name = str(line["id"])
        seen[name] += 1
        product = name if seen[name] == 1 else f"{name}#{seen[name]}"
        found[FieldPath(LINES, product)] = name
        found |= {
            FieldPath(f"{LINES}.{part}", product): value
            for part, value in line.items()
            if part != "id"
        }
    return found


def compare(
    before: Mapping[FieldPath, object], after: Mapping[FieldPath, object]
) -> list[Change]:
    """List what differs, sorted; of a line that came or went only the line itself."""
    changes = []
    for place in sorted({*before, *after}):
        line = FieldPath(LINES, place.product)
        is_part = place.product and place != line
        if is_part and (line in before) != (line in after):
            continue
        if place not in before:
            changes.append(Change(place, "added", after=after[place]))
        elif place not in after:
            changes.append(Change(place, "removed", before[place]))
        elif _is_other(before[place], after[place]):
            changes.append(Change(place, "changed", before[place], after[place]))
    return changes


def _is_other(before: object, after: object) -> bool:
    return before != after or isinstance(before, str) != isinstance(after, str)


# Fingerprints


@dataclass(frozen=True, slots=True)
class FingerprintKey:
    """Makes fingerprints against which a guess can be checked only with the API key."""

    key: bytes

    @classmethod
    def of(cls, api_key: str) -> "FingerprintKey":
        """Derive the key; it serves nothing else."""
        return cls(sha256(b"syncd fingerprint\0" + api_key.encode()).digest())

    @property
    def key_id(self) -> bytes:
        """Distinguish keys, and nothing else."""
        return bytes.fromhex(self._print("key id"))

    def take(
        self, order_key: str, found: Mapping[FieldPath, object]
    ) -> dict[FieldPath, str]:
        """Take the fingerprint of each place; a product's id is one itself.

        They differ from order to order, so that equal values do not show.
        """
        products = {place.product for place in found}
        covered = {name: self.cover(order_key, name) for name in products}
        return {
            FieldPath(field, covered[product]): self._print(
                order_key, field, product, type(value).__name__, str(value)
            )
            for (field, product), value in found.items()
        }

    def cover(self, order_key: str, product: str) -> str:
        """Hide a product's id."""
        return product and self._print(order_key, product)

    def _print(self, *parts: str) -> str:
        text = "\0".join(parts).encode()
        return blake2b(text, key=self.key, digest_size=PRINT_BYTES).hexdigest()


def pack(prints: Mapping[FieldPath, str]) -> dict[str, str]:
    """Write places as texts: `field/product`."""
    return {f"{place.field}/{place.product}": text for place, text in prints.items()}


def unpack(fields: Mapping[str, str]) -> dict[FieldPath, str]:
    """Read what `pack` wrote."""
    parts = ((*name.rpartition("/"), text) for name, text in fields.items())
    return {FieldPath(field, product): text for field, _, product, text in parts}


def against_fingerprints(
    seal: FingerprintKey,
    order_key: str,
    sent: Mapping[FieldPath, str],
    now: Mapping[FieldPath, object],
) -> list[Change]:
    """List where today's event differs from the fingerprint of the one that was sent.

    A change shows today's value only; the product of a removed line is unknown.
    """
    names = {FieldPath(f, seal.cover(order_key, p)): FieldPath(f, p) for f, p in now}
    found = []
    for change in compare(sent, seal.take(order_key, now)):
        place = names.get(change.place, FieldPath(change.place.field, "?"))
        place = place if change.place.product else change.place
        found.append(Change(place, change.kind, after=now.get(place)))
    return sorted(found, key=lambda change: change.place)
