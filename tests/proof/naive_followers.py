"""Known bugs of captures that follow changes, and an outbox without one.

They create an outbox or a slot of their own in the shop; nothing in them is syncd's.
"""

import struct
from collections.abc import Sequence
from typing import ClassVar

from typing_extensions import override

from proof.naive import FOUND, Naive, Row
from proof.stepwise import Start
from proof.world import World

OUTBOX = """
CREATE TABLE naive_outbox (id bigserial, order_id bigint);
CREATE FUNCTION naive_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO naive_outbox (order_id)
    VALUES ((to_jsonb(NEW) ->> TG_ARGV[0])::bigint);
    RETURN NULL;
END $$;
CREATE TRIGGER naive AFTER INSERT OR UPDATE ON orders
   FOR EACH ROW EXECUTE FUNCTION naive_note('id');
CREATE TRIGGER naive AFTER INSERT OR UPDATE ON payments
   FOR EACH ROW EXECUTE FUNCTION naive_note('order_id');
"""
WITHOUT_OUTBOX = "DROP FUNCTION naive_note CASCADE; DROP TABLE naive_outbox"
PUBLICATION = """
CREATE PUBLICATION naive_orders FOR TABLE orders (id)
  WITH (publish = 'insert, update');
CREATE PUBLICATION naive_payments FOR TABLE payments (order_id)
  WITH (publish = 'insert');
"""
SLOT = "SELECT pg_create_logical_replication_slot('naive', 'pgoutput')"
WITHOUT_SLOT = "SELECT pg_drop_replication_slot('naive')"
WITHOUT_PUBLICATION = "DROP PUBLICATION naive_orders, naive_payments"
CHANGES = """
SELECT data FROM pg_logical_slot_{}_binary_changes('naive', NULL, NULL,
    'proto_version', '1', 'publication_names', 'naive_orders,naive_payments')
"""
ADVANCE = (
    "SELECT pg_replication_slot_advance('naive', '0/0'::pg_lsn + %(end)s::numeric)"
)


class Installed(Naive):
    """A capture with objects of its own in the shop."""

    before: ClassVar[Sequence[str]]
    after: ClassVar[Sequence[str]]

    def __init__(self, world: World) -> None:
        for statement in self.before:
            world.rows(statement)
        super().__init__(world)

    def take_confirmed(self, keys: Sequence[object]) -> None:
        """Capture those of the orders that are confirmed now."""
        self.take(self.run(FOUND + "WHERE id = ANY(%(keys)s)", keys=list(keys)))

    @override
    def close(self) -> None:
        super().close()
        for statement in self.after:
            self.world.rows(statement)


class OutboxRows(Installed):
    """Reads rows, and deletes just those; none of the bugs."""

    before = (OUTBOX,)
    after = (WITHOUT_OUTBOX,)

    @override
    def find(self) -> None:
        rows = self.run("SELECT id, order_id FROM naive_outbox")
        self.take_confirmed([key for _, key in rows])
        numbers = [number for number, _ in rows]
        self.run("DELETE FROM naive_outbox WHERE id = ANY(%(ids)s)", ids=numbers)

    @override
    def is_settled(self, moment: object) -> bool:
        return not self.failed


class OutboxCursor(OutboxRows):
    """Remembers the last row that it read; a row that commits later lies before it."""

    def __init__(self, world: World) -> None:
        self.last: object = 0
        super().__init__(world)

    @override
    def find(self) -> None:
        rows = self.run(
            "SELECT id, order_id FROM naive_outbox WHERE id > %(last)s ORDER BY id",
            last=self.last,
        )
        self.take_confirmed([key for _, key in rows])
        self.last = rows[-1][0] if rows else self.last


class OutboxEmptiedFirst(OutboxRows):
    """Deletes rows before it has their orders; then it crashes."""

    @override
    def find(self) -> None:
        rows = self.run("DELETE FROM naive_outbox RETURNING order_id")
        self.take_confirmed([key for (key,) in rows])


class OutboxByKey(OutboxRows):
    """Deletes by key, at the end: also rows of changes that it has not read."""

    @override
    def find(self) -> None:
        keys = [key for (key,) in self.run("SELECT order_id FROM naive_outbox")]
        for key in keys:
            self.take_confirmed([key])
        self.run("DELETE FROM naive_outbox WHERE order_id = ANY(%(keys)s)", keys=keys)


class DecodedIsVisible(Installed):
    """Queries an order as soon as its commit is decoded, and acknowledges."""

    before = (PUBLICATION, SLOT)
    after = (WITHOUT_SLOT, WITHOUT_PUBLICATION)

    @override
    def find(self) -> None:
        keys, end = read(self.run(CHANGES.format("peek")))
        if end:
            self.take_confirmed(keys)
            self.run(ADVANCE, end=end)


class AcknowledgedFirst(DecodedIsVisible):
    """Acknowledges what it reads before it has the orders; then it crashes."""

    @override
    def find(self) -> None:
        keys, _ = read(self.run(CHANGES.format("get")))
        self.take_confirmed(keys)


def read(rows: Sequence[Row]) -> tuple[list[int], int]:
    """Parse pgoutput; return the first column of each row, the last commit's end."""
    keys, end = [], 0
    for (data,) in rows:
        assert isinstance(data, bytes)
        if data[:1] in {b"I", b"U"}:  # kind, table, N, columns, t, length, text
            (length,) = struct.unpack_from("!I", data, 9)
            keys.append(int(data[13 : 13 + length]))
        elif data[:1] == b"C":
            (end,) = struct.unpack_from("!Q", data, 10)
    return keys, end


OUTBOX_BUGS: dict[str, Start] = {
    "outbox-cursor": OutboxCursor,
    "outbox-emptied-first": OutboxEmptiedFirst,
    "outbox-by-key": OutboxByKey,
}
WAL_BUGS: dict[str, Start] = {
    "decoded-is-visible": DecodedIsVisible,
    "acknowledged-first": AcknowledgedFirst,
}
