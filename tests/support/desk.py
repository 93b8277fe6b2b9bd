"""One worker's delivery over a shop and a fake of the API, in this process."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from support.postgres import wait_until
from support.shop import Shop
from syncd.config.configuration import load
from syncd.delivery.circuit_breaker import CircuitBreaker
from syncd.delivery.components import DeliveryComponents, Reads
from syncd.delivery.delivery import Delivery, DeliveryResult
from syncd.delivery.reading import RowReader
from syncd.delivery.settlement import Settlement
from syncd.demo.sandbox import Sandbox
from syncd.ledger.batches import Ledger
from syncd.ledger.claim import Claim, Receipt
from syncd.ledger.claiming import Touched
from syncd.ledger.feed import FeedStore
from syncd.ledger.instance import Instance
from syncd.log.log import Log
from syncd.postgres.database import Database
from syncd.postgres.errors import STATEMENT_SECONDS
from syncd.source.connections import Connections
from syncd.source.orders import Source

LEASE = timedelta(seconds=30)
KEY = {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"}


class Desk:
    """One worker's delivery over a shop and a fake of the API, in this process."""

    def __init__(
        self, shop: Shop, sandbox: Sandbox, folder: Path, **squeezely: object
    ) -> None:
        self.shop = shop
        self.sandbox = sandbox
        self.folder = folder
        config = shop.configure(folder, sandbox.endpoint, None, **squeezely)
        settings = self.settings = load(config, KEY)
        self.size = settings.squeezely.orders_per_batch
        self.database = Database(shop.dsn, application_name="syncd/shop/delivery-0")
        self.source = Source(self.database, "syncd.confirmed_orders", "syncd.purchases")
        lookback = timedelta(milliseconds=1)
        feed = FeedStore(Connections(self.database, self.database), "shop").start(
            self.source, lookback
        )
        self._alive = Database(shop.dsn)
        holds = settings.squeezely.on_uncertain == "hold"
        self.instance = Instance(self._alive, feed.feed_id, holds=holds)
        self.ledger = Ledger(self.database, feed.feed_id)
        self.breaker = CircuitBreaker(self.database, feed.feed_id)
        self.reads = Reads.of(settings)
        self._statement_seconds: float = STATEMENT_SECONDS
        self._begin()

    def _begin(self) -> None:
        self.delivery, self.settlement = self._delivery(self.reads)
        self.rereading, _ = self._delivery(replace(self.reads, again=True))

    def _delivery(self, reads: Reads) -> tuple[Delivery, Settlement]:
        asked = self.settings, self.source, self.ledger
        components = DeliveryComponents.of(*asked, Log("shop"), reads)
        seconds = self._statement_seconds
        reader = RowReader(self.source, reads.size, statement_seconds=seconds)
        components = replace(components, reader=reader, touched=self.touched)
        number = self.instance.number
        delivery = Delivery(*asked, components, instance=number, reads=reads)
        return delivery, components.settlement

    def touched(self) -> Touched | None:
        """Bring what is to be admitted with a claim."""
        return None

    def admit(self, size: int | None = None) -> int:
        with self.ledger.admission() as watermark:
            found = self.source.between(watermark, "infinity")
            return self.ledger.admit(found, "poll", size=size or self.size).orders

    def confirm(self, count: int = 1, /, **values: str) -> list[str]:
        """Confirm and admit orders; the values are SQL expressions."""
        columns = ", ".join(["confirmed_at", *values])
        given = ", ".join(["clock_timestamp()", *values.values()])
        rows = self.shop.rows(
            f"INSERT INTO orders ({columns}) SELECT {given} "
            f"FROM generate_series(1, {count}) RETURNING id"
        )
        self.admit()
        return [f"W-{row[0]}" for row in rows]

    def deliver(self) -> DeliveryResult | None:
        return self.delivery.deliver_next("live") or self.rereading.deliver_next("live")

    def deliver_all(self) -> None:
        """Deliver until nothing is due."""
        while self.deliver() is not None:
            pass

    def finish(self) -> None:
        """Deliver until nothing is left, however long something has to wait."""

        def is_done() -> bool:
            self.deliver_all()
            return not self.left()

        wait_until(is_done)

    def finish_hurriedly(self) -> None:
        """Deliver until nothing is left, as if the waits were over at once."""

        def is_done() -> bool:
            self.hurry()
            self.deliver_all()
            return not self.left()

        wait_until(is_done)

    def left(self) -> object:
        return self.shop.value(
            "SELECT count(*) FROM syncd.batch WHERE state IN ('pending', 'sending')"
        )

    def hurry(self) -> None:
        """Let the waits of endpoint and batches be over."""
        self.shop.sql(
            "UPDATE syncd.endpoint SET retry_at = '-infinity'; "
            "UPDATE syncd.batch SET due_at = '-infinity', "
            "read_failed_at = read_failed_at - interval '3 minutes' "
            "WHERE state = 'pending'"
        )

    def limit_reads(self, milliseconds: int) -> None:
        """Let a statement take so long at most, instead of half a minute."""
        self._statement_seconds = milliseconds / 1000
        self.database.limit(self._statement_seconds)
        self.delivery.close()
        self.rereading.close()
        self._begin()
        self.database.close()

    def waiting(self) -> dict[str, tuple[object, object]]:
        """Return the orders that wait for the view, with why and for how long."""
        rows = self.shop.rows(
            "SELECT 'W-' || l.order_key, b.read_reason, "
            "extract(epoch FROM b.due_at - clock_timestamp())::float8 "
            "FROM syncd.batch b JOIN syncd.ledger l USING (batch_id) "
            "WHERE b.state = 'pending' AND b.read_failed_at IS NOT NULL "
            "AND l.state IS NULL"
        )
        return {str(order): (reason, seconds) for order, reason, seconds in rows}

    def posts(self, orders: list[str]) -> list[int]:
        return [self.sandbox.book.posts(order) for order in orders]

    def received(self) -> list[str]:
        return [purchase.orderid for purchase in self.sandbox.book.purchases()]

    def set_aside(self) -> dict[str, tuple[object, object]]:
        rows = self.shop.rows(
            "SELECT 'W-' || order_key, state, reason FROM syncd.ledger "
            "WHERE state IS NOT NULL"
        )
        return {str(order): (state, reason) for order, state, reason in rows}

    def endpoint(self) -> tuple[object, object]:
        ((state, failures),) = self.shop.rows(
            "SELECT state, failures FROM syncd.endpoint"
        )
        return state, failures

    def uncertain(self) -> object:
        return self.shop.value("SELECT sum(uncertain_attempts)::int FROM syncd.batch")

    def claim(self, touched: Touched | None = None) -> Claim:
        reading = self.source.reading_claimed() if touched else None
        number = self.instance.number
        claim = self.ledger.claim(number, "live", LEASE, reading, touched=touched)
        assert claim is not None
        return claim

    def accept(self, claim: Claim, receipt: Receipt | None = None) -> int | None:
        """Settle a claim whose orders were all sent as accepted; tell how many."""
        keys = [order.key for order in claim.orders]
        receipt = receipt or Receipt("accepted", 200, None, len(keys))
        return self.ledger.deliver(claim, keys, receipt).orders

    def let_lease_pass(self) -> None:
        self.shop.sql(
            "UPDATE syncd.batch SET lease_until = now() WHERE state = 'sending'"
        )
        assert self.instance.sweep()

    def let_die(self) -> None:
        """End the session whose lock says that this process lives."""
        self._alive.close()

    def close(self) -> None:
        self.delivery.close()
        self.rereading.close()
        self.database.close()
        self.let_die()
