-- More ways to capture, the account of every order, and the guard against copies.

-- Orders stamped at or before the floor were confirmed before the feed's beginning.
-- The ledger's own cluster and database differ from the source's with [state] dsn.
-- `mark` grows while a daemon runs; a daemon that remembers a higher one looks at a
-- ledger that went back in time, unless somebody accepted that since. What was recorded
-- between lost_from and lost_until may be lost (a promotion, a restore): orders of that
-- time that are captured again may have been sent.
ALTER TABLE syncd.feed
    ADD COLUMN floor_at          timestamptz,
    ADD COLUMN ledger_identifier bigint,
    ADD COLUMN ledger_oid        oid,
    ADD COLUMN timeline          integer,
    ADD COLUMN mark              bigint      NOT NULL DEFAULT 0,
    ADD COLUMN marked_at         timestamptz,
    ADD COLUMN accepted_at       timestamptz,
    ADD COLUMN lost_from         timestamptz,
    ADD COLUMN lost_until        timestamptz;
UPDATE syncd.feed
   SET floor_at = started_at,
       ledger_identifier = system_identifier,
       ledger_oid = database_oid;
ALTER TABLE syncd.feed
    ALTER COLUMN floor_at SET NOT NULL,
    ALTER COLUMN ledger_identifier SET NOT NULL,
    ALTER COLUMN ledger_oid SET NOT NULL,
    ADD CONSTRAINT feed_floor_before_start CHECK (floor_at <= started_at),
    ADD CONSTRAINT feed_mark_has_time CHECK ((mark > 0) = (marked_at IS NOT NULL)),
    ADD CONSTRAINT feed_lost_goes_forward CHECK (lost_from <= lost_until);

-- Which capture found the order; null for orders of an older syncd.
ALTER TABLE syncd.ledger
    ADD COLUMN capture text,
    ADD CONSTRAINT ledger_capture_known CHECK
        (capture IN ('poll', 'listen', 'wal', 'reconcile', 'backfill', 'start'));

-- How far a feed has read its replication slot; moves with the orders it brought.
CREATE TABLE syncd.stream (
    feed_id    integer     NOT NULL,
    reached    pg_lsn      NOT NULL,
    reached_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT stream_once PRIMARY KEY (feed_id),
    CONSTRAINT stream_of_feed FOREIGN KEY (feed_id)
        REFERENCES syncd.feed (feed_id) ON DELETE CASCADE
) WITH (fillfactor = 50);

-- The account of a range: every confirmed order of it, and where it stands. It grows
-- page by page up to `reached_at`; one that nobody touched for a while may be gone on
-- with by another instance. `captured` counts those of the missing that were taken.
CREATE TABLE syncd.reconciliation (
    reconciliation_id bigint      GENERATED ALWAYS AS IDENTITY,
    feed_id           integer     NOT NULL,
    depth             text        NOT NULL,
    lower_at          timestamptz NOT NULL,
    upper_at          timestamptz NOT NULL,
    reached_at        timestamptz NOT NULL,
    started_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    touched_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at       timestamptz,
    confirmed         bigint      NOT NULL DEFAULT 0,
    delivered         bigint      NOT NULL DEFAULT 0,
    pending           bigint      NOT NULL DEFAULT 0,
    adopted           bigint      NOT NULL DEFAULT 0,
    rejected          bigint      NOT NULL DEFAULT 0,
    withdrawn         bigint      NOT NULL DEFAULT 0,
    held              bigint      NOT NULL DEFAULT 0,
    missing           bigint      NOT NULL DEFAULT 0,
    captured          bigint      NOT NULL DEFAULT 0,
    sentence          text,
    CONSTRAINT reconciliation_identity PRIMARY KEY (reconciliation_id),
    CONSTRAINT reconciliation_of_feed FOREIGN KEY (feed_id)
        REFERENCES syncd.feed (feed_id) ON DELETE CASCADE,
    CONSTRAINT reconciliation_depth_known
        CHECK (depth IN ('hours', 'days', 'all', 'asked', 'promotion')),
    CONSTRAINT reconciliation_goes_forward
        CHECK (lower_at <= reached_at AND reached_at <= upper_at),
    CONSTRAINT reconciliation_adds_up CHECK (confirmed =
        delivered + pending + adopted + rejected + withdrawn + held + missing),
    CONSTRAINT reconciliation_captures_the_missing
        CHECK (captured BETWEEN 0 AND missing),
    CONSTRAINT reconciliation_finished_has_sentence
        CHECK ((finished_at IS NULL) = (sentence IS NULL)),
    CONSTRAINT reconciliation_finished_is_whole
        CHECK (finished_at IS NULL OR reached_at = upper_at)
);

CREATE INDEX reconciliation_latest
    ON syncd.reconciliation (feed_id, depth, started_at);
