-- Backfills that the daemon drives: what they may send, and how they are steered.

-- An older syncd that died in the middle left a row that nobody goes on with.
ALTER TABLE syncd.backfill
    ADD COLUMN purpose      text        NOT NULL DEFAULT 'send',
    ADD COLUMN with_profile boolean     NOT NULL DEFAULT false,
    ADD COLUMN reason       text,
    ADD COLUMN planned      bigint      NOT NULL DEFAULT 0,
    ADD COLUMN resent       bigint      NOT NULL DEFAULT 0,
    ADD COLUMN released     bigint      NOT NULL DEFAULT 0,
    ADD COLUMN paused_at    timestamptz,
    ADD COLUMN cancelled_at timestamptz,
    ADD COLUMN told         text,
    ADD COLUMN told_at      timestamptz;
UPDATE syncd.backfill
   SET planned = orders,
       cancelled_at = CASE WHEN finished_at IS NULL THEN clock_timestamp() END;

-- `state` follows from the times alone. What has captured its range runs on until its
-- orders are settled. `told` is the state that a daemon has last written to its log.
-- Two that are unfinished never share a time; those of single orders have an empty range.
ALTER TABLE syncd.backfill
    ADD COLUMN state text NOT NULL GENERATED ALWAYS AS (
        CASE WHEN finished_at IS NOT NULL THEN 'finished'
             WHEN cancelled_at IS NOT NULL THEN 'cancelled'
             WHEN paused_at IS NOT NULL THEN 'paused'
             ELSE 'running' END) STORED,
    ADD CONSTRAINT backfill_purpose_known
        CHECK (purpose IN ('send', 'resend', 'adopt')),
    ADD CONSTRAINT backfill_resend_has_reason
        CHECK (purpose <> 'resend' OR coalesce(reason, '') <> ''),
    ADD CONSTRAINT backfill_counts_positive
        CHECK (planned >= 0 AND resent >= 0 AND released >= 0),
    ADD CONSTRAINT backfill_unfinished_apart EXCLUDE USING gist (
        int4range(feed_id, feed_id, '[]') WITH &&,
        tstzrange(lower_at, upper_at, '(]') WITH &&)
        WHERE (finished_at IS NULL AND cancelled_at IS NULL);
UPDATE syncd.backfill
   SET told = state;

-- resends: its orders had been delivered before, and somebody asked for it.
ALTER TABLE syncd.batch
    ADD COLUMN backfill_id bigint,
    ADD COLUMN resends     boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT batch_of_backfill FOREIGN KEY (backfill_id)
        REFERENCES syncd.backfill (backfill_id) ON DELETE SET NULL,
    ADD CONSTRAINT batch_resends_for_a_backfill
        CHECK (NOT resends OR backfill_id IS NOT NULL);
CREATE INDEX batch_backfilled
    ON syncd.batch (backfill_id, state) WHERE backfill_id IS NOT NULL;

-- released: captured by a backfill that was cancelled before the order was sent; it is
-- as if the ledger did not have it, so that a later one may take it.
ALTER TABLE syncd.ledger
    DROP CONSTRAINT ledger_exception_known,
    ADD CONSTRAINT ledger_exception_known
        CHECK (state IN ('rejected', 'withdrawn', 'discarded', 'released'));

-- reset: adopted, and asked for after all. returned: back in that batch, since what
-- asked for it was cancelled.
ALTER TABLE syncd.departure
    DROP CONSTRAINT departure_why_known,
    ADD CONSTRAINT departure_why_known CHECK
        (why IN ('split', 'waiting', 'retried', 'resent', 'reset', 'returned'));
