"""One worker's delivery from a shop to the fake API, in this process."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from support.postgres import wait_until
from support.shop import Shop
from syncd.config.configuration import load
from syncd.daemon.build import Components
from syncd.daemon.error_policy import ErrorPolicy
from syncd.daemon.opening import Connector, OpenFeed
from syncd.daemon.tuning import DEFAULTS
from syncd.delivery.circuit_breaker import CircuitBreaker
from syncd.delivery.delivery import DeliveryResult
from syncd.demo.sandbox import Sandbox
from syncd.ledger.claim import Claim, Receipt, Touched
from syncd.log.log import Log

LEASE = timedelta(seconds=30)
KEY = {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"}


class Harness:
    """One worker's delivery from a shop to the fake API, in this process.

    The daemon's builder makes it; it acts only when a test calls it.
    """

    def __init__(
        self,
        shop: Shop,
        sandbox: Sandbox,
        folder: Path,
        *,
        source: Mapping[str, object] | None = None,
        log: Log | None = None,
        **squeezely: object,
    ) -> None:
        self.shop = shop
        self.sandbox = sandbox
        self.folder = folder
        config = shop.configure(folder, sandbox.endpoint, source, **squeezely)
        settings = self.settings = load(config, KEY)
        self.size = settings.squeezely.orders_per_batch
        log = log or Log(settings.feed)
        connector = Connector(settings, log, DEFAULTS.unreadable_seconds)
        self.opened = OpenFeed.of(settings, log, connector)
        self.feed, self.instance = self.opened.feed, self.opened.instance
        self.components = Components(self.opened, ErrorPolicy(log))
        access = connector.access("delivery-0", self.feed, by_key=True)
        self.connections = access.connections
        self.database = access.connections.ledger
        self.source = access.source
        self.ledger = access.ledger
        self.breaker = CircuitBreaker(self.database, self.feed.feed_id)
        self.delivery = self.components.delivery(access)
        self.rereading = self.components.delivery(access, again=True)

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

    def finish(self, *, without_waits: bool = False) -> None:
        """Deliver until nothing is left; `without_waits` makes every wait end now."""

        def is_done() -> bool:
            if without_waits:
                self.end_waits()
            self.deliver_all()
            return not self.shop.unsettled()

        wait_until(is_done)

    def end_waits(self) -> None:
        """Make the endpoint and every pending batch due now."""
        self.shop.end_back_off()
        self.shop.make_batches_due()
        since = timedelta(minutes=-3)
        self.shop.shift("batch", since, "read_failed_at", state="pending")

    def limit_reads(self, milliseconds: int) -> None:
        """Set the statement timeout of reads, instead of 30 seconds."""
        self.database.limit(milliseconds / 1000)
        self.database.close()

    def waiting(self) -> dict[str, tuple[object, object]]:
        """Return the orders that wait for the view, each with reason and duration."""
        rows = self.shop.rows(
            "SELECT 'W-' || l.order_key, b.read_reason, "
            "extract(epoch FROM b.due_at - clock_timestamp())::float8 "
            "FROM syncd.batch b JOIN syncd.ledger l USING (batch_id) "
            "WHERE b.state = 'pending' AND b.read_failed_at IS NOT NULL "
            "AND l.state IS NULL"
        )
        return {str(order): (reason, seconds) for order, reason, seconds in rows}

    def posts(self, orders: list[str]) -> list[int]:
        return [self.sandbox.received.posts(order) for order in orders]

    def received(self) -> list[str]:
        return [purchase.orderid for purchase in self.sandbox.received.purchases()]

    def set_aside(self) -> dict[str, tuple[object, object]]:
        """Return the orders that were set aside, with their state and the reason."""
        orders = self.shop.exceptions()
        return {f"W-{order.order_key}": (order.state, order.reason) for order in orders}

    def endpoint(self) -> tuple[object, object]:
        endpoint = self.shop.row_of("endpoint")
        return endpoint.state, endpoint.failures

    def claim(self, touched: Touched | None = None) -> Claim:
        reading = self.source.reading_claimed() if touched else None
        number = self.instance.number
        claim = self.ledger.claim(number, "live", LEASE, reading, touched=touched)
        assert claim is not None
        return claim

    def accept(self, claim: Claim, receipt: Receipt | None = None) -> int | None:
        """Settle a claim as accepted, all its orders as sent; return how many."""
        keys = [order.key for order in claim.orders]
        receipt = receipt or Receipt("accepted", 200, None, len(keys))
        return self.ledger.deliver(claim, keys, receipt).orders

    def expire_leases(self) -> None:
        """Expire the lease of every claim and take the claims over."""
        self.shop.update("batch", {"lease_until": "now"}, state="sending")
        assert self.instance.release_dead_claims()

    def end_session(self) -> None:
        """Terminate the session whose lock shows that this instance runs."""
        self.opened.ledger.close()

    def close(self) -> None:
        self.delivery.close()
        self.rereading.close()
        self.opened.connector.close()
