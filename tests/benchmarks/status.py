"""The cost of `syncd status` with a large ledger, and of a fingerprint at delivery.

    python tests/benchmarks/status.py [ORDERS]

Seeds a delivered ledger in a PostgreSQL of its own, with a queue and some exceptions:
once in batches of 100 orders, once one order each, which is the worst for a shop whose
orders come singly. Prints the median of some reads.
"""

import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.feed_harness import FeedHarness, ago
from support.harness import KEY
from support.ledger_rows import delivered_batch
from support.postgres import Cluster, cluster
from support.shop import Shop

from syncd.config.configuration import load
from syncd.core.event import Event
from syncd.core.event_diff import FingerprintKey, pack, places
from syncd.delivery.fingerprints import Fingerprints
from syncd.diagnostics.status.facts import StatusReader
from syncd.ledger.claim import Claim
from syncd.source.connections import connect

EVENT = {
    "event": "Purchase",
    "email": "mila@example.com",
    "orderid": "W-1042",
    "timestamp": "2026-11-20T14:03:07+01:00",
    "currency": "EUR",
    "totalvalue": 25,
    "firstname": "Mila",
    "lastname": "Jansen",
    "city": "Utrecht",
    "country": "NL",
    "products": [
        {"id": f"MUG-{n}", "name": "Mug", "quantity": 2, "price": 12.5}
        for n in range(3)
    ],
}


def median_ms(action: Callable[[], object], times: int = 15) -> float:
    """Return the median duration of an action."""
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        action()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken) * 1000


def seed(shop: Shop, orders: int, size: int) -> None:
    """Fill a ledger; of 1000 batches one is uncertain, of 1000 orders one rejected."""
    now, step = ago(), timedelta(milliseconds=20)
    shop.insert_many(
        "batch",
        (
            {
                **delivered_batch(now - (orders // size - n) * size * step, size),
                "uncertain_attempts": int(n % 1000 == 0),
            }
            for n in range(1, orders // size + 1)
        ),
    )
    waiting = {"feed_id": 1, "lane": "backfill", "orders": size, "oldest_at": now}
    shop.insert_many("batch", [waiting] * (orders // size // 10))
    shop.insert_many(
        "ledger",
        (
            {
                "feed_id": 1,
                "order_key": str(n),
                "confirmed_at": now - n * step,
                "batch_id": 1 + (n - 1) // size,
                "state": None if n % 1000 else "rejected",
                "reason": None if n % 1000 else "x",
            }
            for n in range(1, orders + 1)
        ),
    )
    shop.sql("ANALYZE")


def measure_status(server: Cluster, orders: int, size: int) -> None:
    """Seed a ledger; print the cost of the first read and of those of a watch."""
    name = f"batches_of_{size}"
    server.sql(f"CREATE DATABASE {name}")
    shop = Shop.open(server.dsn(name))
    FeedHarness(shop)
    seed(shop, orders, size)
    with TemporaryDirectory() as folder:
        settings = load(shop.configure(Path(folder), "http://127.0.0.1:1/"), KEY)
    connections = connect(settings, "benchmark")
    observer = StatusReader(settings, connections)
    observer.read()

    def whole() -> None:
        observer.forget()
        observer.read()

    print(
        f"{orders:,} orders in batches of {size}: a whole look {median_ms(whole):.1f}"
        f" ms, one of a watch {median_ms(observer.read):.1f} ms"
    )
    connections.close()


def seal() -> None:
    """Print what the fingerprint of an event of 22 fields costs."""
    seal = FingerprintKey.of("key")
    begin = time.process_time()
    for n in range(10_000):
        pack(seal.take(str(n), places(EVENT)))
    micros = (time.process_time() - begin) / 10_000 * 1e6
    print(f"a fingerprint: {micros:.0f} us of processor, at most 100 a second")


def measure_recording() -> None:
    """Print the cost of recording the event, for each order of a delivery."""
    key = KEY["SYNCD_SQUEEZELY_API_KEY"]
    noted = Fingerprints(None, None, "", FingerprintKey.of(key))  # type: ignore[arg-type]  # unused
    purchases = [(str(n), Event.of(EVENT | {"orderid": str(n)})) for n in range(100)]
    claim = Claim(
        1,
        1,
        UUID(int=0),
        0,
        0,
        None,
        datetime.now(UTC),
        probes=False,
        with_profile=True,
        is_resend=False,
        orders=[],
    )
    begin = time.process_time()
    for _ in range(1_000):
        noted.note(claim, purchases)
    micros = (time.process_time() - begin) / 100_000 * 1e6
    print(f"noting an order: {micros:.2f} us of processor")


def main() -> None:
    """Measure."""
    orders = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seal()
    measure_recording()
    with cluster() as server:
        for size in (100, 1):
            measure_status(server, orders, size)


if __name__ == "__main__":
    main()
