-- What is paused, what of old orders is kept, and which orders are forgotten.

-- Sending is paused beside what the endpoint said, capture beside the lock of admissions.
ALTER TABLE syncd.endpoint
    ADD COLUMN paused_at     timestamptz,
    ADD COLUMN paused_reason text,
    ADD CONSTRAINT endpoint_reason_of_a_pause
        CHECK (paused_reason IS NULL OR paused_at IS NOT NULL);
ALTER TABLE syncd.watermark
    ADD COLUMN paused_at     timestamptz,
    ADD COLUMN paused_reason text,
    ADD CONSTRAINT watermark_reason_of_a_pause
        CHECK (paused_reason IS NULL OR paused_at IS NOT NULL);

-- The batch into which the orders of old delivered batches are merged once their
-- receipts go, the last batch that was looked at for that, the newest confirmed_at among
-- those orders, and when it was done last.
ALTER TABLE syncd.feed
    ADD COLUMN thinned_batch bigint,
    ADD COLUMN thinned_after bigint      NOT NULL DEFAULT 0,
    ADD COLUMN thinned_until timestamptz,
    ADD COLUMN thinned_at    timestamptz,
    ADD CONSTRAINT feed_thinned_has_batch
        CHECK (thinned_until IS NULL OR thinned_batch IS NOT NULL);
-- A batch that goes takes its departures along.
CREATE INDEX departure_batch ON syncd.departure (batch_id);

-- forgotten: somebody asked for erasure; the row stays, so that nothing sends it.
ALTER TABLE syncd.ledger
    DROP CONSTRAINT ledger_exception_known,
    ADD CONSTRAINT ledger_exception_known
        CHECK (state IN
            ('rejected', 'withdrawn', 'discarded', 'released', 'forgotten')),
    ADD CONSTRAINT ledger_forgotten_has_no_number
        CHECK (state IS DISTINCT FROM 'forgotten' OR orderid IS NULL);
ALTER TABLE syncd.reconciliation
    ADD COLUMN forgotten bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT reconciliation_adds_up,
    ADD CONSTRAINT reconciliation_adds_up CHECK (confirmed = delivered + pending
        + adopted + rejected + withdrawn + held + discarded + forgotten + missing);
