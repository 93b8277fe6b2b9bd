-- The ledger of syncd: one schema, created by the role that runs `syncd install`.

CREATE SCHEMA IF NOT EXISTS syncd;

CREATE TABLE syncd.migration (
    version    integer     NOT NULL,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT migration_once PRIMARY KEY (version)
);

-- One shop's confirmed orders on their way to one Squeezely account. `floor_at` is where
-- its watermark began. The ledger's own cluster and database differ from the source's
-- with [ledger] dsn. `heartbeat_seq` grows while a daemon runs; if the state file has a
-- higher one, the ledger went back in time, unless that was accepted since. What was
-- recorded between lost_from and lost_until may be lost (a promotion, a restore):
-- orders of that time that are captured again may have been sent, and so may older ones
-- that are captured before suspect_until. holds_uncertain: what may have been sent is
-- held. quiet: how long a live order waits first, since it was captured or last
-- changed. pruned_*: the batch into which the orders of old delivered batches are
-- merged once their receipts go, the last batch examined, the newest confirmed_at among
-- those orders, and the time of the last run.
CREATE TABLE syncd.feed (
    feed_id           integer     GENERATED ALWAYS AS IDENTITY,
    feed              text        NOT NULL,
    started_at        timestamptz NOT NULL,
    floor_at          timestamptz NOT NULL,
    system_identifier bigint      NOT NULL,
    database_oid      oid         NOT NULL,
    ledger_identifier bigint      NOT NULL,
    ledger_oid        oid         NOT NULL,
    timeline          integer,
    heartbeat_seq     bigint      NOT NULL DEFAULT 0,
    heartbeat_at      timestamptz,
    accepted_at       timestamptz,
    lost_from         timestamptz,
    lost_until        timestamptz,
    suspect_until     timestamptz,
    holds_uncertain   boolean     NOT NULL DEFAULT false,
    quiet             interval    NOT NULL DEFAULT '0',
    pruned_batch      bigint,
    pruned_after      bigint      NOT NULL DEFAULT 0,
    pruned_until      timestamptz,
    pruned_at         timestamptz,
    confirmed_view    text,
    CONSTRAINT feed_identity PRIMARY KEY (feed_id),
    CONSTRAINT feed_name_once UNIQUE (feed),
    CONSTRAINT feed_named CHECK (feed <> ''),
    CONSTRAINT feed_floor_before_start CHECK (floor_at <= started_at),
    CONSTRAINT feed_heartbeat_has_time
        CHECK ((heartbeat_seq > 0) = (heartbeat_at IS NOT NULL)),
    CONSTRAINT feed_lost_goes_forward CHECK (lost_from <= lost_until),
    CONSTRAINT feed_pruned_has_batch
        CHECK (pruned_until IS NULL OR pruned_batch IS NOT NULL)
);

-- What confirmed_orders listed when the feed was started, with a usable time: old
-- orders, which only a backfill sends (ADR-0021). 64-bit hashes of their keys, by bits
-- of the hash; a bucket has two chunks where a page of keys ended in it. 12 bytes an
-- order.
CREATE TABLE syncd.initial_orders (
    feed_id integer  NOT NULL,
    bucket  integer  NOT NULL,
    chunk   integer  NOT NULL,
    hashes  bigint[] NOT NULL,
    CONSTRAINT initial_orders_once PRIMARY KEY (feed_id, bucket, chunk),
    CONSTRAINT initial_orders_of_feed FOREIGN KEY (feed_id)
        REFERENCES syncd.feed (feed_id) ON DELETE CASCADE
);

-- Hashes do not compress, and statistics on them are useless.
ALTER TABLE syncd.initial_orders ALTER COLUMN hashes SET STORAGE EXTERNAL;
ALTER TABLE syncd.initial_orders ALTER COLUMN hashes SET STATISTICS 0;

-- What a feed's views read when their keys were last compared with the ledger's,
-- in JSON: the key's type, the views' queries, the tables by oid and name. Orders are
-- admitted only under the seal of those views. `change`: their last change. While held,
-- the views have other keys. `compared_at`: when known orders were last searched for in
-- the views because old orders had appeared under unknown keys, or the views had changed.
CREATE TABLE syncd.identity (
    feed_id     integer     NOT NULL,
    known       jsonb       NOT NULL,
    seal        text        NOT NULL,
    change      text,
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    held_at     timestamptz,
    held_reason text,
    compared_at timestamptz DEFAULT clock_timestamp(),
    CONSTRAINT identity_once PRIMARY KEY (feed_id),
    CONSTRAINT identity_compared_before_old_orders CHECK (compared_at IS NOT NULL),
    CONSTRAINT identity_of_feed FOREIGN KEY (feed_id)
        REFERENCES syncd.feed (feed_id) ON DELETE CASCADE,
    CONSTRAINT identity_held_has_reason
        CHECK ((held_at IS NULL) = (held_reason IS NULL))
);

-- Every order whose confirmed_at is at or below the watermark is in the ledger.
-- Its row is the lock under which orders are admitted; `syncd pause` is stored here.
CREATE TABLE syncd.watermark (
    feed_id       integer     NOT NULL,
    confirmed_at  timestamptz NOT NULL,
    moved_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    paused_at     timestamptz,
    paused_reason text,
    CONSTRAINT watermark_once PRIMARY KEY (feed_id),
    CONSTRAINT watermark_of_feed FOREIGN KEY (feed_id)
        REFERENCES syncd.feed (feed_id) ON DELETE CASCADE,
    CONSTRAINT watermark_finite CHECK (isfinite(confirmed_at)),
    CONSTRAINT watermark_reason_of_a_pause
        CHECK (paused_reason IS NULL OR paused_at IS NOT NULL)
) WITH (fillfactor = 50);

-- The endpoint's last state: shared by every instance, survives restarts.
-- recent_*: the share of recent orders that were rejected, as sums that decay with each
-- new order; since `spike_at` it is too large for any more to be rejected. Held, the
-- endpoint is probed at intervals, for the refusal of `suspect_batch`; not while
-- `unknown_shape` is set, until an operator explains that answer. `syncd pause` of
-- sending is stored here.
CREATE TABLE syncd.endpoint (
    feed_id         integer     NOT NULL,
    state           text        NOT NULL DEFAULT 'available',
    failures        integer     NOT NULL DEFAULT 0,
    refusals        integer     NOT NULL DEFAULT 0,
    retry_at        timestamptz NOT NULL DEFAULT '-infinity',
    reason          text,
    since           timestamptz NOT NULL DEFAULT clock_timestamp(),
    accepted_at     timestamptz,
    recent_accepted float8      NOT NULL DEFAULT 0,
    recent_rejected float8      NOT NULL DEFAULT 0,
    suspect_batch   bigint,
    spike_at        timestamptz,
    unknown_shape   text,
    paused_at       timestamptz,
    paused_reason   text,
    CONSTRAINT endpoint_once PRIMARY KEY (feed_id),
    CONSTRAINT endpoint_of_feed FOREIGN KEY (feed_id)
        REFERENCES syncd.feed (feed_id) ON DELETE CASCADE,
    CONSTRAINT endpoint_state_known CHECK (state IN ('available', 'backing_off', 'held')),
    CONSTRAINT endpoint_trouble_has_reason CHECK ((state = 'available') = (reason IS NULL)),
    CONSTRAINT endpoint_counts_positive CHECK (failures >= 0 AND refusals >= 0),
    CONSTRAINT endpoint_recent_positive
        CHECK (recent_accepted >= 0 AND recent_rejected >= 0),
    CONSTRAINT endpoint_suspicion_holds
        CHECK (suspect_batch IS NULL OR state = 'held'),
    CONSTRAINT endpoint_unknown_holds
        CHECK (unknown_shape IS NULL OR state = 'held'),
    CONSTRAINT endpoint_reason_of_a_pause
        CHECK (paused_reason IS NULL OR paused_at IS NOT NULL)
) WITH (fillfactor = 50);

-- A running daemon. It holds the advisory lock (1937337955, instance_id) while it runs.
-- has_captured: it cut a batch, so its start explains how late an order was found.
-- Read by feed without an index: of 100,000 rows a start takes 70 ms, a count of starts
-- within a time, which only a check asks, 30 ms; the status goes by instance_identity.
CREATE TABLE syncd.instance (
    instance_id  integer     GENERATED ALWAYS AS IDENTITY,
    feed_id      integer     NOT NULL,
    host         text        NOT NULL,
    pid          integer     NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    stopped_at   timestamptz,
    has_captured boolean     NOT NULL DEFAULT true,
    -- What fails in it again and again, and since when.
    trouble       text,
    trouble_since timestamptz,
    CONSTRAINT instance_trouble_has_time
        CHECK ((trouble IS NULL) = (trouble_since IS NULL)),
    CONSTRAINT instance_identity PRIMARY KEY (instance_id),
    CONSTRAINT instance_of_feed FOREIGN KEY (feed_id)
        REFERENCES syncd.feed (feed_id) ON DELETE CASCADE
);

-- A requested past range. `state` follows from the times alone. A backfill that has
-- captured its range runs until its orders are settled. `logged_state` is the state
-- that a daemon has last written to its log. Its range is captured up to `reached_at`,
-- and of the instant after that up to `reached_key`. Unfinished ranges never overlap;
-- those of single orders are empty.
CREATE TABLE syncd.backfill (
    backfill_id  bigint      GENERATED ALWAYS AS IDENTITY,
    feed_id      integer     NOT NULL,
    lower_at     timestamptz NOT NULL,
    upper_at     timestamptz NOT NULL,
    reached_at   timestamptz NOT NULL,
    reached_key  text,
    orders       bigint      NOT NULL DEFAULT 0,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at  timestamptz,
    purpose      text        NOT NULL DEFAULT 'send',
    with_profile boolean     NOT NULL DEFAULT false,
    reason       text,
    planned      bigint      NOT NULL DEFAULT 0,
    resent       bigint      NOT NULL DEFAULT 0,
    released     bigint      NOT NULL DEFAULT 0,
    paused_at    timestamptz,
    cancelled_at timestamptz,
    logged_state text,
    logged_at    timestamptz,
    state        text        NOT NULL GENERATED ALWAYS AS (
        CASE WHEN finished_at IS NOT NULL THEN 'finished'
             WHEN cancelled_at IS NOT NULL THEN 'cancelled'
             WHEN paused_at IS NOT NULL THEN 'paused'
             ELSE 'running' END) STORED,
    CONSTRAINT backfill_identity PRIMARY KEY (backfill_id),
    CONSTRAINT backfill_of_feed FOREIGN KEY (feed_id)
        REFERENCES syncd.feed (feed_id) ON DELETE CASCADE,
    CONSTRAINT backfill_goes_forward
        CHECK (lower_at <= reached_at AND reached_at <= upper_at),
    CONSTRAINT backfill_purpose_known
        CHECK (purpose IN ('send', 'resend', 'adopt')),
    CONSTRAINT backfill_resend_has_reason
        CHECK (purpose <> 'resend' OR coalesce(reason, '') <> ''),
    CONSTRAINT backfill_counts_positive
        CHECK (planned >= 0 AND resent >= 0 AND released >= 0),
    CONSTRAINT backfill_unfinished_apart EXCLUDE USING gist (
        int4range(feed_id, feed_id, '[]') WITH &&,
        tstzrange(lower_at, upper_at, '(]') WITH &&)
        WHERE (finished_at IS NULL AND cancelled_at IS NULL)
);

-- Why a daemon did not start on a host, until one did.
CREATE TABLE syncd.failed_start (
    feed      text        NOT NULL,
    host      text        NOT NULL,
    kind      text        NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    codes     text[]      NOT NULL,
    reason    text        NOT NULL,
    hint      text        NOT NULL,
    is_over   boolean     NOT NULL DEFAULT false,
    CONSTRAINT failed_start_once PRIMARY KEY (feed, host),
    CONSTRAINT failed_start_kind_known CHECK (kind IN ('start', 'waiting', 'reload'))
);

-- Orders that are sent together: the unit of claim, lease, attempt and receipt.
-- `orders` counts the ledger rows that have its state (exceptions are not counted).
-- held: an attempt's outcome is unknown, and an operator decides (on_uncertain =
-- "hold", or an unknown answer). refusals: those between which others were accepted;
-- the last of all at refused_at. is_resend: its orders had been delivered before, and
-- were requested again. claim_token: random, of the claim that holds the batch, or of
-- the one that delivered it. A batch is delivered by the accepted attempt of its token
-- only, except the one into which old ones are merged (is_pruned), whose attempts are
-- no longer kept.
CREATE TABLE syncd.batch (
    batch_id           bigint      GENERATED BY DEFAULT AS IDENTITY,
    feed_id            integer     NOT NULL,
    lane               text        NOT NULL,
    state              text        NOT NULL DEFAULT 'pending',
    orders             integer     NOT NULL,
    attempts           integer     NOT NULL DEFAULT 0,
    uncertain_attempts integer     NOT NULL DEFAULT 0,
    oldest_at          timestamptz NOT NULL,
    due_at             timestamptz NOT NULL DEFAULT '-infinity',
    created_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    refusals           integer     NOT NULL DEFAULT 0,
    refused_at         timestamptz,
    instance_id        integer,
    lease_until        timestamptz,
    settled_at         timestamptz,
    backfill_id        bigint,
    is_resend          boolean     NOT NULL DEFAULT false,
    claim_token        uuid,
    is_pruned          boolean     NOT NULL DEFAULT false,
    proof              text        GENERATED ALWAYS AS (
        CASE WHEN state = 'delivered' THEN 'accepted' END) STORED,
    -- Since when, and why, its orders cannot be read; they wait for the view, not for
    -- the endpoint, and block no others.
    read_failed_at timestamptz,
    read_reason    text,
    CONSTRAINT batch_identity PRIMARY KEY (batch_id),
    CONSTRAINT batch_of_feed FOREIGN KEY (feed_id)
        REFERENCES syncd.feed (feed_id) ON DELETE CASCADE,
    CONSTRAINT batch_of_backfill FOREIGN KEY (backfill_id)
        REFERENCES syncd.backfill (backfill_id) ON DELETE SET NULL,
    CONSTRAINT batch_lane_known CHECK (lane IN ('live', 'backfill')),
    CONSTRAINT batch_state_known CHECK (state IN
        ('pending', 'sending', 'held', 'delivered', 'emptied', 'adopted')),
    CONSTRAINT batch_counts_positive
        CHECK (orders >= 0 AND attempts >= 0 AND uncertain_attempts >= 0 AND refusals >= 0),
    CONSTRAINT batch_claim_has_lease
        CHECK ((state = 'sending') = (lease_until IS NOT NULL AND instance_id IS NOT NULL)),
    CONSTRAINT batch_token_proves_the_claim CHECK (
        CASE state WHEN 'sending' THEN claim_token IS NOT NULL
                   WHEN 'delivered' THEN (claim_token IS NULL) = is_pruned
                   ELSE claim_token IS NULL END),
    CONSTRAINT batch_pruned_is_delivered CHECK (NOT is_pruned OR state = 'delivered'),
    CONSTRAINT batch_settled_once
        CHECK ((state IN ('delivered', 'emptied', 'adopted')) = (settled_at IS NOT NULL)),
    CONSTRAINT batch_emptied_is_empty CHECK (state <> 'emptied' OR orders = 0),
    CONSTRAINT batch_resend_for_a_backfill
        CHECK (NOT is_resend OR backfill_id IS NOT NULL),
    CONSTRAINT batch_unread_has_reason
        CHECK ((read_failed_at IS NULL) = (read_reason IS NULL))
) WITH (fillfactor = 80);

CREATE INDEX batch_due
    ON syncd.batch (feed_id, lane, batch_id) WHERE state = 'pending';
CREATE INDEX batch_claimed
    ON syncd.batch (feed_id, lease_until) WHERE state = 'sending';
CREATE INDEX batch_unread
    ON syncd.batch (feed_id, batch_id) WHERE state = 'pending' AND read_failed_at IS NOT NULL;
CREATE INDEX batch_held ON syncd.batch (feed_id) WHERE state = 'held';
CREATE INDEX batch_backfilled
    ON syncd.batch (backfill_id, state) WHERE backfill_id IS NOT NULL;
-- How many orders were delivered recently, and which may have been twice.
CREATE INDEX batch_settled
    ON syncd.batch (feed_id, settled_at) WHERE state = 'delivered';
CREATE INDEX batch_uncertain ON syncd.batch (feed_id) WHERE uncertain_attempts > 0;

-- One POST of a batch and its receipt; without an outcome while it is in flight. A
-- settlement must have its token: another attempt may have the same numbers by now (a
-- restored or promoted server assigns them again). An undocumented answer has a shape.
CREATE TABLE syncd.attempt (
    batch_id    bigint      NOT NULL,
    attempt     integer     NOT NULL,
    claim_token uuid        NOT NULL DEFAULT gen_random_uuid(),
    instance_id integer     NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at  timestamptz,
    outcome     text,
    status      integer,
    reason      text,
    sent        integer,
    body_sha256 bytea,
    orderids    text[],
    shape       text,
    CONSTRAINT attempt_identity PRIMARY KEY (batch_id, attempt),
    CONSTRAINT attempt_proof UNIQUE (batch_id, claim_token, outcome),
    CONSTRAINT attempt_of_batch FOREIGN KEY (batch_id)
        REFERENCES syncd.batch (batch_id) ON DELETE CASCADE,
    CONSTRAINT attempt_outcome_known CHECK (outcome IN
        ('accepted', 'refused', 'client_refused', 'transient', 'unclear', 'uncertain',
         'nothing_to_send', 'unread')),
    CONSTRAINT attempt_settled_has_outcome
        CHECK ((outcome IS NULL) = (settled_at IS NULL))
) WITH (fillfactor = 70);

ALTER TABLE syncd.batch
    ADD CONSTRAINT batch_delivered_by_its_attempt
        FOREIGN KEY (batch_id, claim_token, proof)
        REFERENCES syncd.attempt (batch_id, claim_token, outcome);

-- One row per order and feed. No personal data. Ordinary orders are written once;
-- state, reason, waiting_since, orderid and uncertain_attempts are for exceptions only:
-- the last counts the attempts of unknown outcome before it was set aside. `capture` is
-- the one that found the order. There is no foreign key to the batch: its check would
-- cost each order more than the insert itself. rejected_by: syncd's own rules, the API,
-- or the view, whose row could not be read; `retries` counts the automatic retries of a
-- rejected order. discarded by an operator; it stays, so that nothing captures it
-- again. released: captured by a backfill that was cancelled before the order was sent;
-- it counts as not in the ledger, so that a later one may capture it. erased on
-- request; the row stays, so that nothing sends it.
CREATE TABLE syncd.ledger (
    feed_id            integer     NOT NULL,
    order_key          text        NOT NULL COLLATE "C",
    confirmed_at       timestamptz NOT NULL,
    batch_id           bigint      NOT NULL,
    waiting_since      timestamptz,
    state              text,
    reason             text,
    orderid            text,
    capture            text,
    uncertain_attempts integer,
    rejected_by        text,
    retries            smallint,
    CONSTRAINT ledger_order_once PRIMARY KEY (feed_id, order_key),
    CONSTRAINT ledger_rejected_by_known CHECK (rejected_by IN ('rules', 'api', 'view')),
    CONSTRAINT ledger_capture_known CHECK
        (capture IN ('poll', 'listen', 'wal', 'reconcile', 'backfill')),
    CONSTRAINT ledger_exception_known CHECK (state IN
        ('rejected', 'withdrawn', 'discarded', 'released', 'erased')),
    CONSTRAINT ledger_exception_has_reason CHECK ((state IS NULL) = (reason IS NULL)),
    CONSTRAINT ledger_exception_is_uncertain
        CHECK (uncertain_attempts IS NULL OR uncertain_attempts > 0 AND state IS NOT NULL),
    CONSTRAINT ledger_erased_has_no_number
        CHECK (state IS DISTINCT FROM 'erased' OR orderid IS NULL)
);

CREATE INDEX ledger_batch ON syncd.ledger (batch_id);
CREATE INDEX ledger_exception ON syncd.ledger (feed_id, state) WHERE state IS NOT NULL;

-- A batch that an order was in before, and why it left. Ordinary orders have none.
-- reset: adopted, and requested after all. returned: back in that batch, since that
-- request was cancelled.
CREATE TABLE syncd.order_move (
    feed_id   integer     NOT NULL,
    order_key text        NOT NULL COLLATE "C",
    batch_id  bigint      NOT NULL,
    left_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    why       text        NOT NULL,
    reason    text,
    CONSTRAINT order_move_once PRIMARY KEY (feed_id, order_key, batch_id),
    CONSTRAINT order_move_of_batch FOREIGN KEY (batch_id)
        REFERENCES syncd.batch (batch_id) ON DELETE CASCADE,
    CONSTRAINT order_move_why_known CHECK
        (why IN ('split', 'waiting', 'unread', 'retried', 'mended', 'resent', 'reset',
                 'returned'))
);

-- Deleting a batch deletes its order_moves.
CREATE INDEX order_move_batch ON syncd.order_move (batch_id);

-- How far a feed has read its replication slot; moves with the orders read from it.
CREATE TABLE syncd.replication_position (
    feed_id    integer     NOT NULL,
    reached    pg_lsn      NOT NULL,
    reached_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT replication_position_once PRIMARY KEY (feed_id),
    CONSTRAINT replication_position_of_feed FOREIGN KEY (feed_id)
        REFERENCES syncd.feed (feed_id) ON DELETE CASCADE
) WITH (fillfactor = 50);

-- A reconciliation of a range: every confirmed order in it, by state. It grows page by
-- page up to `reached_at`, and of the instant after that up to `reached_key`; without
-- progress for a while, another instance may resume it. `captured` counts the missing
-- ones that were captured, `arriving` what the poll has yet to capture, `without_time`
-- new orders without a usable time (null if not counted), `unreadable` orders whose row
-- the view cannot read, the maximum over its pages.
CREATE TABLE syncd.reconciliation (
    reconciliation_id bigint      GENERATED ALWAYS AS IDENTITY,
    feed_id           integer     NOT NULL,
    scope             text        NOT NULL,
    lower_at          timestamptz NOT NULL,
    upper_at          timestamptz NOT NULL,
    reached_at        timestamptz NOT NULL,
    reached_key       text,
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
    discarded         bigint      NOT NULL DEFAULT 0,
    erased            bigint      NOT NULL DEFAULT 0,
    reused            bigint      NOT NULL DEFAULT 0,
    initial           bigint      NOT NULL DEFAULT 0,
    arriving          bigint      NOT NULL DEFAULT 0,
    missing           bigint      NOT NULL DEFAULT 0,
    captured          bigint      NOT NULL DEFAULT 0,
    without_time      bigint,
    unreadable        bigint      NOT NULL DEFAULT 0,
    sentence          text,
    CONSTRAINT reconciliation_identity PRIMARY KEY (reconciliation_id),
    CONSTRAINT reconciliation_of_feed FOREIGN KEY (feed_id)
        REFERENCES syncd.feed (feed_id) ON DELETE CASCADE,
    CONSTRAINT reconciliation_scope_known
        CHECK (scope IN ('hours', 'days', 'all', 'asked', 'promotion')),
    CONSTRAINT reconciliation_goes_forward
        CHECK (lower_at <= reached_at AND reached_at <= upper_at),
    CONSTRAINT reconciliation_adds_up CHECK (confirmed = delivered + pending
        + adopted + rejected + withdrawn + held + discarded + erased + reused
        + initial + arriving + missing),
    CONSTRAINT reconciliation_captures_the_missing
        CHECK (captured BETWEEN 0 AND missing),
    CONSTRAINT reconciliation_finished_has_sentence
        CHECK ((finished_at IS NULL) = (sentence IS NULL)),
    CONSTRAINT reconciliation_finished_is_whole
        CHECK (finished_at IS NULL OR reached_at = upper_at)
);

CREATE INDEX reconciliation_latest
    ON syncd.reconciliation (feed_id, scope, started_at);

-- What `syncd verify` found out about an account; by the feed's name, since an account
-- may be verified before the feed is started.
CREATE TABLE syncd.verification (
    feed          text        NOT NULL,
    account       text        NOT NULL,
    endpoint      text        NOT NULL,
    payload       text        NOT NULL,
    accepts_lists boolean,
    evidence      text        NOT NULL,
    verified_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT verification_once PRIMARY KEY (feed),
    CONSTRAINT verification_payload_known CHECK (payload IN ('events', 'single')),
    CONSTRAINT verification_evidence_known CHECK (evidence IN ('answer', 'person')),
    CONSTRAINT verification_of_a_list CHECK (payload = 'events' OR accepts_lists IS NULL)
);

-- Undocumented answers of an account, by their shape, with the meaning that an operator
-- gave; null until then.
CREATE TABLE syncd.answer (
    feed          text        NOT NULL,
    account       text        NOT NULL,
    endpoint      text        NOT NULL,
    shape         text        NOT NULL,
    example       text        NOT NULL,
    means         text,
    seen_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    classified_at timestamptz,
    CONSTRAINT answer_once PRIMARY KEY (feed, account, endpoint, shape),
    CONSTRAINT answer_means_known CHECK (means IN ('success', 'refusal')),
    CONSTRAINT answer_when_classified CHECK ((means IS NULL) = (classified_at IS NULL))
);

-- Fingerprints of the last events, field by field, without their values. Of the newest
-- orders that were sent live, a few bytes for each field of their event: a keyed hash
-- over order, field and value, whose key is derived from the API key and is in no
-- database. `key_id` identifies that key, `mapping` the view. The row reveals only
-- which fields an event has.
CREATE TABLE syncd.fingerprint (
    feed_id   integer     NOT NULL,
    order_key text        NOT NULL COLLATE "C",
    sent_at   timestamptz NOT NULL,
    key_id    bytea       NOT NULL,
    mapping   text        NOT NULL,
    fields    jsonb       NOT NULL,
    CONSTRAINT fingerprint_once PRIMARY KEY (feed_id, order_key),
    CONSTRAINT fingerprint_of_feed FOREIGN KEY (feed_id)
        REFERENCES syncd.feed (feed_id) ON DELETE CASCADE,
    CONSTRAINT fingerprint_of_fields CHECK (jsonb_typeof(fields) = 'object')
);

CREATE INDEX fingerprint_newest ON syncd.fingerprint (feed_id, sent_at);

-- Fields whose values cannot be sent: their orders were sent without them. One row per
-- field and reason, with the last order concerned.
CREATE TABLE syncd.left_out (
    feed_id   integer     NOT NULL,
    field     text        NOT NULL,
    reason    text        NOT NULL,
    orders    bigint      NOT NULL,
    order_key text        NOT NULL COLLATE "C",
    first_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT left_out_once PRIMARY KEY (feed_id, field, reason),
    CONSTRAINT left_out_of_feed FOREIGN KEY (feed_id)
        REFERENCES syncd.feed (feed_id) ON DELETE CASCADE,
    CONSTRAINT left_out_counts CHECK (orders > 0)
);

-- Problems of the feed that a daemon found and `status` cannot detect itself.
CREATE TABLE syncd.alarm (
    feed_id integer     NOT NULL,
    alarm   text        NOT NULL,
    since   timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason  text        NOT NULL,
    CONSTRAINT alarm_once PRIMARY KEY (feed_id, alarm),
    CONSTRAINT alarm_of_feed FOREIGN KEY (feed_id)
        REFERENCES syncd.feed (feed_id) ON DELETE CASCADE,
    CONSTRAINT alarm_known CHECK (alarm IN ('stamps.shifted', 'orders.unreadable'))
);

-- Keys of the ledger under which the views list another order now: the time and number
-- of both.
CREATE TABLE syncd.reused_key (
    feed_id   integer     NOT NULL,
    order_key text        NOT NULL COLLATE "C",
    known_at  timestamptz NOT NULL,
    known_as  text,
    listed_at timestamptz NOT NULL,
    listed_as text,
    noted_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT reused_key_once PRIMARY KEY (feed_id, order_key),
    CONSTRAINT reused_key_of_feed FOREIGN KEY (feed_id)
        REFERENCES syncd.feed (feed_id) ON DELETE CASCADE
);
