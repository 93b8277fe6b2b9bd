"""What stands for an order and for a table, and whether it still does.

A key identifies an order, and a name a table, only as long as nothing gives either
to another one. What is compared here was read elsewhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from operator import attrgetter

from syncd.core.known import KnownOrder, ListedOrder, is_another
from syncd.core.wording import count

NEAR = timedelta(seconds=1)
"""How far the time of an order may lie from its own, after stamps were rounded."""

LEAST_LOST = 3
"""So many orders that are not listed any more are no coincidence."""

FOLLOWED = ("triggers", "publication")
"""What follows tables beside the views that read them."""

ALIKE = (
    {"smallint", "integer", "bigint", "numeric"},
    {"text", "character varying", "character", "citext"},
)
"""Types whose values have the same text, so that a key of one is found as the other."""

_ROLES: Mapping[str, tuple[str, str]] = {
    "orders": ("the view of confirmed orders reads", "create both views again"),
    "events": ("the view of purchases reads", "create both views again"),
    "triggers": ("the triggers are on", "`syncd install --listen {name}:KEYCOLUMN`"),
    "publication": ("the publication has", "`syncd install --wal {name}:KEYCOLUMN`"),
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table, or a view, that something of the feed depends on.

    Attributes:
        oid: Stays when it is renamed.
        name: With its schema, quoted where it must be.
        behind: `orders`, `events`: a view; `triggers`; `publication`.
    """

    oid: int
    name: str
    behind: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A view's query.

    Attributes:
        digest: Another one when the view was replaced, and the same one when a table
            that it reads was renamed.
    """

    oid: int
    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class Identity:
    """What stands behind a feed's views, triggers and publication."""

    key_type: str
    rules: Sequence[Rule]
    tables: Sequence[Table]

    def changed(self, now: "Identity") -> str | None:
        """Return what differs in the views themselves; None when nothing does."""
        if self.key_type != now.key_type:
            return f"order_key is {now.key_type} now, and was {self.key_type}"
        before = {(rule.oid, rule.digest) for rule in self.rules}
        after = {(rule.oid, rule.digest) for rule in now.rules}
        if before == after:
            return None
        names = [
            rule.name for rule in now.rules if (rule.oid, rule.digest) not in before
        ]
        verb = "were" if len(names) > 1 else "was"
        return f"{' and '.join(names) or 'a view'} {verb} replaced"

    def then(self, now: "Identity") -> "Identity":
        """Return what to compare with later, once the views of `now` are accepted.

        Names stay as they were met first: those of tables that views read until the
        views are replaced, those of tables that are followed for ever.
        """
        followed = [table for table in self.tables if table.behind in FOLLOWED]
        had = {(table.oid, table.behind) for table in followed}
        followed += [
            table
            for table in now.tables
            if table.behind in FOLLOWED and (table.oid, table.behind) not in had
        ]
        read = self if self.changed(now) is None else now
        tables = [table for table in read.tables if table.behind not in FOLLOWED]
        return Identity(now.key_type, now.rules, [*tables, *followed])


@dataclass(frozen=True, slots=True)
class Replacement:
    """A name that stands for another table than the one that is read or followed.

    Attributes:
        table: The name.
        behind: What still depends on the other one.
    """

    table: str
    behind: str
    reason: str
    next_step: str


def replaced(
    known: Identity,
    now: Identity,
    namesakes: Mapping[str, int],
    behind: Sequence[str] = ("orders", "events"),
) -> Iterator[Replacement]:
    """Find the names that belong to another table now.

    A table that was only renamed is none, nor is one that was rebuilt in place.

    Args:
        known: As it was when the views were written.
        now: As it is.
        namesakes: The oid that each name of `known` has now; absent where it has none.
        behind: Which dependencies count.
    """
    reported: set[str] = set()
    for table in known.tables:
        used = {t.oid: t for t in now.tables if t.behind == table.behind}
        other = namesakes.get(table.name)
        if table.behind not in behind or other is None or table.name in reported:
            continue
        is_followed = table.behind in FOLLOWED
        is_lost = is_followed and table.oid not in used
        if other in used or not (table.oid in used or is_lost):
            continue
        reported.add(table.name)
        yield _replacement(table, used.get(table.oid), other)


def _replacement(table: Table, used: Table | None, other: int) -> Replacement:
    verb, step = _ROLES[table.behind]
    if used is None:
        what = f"{table.name}: no enabled trigger or publication of syncd's is on it"
    elif used.name == table.name:
        what = f"{table.name} is another table now"
    else:
        what = (
            f"{table.name} is another table now (oid {other}): {verb} the one that "
            f"had this name, which is {used.name} now (oid {used.oid})"
        )
    return Replacement(table.name, table.behind, what, step.format(name=table.name))


class Keys(Enum):
    """What became of the known orders' keys after the views were changed."""

    SAME = "same"  # known orders are listed under their keys
    GONE = "gone"  # known orders are not listed at all: what is listed is new
    OTHER = "other"  # known orders are listed under other keys, or may be


def compare_keys(
    known: Sequence[KnownOrder],
    listed: Mapping[str, ListedOrder],
    candidates: Sequence[ListedOrder],
    *,
    is_alike: bool,
) -> Keys:
    """Decide whether the keys of changed views stand for the same orders as before.

    Args:
        known: The orders that the ledger has of late.
        listed: What the views list under their keys.
        candidates: What the views list, about the time of the known ones or under their
            numbers, under keys that the ledger does not have.
        is_alike: Whether keys of the old type and of the new one have the same text.
    """
    lost = [
        order
        for order in known
        if order.key not in listed or is_another(order, listed[order.key])
    ]
    found = len(known) - len(lost)
    if not is_alike and found <= len(lost):
        return Keys.OTHER
    elsewhere = sum(any(_is_same(order, s) for s in candidates) for order in lost)
    if lost and 2 * elsewhere >= len(lost):
        return Keys.OTHER
    return Keys.SAME if found else Keys.GONE


def are_most(known: Sequence[KnownOrder], lost: Sequence[KnownOrder]) -> bool:
    """Return whether views, which were not replaced, list most known orders no more."""
    return len(lost) >= LEAST_LOST and 2 * len(lost) >= len(known)


def are_elsewhere(
    lost: Sequence[KnownOrder], candidates: Sequence[ListedOrder]
) -> bool:
    """Return whether most lost orders seem to be listed under other keys.

    Args:
        lost: Known orders that are not listed under their own.
        candidates: What is listed under keys that the ledger does not have.
    """
    times = {candidate.confirmed_at for candidate in candidates}
    return 2 * sum(order.confirmed_at in times for order in lost) >= len(lost)


def are_newest(known: Sequence[KnownOrder], lost: Sequence[KnownOrder]) -> bool:
    """Return whether the newest orders are lost: no few that were cancelled, or old."""
    newest = sorted(known, key=attrgetter("confirmed_at"))[-LEAST_LOST:]
    return len(newest) >= LEAST_LOST and all(order in lost for order in newest)


def shared_number(known: Sequence[KnownOrder], since: datetime) -> str | None:
    """Name orders with one number, of which one was confirmed after `since`."""
    by_number: dict[str, list[KnownOrder]] = {}
    for order in known:
        if order.orderid is not None:
            by_number.setdefault(order.orderid, []).append(order)
    shared = {
        number: sorted(order.key for order in orders)
        for number, orders in by_number.items()
        if len(orders) > 1 and any(order.confirmed_at > since for order in orders)
    }
    if not shared:
        return None
    number, keys = min(shared.items())
    which = f"number {number} belongs to the orders {' and '.join(keys[:2])}"
    others = count(len(shared) - 1, "more number")
    more = f", and {others} to several" if len(shared) > 1 else ""
    return f"{which}{more}: Squeezely merges them into one purchase"


def _is_same(known: KnownOrder, listed: ListedOrder) -> bool:
    """Whether an order with another key may be the known one."""
    if known.orderid is not None and known.orderid == listed.orderid:
        return True
    return abs(listed.confirmed_at - known.confirmed_at) <= NEAR


def are_alike(one: str, other: str) -> bool:
    """Return whether keys of two types have the same text."""
    return one == other or any({one, other} <= alike for alike in ALIKE)
