"""What a delivery is made of, for one worker."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from syncd.config.settings import Settings
from syncd.core.event_diff import FingerprintKey
from syncd.core.read_history import ReadHistory, ReadSize
from syncd.delivery.answers import Answers
from syncd.delivery.circuit_breaker import CircuitBreaker
from syncd.delivery.delivery_log import DeliveryLog
from syncd.delivery.fingerprints import Fingerprints
from syncd.delivery.reading import RowReader, Unread
from syncd.delivery.rendering import Renderer, rules_of
from syncd.delivery.settlement import Settlement
from syncd.delivery.squeezely import Squeezely
from syncd.ledger.batches import Ledger
from syncd.ledger.claim import Touched
from syncd.ledger.order_quality import LeftOutCounter
from syncd.log.log import Log
from syncd.source.orders import Source

LEASE_MARGIN = timedelta(seconds=15)
"""Added to the POST's timeout: reading, rendering and settling."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What the workers of a feed know together of reading its view.

    Attributes:
        again: What could not be read is read, and nothing else.
    """

    size: ReadSize
    history: ReadHistory
    again: bool = False

    @classmethod
    def of(cls, settings: Settings) -> "Reads":
        """Know nothing yet."""
        return cls(ReadSize(settings.squeezely.orders_per_batch), ReadHistory())


@dataclass(frozen=True, slots=True)
class DeliveryComponents:
    """Each does one thing for a delivery.

    Attributes:
        touched: Brings orders that were touched and are to be admitted with a claim.
        lease_margin: How much longer than its POST may take a claim is held.
    """

    reader: RowReader
    renderer: Renderer
    api: Squeezely
    settlement: Settlement
    unread: Unread
    left_out: LeftOutCounter
    fingerprints: Fingerprints
    touched: Callable[[], Touched | None] = lambda: None
    lease_margin: timedelta = LEASE_MARGIN

    @classmethod
    def of(
        cls, settings: Settings, source: Source, ledger: Ledger, log: Log, reads: Reads
    ) -> "DeliveryComponents":
        """Make them for one worker."""
        database, report = ledger.database, DeliveryLog(log)
        view = settings.source.purchases_view
        key = FingerprintKey.of(settings.api_key.get_secret_value())
        waiting = settings.source.completeness_timeout
        return cls(
            reader=RowReader(source, reads.size),
            renderer=Renderer(source, rules_of(settings), waiting),
            api=Squeezely(settings),
            settlement=Settlement(
                settings.squeezely,
                ledger,
                CircuitBreaker(database, ledger.feed_id),
                Answers(database, settings),
                report,
            ),
            unread=Unread(ledger, report, reads.history),
            left_out=LeftOutCounter(ledger),
            fingerprints=Fingerprints(ledger, source.database, view, key),
        )
