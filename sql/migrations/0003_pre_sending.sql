-- What sending needs to remember: orders that wait for a person, orders that were
-- discarded, which share of the orders is refused, and where an order was before.

-- The share of recent orders that were rejected, as sums that fade with each new order.
-- While `doubted_batch` is set, the contract looks broken: only that batch is tried.
ALTER TABLE syncd.endpoint
    ADD COLUMN recent_accepted float8 NOT NULL DEFAULT 0,
    ADD COLUMN recent_rejected float8 NOT NULL DEFAULT 0,
    ADD COLUMN doubted_batch   bigint,
    ADD CONSTRAINT endpoint_recent_positive
        CHECK (recent_accepted >= 0 AND recent_rejected >= 0),
    ADD CONSTRAINT endpoint_doubt_holds
        CHECK (doubted_batch IS NULL OR state = 'held');

-- held: an attempt's outcome is unknown, and a person decides (uncertain = "hold").
ALTER TABLE syncd.batch
    DROP CONSTRAINT batch_state_known,
    ADD CONSTRAINT batch_state_known CHECK (state IN
        ('pending', 'sending', 'held', 'delivered', 'dissolved', 'adopted'));
CREATE INDEX batch_held ON syncd.batch (feed_id) WHERE state = 'held';

-- discarded: a person gave it up; it stays, so that nothing captures it again.
ALTER TABLE syncd.ledger
    DROP CONSTRAINT ledger_exception_known,
    ADD CONSTRAINT ledger_exception_known
        CHECK (state IN ('rejected', 'withdrawn', 'discarded'));
ALTER TABLE syncd.reconciliation
    ADD COLUMN discarded bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT reconciliation_adds_up,
    ADD CONSTRAINT reconciliation_adds_up CHECK (confirmed = delivered + pending
        + adopted + rejected + withdrawn + held + discarded + missing);

-- A batch that an order was in before, and why it left. Ordinary orders leave none.
CREATE TABLE syncd.departure (
    feed_id   integer     NOT NULL,
    order_key text        NOT NULL COLLATE "C",
    batch_id  bigint      NOT NULL,
    left_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    why       text        NOT NULL,
    reason    text,
    CONSTRAINT departure_once PRIMARY KEY (feed_id, order_key, batch_id),
    CONSTRAINT departure_of_batch FOREIGN KEY (batch_id)
        REFERENCES syncd.batch (batch_id) ON DELETE CASCADE,
    CONSTRAINT departure_why_known
        CHECK (why IN ('split', 'waiting', 'retried', 'resent'))
);
