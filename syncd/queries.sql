-- The statements that the daemon runs, by name. `:one`, `:many`, `:rows` and `:none` say
-- what comes back. Braces are identifiers of the operator's views; the rest is fixed.

-- name: clock :one
-- The upper end of a window, before `running` is read; on a hot standby also the time of
-- what was replayed last.
SELECT clock_timestamp(), pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery()
            THEN coalesce(pg_last_xact_replay_timestamp(), 'epoch') END;

-- name: written :one
-- How far the primary has written. Asked after transactions have ended, it lies behind
-- their commits, also asynchronous ones; fails on a server that is no primary. Where the
-- next record would begin behind a page's header (24 bytes, a segment's first: 40), the
-- end of the last record lies before it, and a standby would not get any further.
SELECT (i.lsn - CASE WHEN mod(i.lsn - '0/0', i.segment) = 40 THEN 40
                     WHEN mod(i.lsn - '0/0', i.page) = 24
                      AND mod(i.lsn - '0/0', i.segment) <> 24 THEN 24
                     ELSE 0 END)::text
  FROM (SELECT pg_current_wal_insert_lsn() AS lsn,
               current_setting('wal_block_size')::numeric AS page,
               pg_size_bytes(current_setting('wal_segment_size'))::numeric AS segment)
       AS i;

-- name: has_replayed :one
-- Whether a hot standby shows everything up to a position of its primary's.
SELECT pg_is_in_recovery()
       AND pg_last_wal_replay_lsn() >= %(position)s::pg_lsn;

-- name: running :many
-- Transactions that run now, without one's own; other databases' are left out.
SELECT l.virtualxid
  FROM pg_catalog.pg_locks AS l
  LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
 WHERE l.locktype = 'virtualxid'
   AND l.mode = 'ExclusiveLock'
   AND l.pid <> pg_backend_pid()
   AND (a.datid IS NULL
        OR a.datid = (SELECT oid FROM pg_catalog.pg_database
                       WHERE datname = current_database()));

-- name: prepared :many
-- Prepared transactions of this database.
SELECT transaction::text
  FROM pg_catalog.pg_prepared_xacts
 WHERE database = current_database();

-- name: holders :many
-- Sessions with the oldest running transactions; details need pg_read_all_stats.
SELECT a.pid, a.application_name, a.state, a.xact_start
  FROM pg_catalog.pg_stat_activity AS a
  JOIN pg_catalog.pg_locks AS l ON l.pid = a.pid
 WHERE l.locktype = 'virtualxid'
   AND l.mode = 'ExclusiveLock'
   AND a.pid <> pg_backend_pid()
   AND a.datname = current_database()
 ORDER BY a.xact_start NULLS FIRST
 LIMIT 3;

-- name: columns :many
-- Columns of a view with their types; no row when the view is missing.
SELECT a.attname, t.typname, n.nspname
  FROM pg_catalog.pg_attribute AS a
  JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
 WHERE a.attrelid = to_regclass(%(view)s)
   AND a.attnum > 0
   AND NOT a.attisdropped
 ORDER BY a.attnum;

-- name: read_purchases :many
-- What the events of these orders hold, as JSON; by key only.
SELECT p.order_key::text, to_json(p)::text
  FROM {purchases} AS p
 WHERE p.order_key = ANY(%(keys)s::text[]::{key_type}[]);

-- name: still_confirmed :many
-- Which of these orders are confirmed now.
SELECT DISTINCT c.order_key::text
  FROM {confirmed} AS c
 WHERE c.order_key = ANY(%(keys)s::text[]::{key_type}[]);

-- name: find_order :many
-- An order by its key or by the number that the customer sees; may scan.
SELECT p.order_key::text
  FROM {purchases} AS p
 WHERE p.order_key::text = %(order)s
    OR p.orderid::text = %(order)s
 LIMIT 2;

-- name: confirmed_at :one
-- When an order was confirmed first; null when it is not.
SELECT min(c.confirmed_at)::timestamptz
  FROM {confirmed} AS c
 WHERE c.order_key = ANY(ARRAY[%(key)s::text]::{key_type}[]);

-- name: confirmed_between :many
-- Orders of a range (lower excluded, upper included), each once. Times that no clock
-- shows (infinity) are left alone. Relies on an index under confirmed_at.
SELECT c.order_key::text COLLATE "C" AS order_key,
       min(c.confirmed_at)::timestamptz AS confirmed_at
  FROM {confirmed} AS c
 WHERE c.confirmed_at > %(lower)s::timestamptz
   AND c.confirmed_at <= %(upper)s::timestamptz
   AND c.confirmed_at < '9999-01-01'
   AND c.order_key IS NOT NULL
 GROUP BY 1

-- name: confirmed_of :many
-- Those of some orders that are confirmed, after the floor. Relies on the orders' key.
SELECT c.order_key::text COLLATE "C" AS order_key,
       min(c.confirmed_at)::timestamptz AS confirmed_at
  FROM {confirmed} AS c
 WHERE c.order_key = ANY(%(keys)s::text[]::{key_type}[])
   AND c.confirmed_at > %(floor)s::timestamptz
   AND c.confirmed_at < '9999-01-01'
 GROUP BY 1

-- name: given :many
-- Orders that were read in another database.
SELECT g.order_key COLLATE "C" AS order_key, g.confirmed_at
  FROM unnest(%(keys)s::text[], %(times)s::timestamptz[])
       AS g (order_key, confirmed_at)

-- name: count_known :one
-- How many of the orders found there are, and how many of them the ledger has.
SELECT count(*), count(l.order_key)
  FROM ({found}) AS f
  LEFT JOIN syncd.ledger AS l
    ON l.feed_id = %(feed)s
   AND l.order_key = f.order_key;

-- name: count_adopted :one
-- Orders after a time that the first start found and did not send.
SELECT count(*)
  FROM syncd.batch AS b
  JOIN syncd.ledger AS l USING (batch_id)
 WHERE b.feed_id = %(feed)s
   AND b.state = 'adopted'
   AND l.confirmed_at > %(lower)s;

-- name: release_adopted :one
-- Makes adopted orders after a time pending in the backfill lane; at most a batch full.
WITH chosen AS (
    SELECT l.order_key, l.confirmed_at, l.batch_id
      FROM syncd.batch AS b
      JOIN syncd.ledger AS l USING (batch_id)
     WHERE b.feed_id = %(feed)s
       AND b.state = 'adopted'
       AND l.confirmed_at > %(lower)s
     ORDER BY l.confirmed_at, l.order_key
     LIMIT %(size)s
       FOR NO KEY UPDATE OF l
), target AS (
    INSERT INTO syncd.batch (feed_id, lane, orders, oldest_at)
    SELECT %(feed)s, 'backfill', count(*), min(confirmed_at)
      FROM chosen
    HAVING count(*) > 0
    RETURNING batch_id
), moved AS (
    UPDATE syncd.ledger AS l
       SET batch_id = t.batch_id
      FROM chosen AS c, target AS t
     WHERE l.feed_id = %(feed)s
       AND l.order_key = c.order_key
), emptied AS (
    UPDATE syncd.batch AS b
       SET orders = b.orders - c.orders
      FROM (SELECT batch_id, count(*) AS orders FROM chosen GROUP BY batch_id) AS c
     WHERE b.batch_id = c.batch_id
)
SELECT count(*)
  FROM chosen;

-- name: page_end :one
-- Where a page of a range ends: at a whole instant, so that equal times stay together.
SELECT coalesce(
         (SELECT c.confirmed_at::timestamptz
            FROM {confirmed} AS c
           WHERE c.confirmed_at > %(lower)s::timestamptz
             AND c.confirmed_at <= %(upper)s::timestamptz
           ORDER BY c.confirmed_at
          OFFSET %(page)s
           LIMIT 1),
         %(upper)s::timestamptz);

-- name: plan_window :one
-- How the server would look for newly confirmed orders.
EXPLAIN (FORMAT JSON)
SELECT c.order_key, c.confirmed_at
  FROM {confirmed} AS c
 WHERE c.confirmed_at > %(lower)s::timestamptz;

-- name: plan_read :one
-- How the server would read the events of some orders.
EXPLAIN (FORMAT JSON)
SELECT to_json(p)::text
  FROM {purchases} AS p
 WHERE p.order_key = ANY(%(keys)s::text[]::{key_type}[]);

-- name: sample_keys :many
-- The orders confirmed last.
SELECT c.order_key::text, c.confirmed_at::timestamptz
  FROM {confirmed} AS c
 WHERE c.confirmed_at > %(lower)s::timestamptz
   AND c.confirmed_at < '9999-01-01'
 ORDER BY c.confirmed_at DESC
 LIMIT %(limit)s;

-- name: identity :one
-- Which cluster and database this is.
SELECT s.system_identifier, d.oid::bigint
  FROM pg_catalog.pg_control_system() AS s,
       pg_catalog.pg_database AS d
 WHERE d.datname = current_database();

-- name: has_ledger :one
SELECT to_regclass('syncd.migration') IS NOT NULL;

-- name: migrations :many
-- Which migrations the ledger has; fails where there is no ledger.
SELECT version
  FROM syncd.migration
 ORDER BY version;

-- name: find_feed :many
-- The feed, if it was started.
SELECT f.feed_id, f.started_at, f.floor_at,
       f.system_identifier, f.database_oid::bigint,
       f.ledger_identifier, f.ledger_oid::bigint
  FROM syncd.feed AS f
 WHERE f.feed = %(feed)s;

-- name: accept_copy :rows
-- Binds the feed to the database that it is in now.
UPDATE syncd.feed
   SET system_identifier = %(system)s,
       database_oid = %(database)s::bigint::oid,
       ledger_identifier = %(ledger_system)s,
       ledger_oid = %(ledger_database)s::bigint::oid,
       timeline = NULL,
       accepted_at = clock_timestamp(),
       lost_from = least(marked_at, clock_timestamp()) - interval '1 hour',
       lost_until = clock_timestamp()
 WHERE feed = %(feed)s;

-- name: lineage :one
-- A ledger's last mark, its cluster's timeline at that time and now, and since when what
-- a daemon remembers counts; fails on a hot standby.
SELECT s.system_identifier, f.ledger_oid::bigint, f.mark,
       coalesce(f.marked_at, f.started_at), coalesce(f.timeline, t.timeline),
       t.timeline, greatest(f.started_at, f.accepted_at)
  FROM syncd.feed AS f,
       pg_catalog.pg_control_system() AS s,
       (SELECT ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
               )::bit(32)::integer AS timeline) AS t
 WHERE f.feed_id = %(feed)s;

-- name: knows_host :one
-- Whether a daemon of this host has served the feed before.
SELECT EXISTS (SELECT
                 FROM syncd.instance AS i
                WHERE i.feed_id = %(feed)s
                  AND split_part(i.host, '/', 1) = %(host)s);

-- name: mark_feed :rows
UPDATE syncd.feed
   SET mark = mark + 1,
       marked_at = clock_timestamp(),
       timeline = ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
                  )::bit(32)::integer
 WHERE feed_id = %(feed)s;

-- name: note_promotion :many
-- Notes, once, that the cluster has a newer timeline than the feed: what is pending may
-- have been sent by a claim that was lost, and is counted as uncertain.
WITH moved AS (
    UPDATE syncd.feed AS f
       SET timeline = t.timeline,
           lost_from = clock_timestamp() - interval '1 day',
           lost_until = clock_timestamp()
      FROM (SELECT ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
                   )::bit(32)::integer AS timeline) AS t
     WHERE f.feed_id = %(feed)s
       AND f.timeline < t.timeline
    RETURNING f.feed_id, f.timeline
), doubted AS (
    UPDATE syncd.batch AS b
       SET uncertain = b.uncertain + 1
      FROM moved AS m
     WHERE b.feed_id = m.feed_id
       AND b.state = 'pending'
    RETURNING b.orders
)
SELECT m.timeline, (SELECT coalesce(sum(d.orders), 0) FROM doubted AS d)
  FROM moved AS m;

-- name: start_feed :many
-- Starts a feed at "now"; no row when another instance was first.
INSERT INTO syncd.feed
       (feed, started_at, floor_at, system_identifier, database_oid,
        ledger_identifier, ledger_oid)
VALUES (%(feed)s, %(started_at)s, %(floor)s, %(system)s, %(database)s::bigint::oid,
        %(ledger_system)s, %(ledger_database)s::bigint::oid)
    ON CONFLICT (feed) DO NOTHING
RETURNING feed_id;

-- name: start_watermark :none
INSERT INTO syncd.watermark (feed_id, confirmed_at)
VALUES (%(feed)s, %(watermark)s);

-- name: start_endpoint :none
INSERT INTO syncd.endpoint (feed_id)
VALUES (%(feed)s);

-- name: watermark :one
SELECT confirmed_at, moved_at
  FROM syncd.watermark
 WHERE feed_id = %(feed)s;

-- name: lock_watermark :one
-- Takes the lock under which orders are admitted, for the rest of the transaction.
SELECT confirmed_at
  FROM syncd.watermark
 WHERE feed_id = %(feed)s
   FOR NO KEY UPDATE;

-- name: move_watermark :rows
-- Moves the watermark forward; changes no row when that would go backwards.
UPDATE syncd.watermark
   SET confirmed_at = %(upper)s,
       moved_at = clock_timestamp()
 WHERE feed_id = %(feed)s
   AND confirmed_at < %(upper)s;

-- name: admit :one
-- Writes those of the orders found that are new, or withdrawn and confirmed again, into
-- the ledger and cuts them into batches, in order of confirmation; the last batch is
-- topped up if nobody has claimed it. Those of a time of which the ledger may have lost
-- what it knew count as uncertain. Runs under lock_watermark, so that no two
-- admissions of a feed overlap. Relies on ledger_order_once.
WITH lost AS MATERIALIZED (
    SELECT f.lost_from, f.lost_until
      FROM syncd.feed AS f
     WHERE f.feed_id = %(feed)s
       AND f.lost_until IS NOT NULL
       AND %(capture)s NOT IN ('start', 'backfill')
), tail AS MATERIALIZED (
    SELECT b.batch_id, %(size)s - b.orders AS room
      FROM syncd.batch AS b
     WHERE b.batch_id = (SELECT max(p.batch_id)
                           FROM syncd.batch AS p
                          WHERE p.feed_id = %(feed)s
                            AND p.lane = %(lane)s
                            AND p.state = 'pending')
       AND b.state = 'pending'
       AND %(state)s = 'pending'
       AND b.attempts = 0
       AND b.due_at = '-infinity'
       AND b.refused_at IS NULL
       AND b.uncertain = 0
       AND b.orders < %(size)s
       FOR NO KEY UPDATE SKIP LOCKED
), found AS MATERIALIZED (
    SELECT f.order_key, f.confirmed_at,
           row_number() OVER (ORDER BY f.confirmed_at, f.order_key) - 1 AS place
      FROM ({found}) AS f
     WHERE NOT EXISTS (SELECT
                         FROM syncd.ledger AS l
                        WHERE l.feed_id = %(feed)s
                          AND l.order_key = f.order_key
                          AND l.state IS DISTINCT FROM 'withdrawn')
), placed AS (
    SELECT f.order_key, f.confirmed_at,
           CASE WHEN f.place < t.room THEN 0
                ELSE 1 + (f.place - t.room) / %(size)s END AS slot
      FROM found AS f,
           (SELECT coalesce(max(room), 0) AS room
              FROM tail
             WHERE NOT EXISTS (SELECT
                                 FROM found AS d, lost
                                WHERE d.confirmed_at > lost.lost_from
                                  AND d.confirmed_at <= lost.lost_until)) AS t
), slots AS MATERIALIZED (
    SELECT s.slot, s.orders, s.oldest_at,
           CASE WHEN s.slot = 0 THEN (SELECT batch_id FROM tail)
                ELSE nextval('syncd.batch_batch_id_seq') END AS batch_id
      FROM (SELECT slot, count(*) AS orders, min(confirmed_at) AS oldest_at
              FROM placed
             GROUP BY slot
             ORDER BY slot) AS s
), topped AS (
    UPDATE syncd.batch AS b
       SET orders = b.orders + s.orders,
           oldest_at = least(b.oldest_at, s.oldest_at)
      FROM slots AS s
     WHERE s.slot = 0
       AND b.batch_id = s.batch_id
), cut AS (
    INSERT INTO syncd.batch
           (batch_id, feed_id, lane, state, orders, oldest_at, uncertain, settled_at)
    SELECT s.batch_id, %(feed)s, %(lane)s, %(state)s, s.orders, s.oldest_at,
           (SELECT count(*)
              FROM lost
             WHERE s.oldest_at > lost.lost_from
               AND s.oldest_at <= lost.lost_until),
           CASE WHEN %(state)s = 'adopted' THEN clock_timestamp() END
      FROM slots AS s
     WHERE s.slot > 0
), entered AS (
    INSERT INTO syncd.ledger AS l
           (feed_id, order_key, confirmed_at, batch_id, capture)
    SELECT %(feed)s, p.order_key, p.confirmed_at, s.batch_id, %(capture)s
      FROM placed AS p
      JOIN slots AS s USING (slot)
     ORDER BY p.confirmed_at, p.order_key
        ON CONFLICT ON CONSTRAINT ledger_order_once DO UPDATE
       SET confirmed_at = excluded.confirmed_at,
           batch_id = excluded.batch_id,
           capture = excluded.capture,
           state = NULL,
           reason = NULL,
           waiting_since = NULL
     WHERE l.state = 'withdrawn'
)
SELECT count(*), coalesce((array_agg(order_key ORDER BY confirmed_at, order_key))
                          [1:%(named)s], '{{}}')
  FROM placed;

-- name: start_instance :one
INSERT INTO syncd.instance (feed_id, host, pid)
VALUES (%(feed)s, %(host)s, %(pid)s)
RETURNING instance_id;

-- name: stop_instance :rows
UPDATE syncd.instance
   SET stopped_at = clock_timestamp()
 WHERE instance_id = %(instance)s;

-- name: hold_instance_lock :one
-- The lock that says "alive"; PostgreSQL frees it when the connection ends.
SELECT pg_try_advisory_lock(1937337955, %(instance)s);

-- name: unlocked_claimants :many
-- Instances that hold claims but no longer their lock.
SELECT DISTINCT i.instance_id, i.host, i.pid, i.stopped_at IS NOT NULL
  FROM syncd.batch AS b
  JOIN syncd.instance AS i USING (instance_id)
 WHERE b.feed_id = %(feed)s
   AND b.state = 'sending'
   AND NOT EXISTS (SELECT
                     FROM pg_catalog.pg_locks AS l
                    WHERE l.locktype = 'advisory'
                      AND l.classid = 1937337955
                      AND l.objid = i.instance_id::oid
                      AND l.granted);

-- name: take_over :many
-- Frees claims past their lease or of instances known to be dead. What became of their
-- attempt is unknown: it is counted as uncertain and sent again.
WITH freed AS (
    UPDATE syncd.batch AS b
       SET state = 'pending',
           uncertain = b.uncertain + 1,
           instance_id = NULL,
           lease_until = NULL
     WHERE b.feed_id = %(feed)s
       AND b.state = 'sending'
       AND (b.lease_until < clock_timestamp() OR b.instance_id = ANY(%(dead)s))
    RETURNING b.batch_id, b.attempts, b.orders
), closed AS (
    UPDATE syncd.attempt AS a
       SET outcome = 'uncertain',
           settled_at = clock_timestamp(),
           reason = 'the instance ended or its lease passed'
      FROM freed AS f
     WHERE a.batch_id = f.batch_id
       AND a.attempt = f.attempts
       AND a.settled_at IS NULL
)
SELECT batch_id, attempts, orders
  FROM freed
 ORDER BY batch_id;

-- name: claim :many
-- Takes the oldest due batch of a lane, unless the endpoint is to be left alone.
-- Relies on batch_due; the batch being topped up is skipped for that moment.
WITH due AS (
    SELECT b.batch_id
      FROM syncd.batch AS b
     WHERE b.feed_id = %(feed)s
       AND b.lane = %(lane)s
       AND b.state = 'pending'
       AND b.due_at <= clock_timestamp()
       AND EXISTS (SELECT
                     FROM syncd.endpoint AS e
                    WHERE e.feed_id = %(feed)s
                      AND e.retry_at <= clock_timestamp())
     ORDER BY b.batch_id
     LIMIT 1
       FOR NO KEY UPDATE SKIP LOCKED
), claimed AS (
    UPDATE syncd.batch AS b
       SET state = 'sending',
           attempts = b.attempts + 1,
           instance_id = %(instance)s,
           lease_until = clock_timestamp() + %(lease)s
      FROM due
     WHERE b.batch_id = due.batch_id
    RETURNING b.batch_id, b.attempts, b.uncertain, b.refused_at
), opened AS (
    INSERT INTO syncd.attempt (batch_id, attempt, instance_id)
    SELECT batch_id, attempts, %(instance)s
      FROM claimed
)
SELECT batch_id, attempts, uncertain, refused_at, clock_timestamp()
  FROM claimed;

-- name: claimed_orders :many
-- Orders of a claimed batch as confirmed. A statement after `claim`: orders added to
-- the batch between that one's snapshot and its lock would be missing from it.
SELECT l.order_key, l.confirmed_at, l.waiting_since
  FROM syncd.ledger AS l
 WHERE l.batch_id = %(batch)s
   AND l.state IS NULL
 ORDER BY l.confirmed_at, l.order_key;

-- name: next_due :one
-- Seconds until something may be claimed; null when nothing waits.
SELECT extract(epoch FROM min(greatest(b.due_at, e.retry_at, clock_timestamp()))
                          - clock_timestamp())::float8
  FROM syncd.batch AS b
  JOIN syncd.endpoint AS e USING (feed_id)
 WHERE b.feed_id = %(feed)s
   AND b.state = 'pending';

-- name: except_orders :rows
-- Sets orders of a claimed batch aside with their reason.
WITH fenced AS (
    SELECT b.batch_id
      FROM syncd.batch AS b
     WHERE b.batch_id = %(batch)s
       AND b.state = 'sending'
       AND b.attempts = %(attempt)s
       FOR NO KEY UPDATE
), excepted AS (
    UPDATE syncd.ledger AS l
       SET state = x.state,
           reason = x.reason,
           orderid = x.orderid
      FROM fenced,
           unnest(%(keys)s::text[], %(states)s::text[], %(reasons)s::text[],
                  %(orderids)s::text[]) AS x (order_key, state, reason, orderid)
     WHERE l.feed_id = %(feed)s
       AND l.order_key = x.order_key
       AND l.batch_id = %(batch)s
       AND l.state IS NULL
    RETURNING l.order_key
)
UPDATE syncd.batch AS b
   SET orders = b.orders - (SELECT count(*) FROM excepted)
  FROM fenced
 WHERE b.batch_id = fenced.batch_id;

-- name: move_orders :rows
-- Moves orders of a claimed batch into a new one: later (not ready), or now (split).
WITH fenced AS (
    SELECT b.batch_id, b.feed_id, b.lane, b.uncertain
      FROM syncd.batch AS b
     WHERE b.batch_id = %(batch)s
       AND b.state = 'sending'
       AND b.attempts = %(attempt)s
       FOR NO KEY UPDATE
), target AS (
    INSERT INTO syncd.batch
           (feed_id, lane, orders, oldest_at, due_at, uncertain, refused_at)
    SELECT f.feed_id, f.lane, count(*), min(l.confirmed_at),
           coalesce(clock_timestamp() + %(wait)s::interval, '-infinity'),
           max(f.uncertain) + %(uncertain)s,
           CASE WHEN %(refused)s THEN clock_timestamp() END
      FROM fenced AS f
      JOIN syncd.ledger AS l ON l.batch_id = f.batch_id AND l.state IS NULL
     WHERE l.order_key = ANY(%(keys)s)
     GROUP BY f.feed_id, f.lane
    RETURNING batch_id
), moved AS (
    UPDATE syncd.ledger AS l
       SET batch_id = t.batch_id,
           waiting_since = CASE WHEN %(waits)s
                                THEN coalesce(l.waiting_since, clock_timestamp()) END
      FROM target AS t
     WHERE l.batch_id = %(batch)s
       AND l.state IS NULL
       AND l.order_key = ANY(%(keys)s)
    RETURNING l.order_key
)
UPDATE syncd.batch AS b
   SET orders = b.orders - (SELECT count(*) FROM moved)
  FROM fenced
 WHERE b.batch_id = fenced.batch_id;

-- name: dissolve :rows
-- Ends a claimed batch that no order shares any more.
WITH ended AS (
    UPDATE syncd.batch
       SET state = 'dissolved',
           settled_at = clock_timestamp(),
           instance_id = NULL,
           lease_until = NULL
     WHERE batch_id = %(batch)s
       AND state = 'sending'
       AND attempts = %(attempt)s
       AND orders = 0
    RETURNING batch_id
)
UPDATE syncd.attempt AS a
   SET outcome = %(outcome)s,
       settled_at = clock_timestamp(),
       status = %(status)s,
       reason = %(reason)s,
       sent = %(sent)s
  FROM ended
 WHERE a.batch_id = ended.batch_id
   AND a.attempt = %(attempt)s;

-- name: deliver :one
-- Settles an accepted attempt, also a late one whose claim was taken over meanwhile;
-- returns the orders that became delivered by it (0 when they were already).
WITH receipt AS (
    UPDATE syncd.attempt
       SET outcome = 'accepted',
           settled_at = clock_timestamp(),
           status = %(status)s,
           reason = NULL,
           sent = %(sent)s,
           body_sha256 = %(sha256)s,
           orderids = %(orderids)s
     WHERE batch_id = %(batch)s
       AND attempt = %(attempt)s
), healthy AS (
    UPDATE syncd.endpoint
       SET since = CASE WHEN state = 'open' THEN since ELSE clock_timestamp() END,
           state = 'open',
           failures = 0,
           refusals = 0,
           retry_at = '-infinity',
           reason = NULL,
           accepted_at = clock_timestamp()
     WHERE feed_id = %(feed)s
), settled AS (
    UPDATE syncd.batch
       SET state = 'delivered',
           settled_at = clock_timestamp(),
           instance_id = NULL,
           lease_until = NULL
     WHERE batch_id = %(batch)s
       AND state IN ('sending', 'pending')
    RETURNING orders
)
SELECT coalesce(sum(orders), 0)
  FROM settled;

-- name: put_back :rows
-- Makes a claimed batch pending again after an attempt that did not succeed.
WITH freed AS (
    UPDATE syncd.batch
       SET state = 'pending',
           due_at = coalesce(clock_timestamp() + %(wait)s::interval, '-infinity'),
           uncertain = uncertain + %(uncertain)s,
           refused_at = coalesce(
               refused_at, CASE WHEN %(refused)s THEN clock_timestamp() END),
           instance_id = NULL,
           lease_until = NULL
     WHERE batch_id = %(batch)s
       AND state = 'sending'
       AND attempts = %(attempt)s
    RETURNING batch_id
)
UPDATE syncd.attempt AS a
   SET outcome = %(outcome)s,
       settled_at = clock_timestamp(),
       status = %(status)s,
       reason = %(reason)s,
       sent = %(sent)s,
       body_sha256 = %(sha256)s,
       orderids = %(orderids)s
  FROM freed
 WHERE a.batch_id = freed.batch_id
   AND a.attempt = %(attempt)s;

-- name: endpoint :one
SELECT state, failures, refusals, reason, since, accepted_at
  FROM syncd.endpoint
 WHERE feed_id = %(feed)s;

-- name: endpoint_failed :rows
-- The endpoint is to be left alone until `retry_at`.
UPDATE syncd.endpoint
   SET since = CASE WHEN state = %(state)s THEN since ELSE clock_timestamp() END,
       state = %(state)s,
       failures = failures + 1,
       retry_at = clock_timestamp() + %(wait)s,
       reason = %(reason)s
 WHERE feed_id = %(feed)s;

-- name: endpoint_refused :one
-- Counts a refusal by an endpoint that answers.
UPDATE syncd.endpoint
   SET refusals = refusals + %(refusals)s
 WHERE feed_id = %(feed)s
RETURNING refusals, accepted_at;

-- name: release_endpoint :rows
-- Tries again at once, whatever the endpoint said before.
UPDATE syncd.endpoint
   SET state = 'open',
       failures = 0,
       refusals = 0,
       retry_at = '-infinity',
       reason = NULL,
       since = clock_timestamp()
 WHERE feed_id = %(feed)s
   AND state <> 'open';

-- name: pulse :one
-- How the feed stands. Relies on batch_due, batch_claimed and ledger_exception.
SELECT w.confirmed_at, clock_timestamp(),
       e.state, e.reason, e.since,
       (SELECT coalesce(sum(b.orders), 0) FROM syncd.batch AS b
         WHERE b.feed_id = w.feed_id AND b.state = 'pending' AND b.lane = 'live'),
       (SELECT coalesce(sum(b.orders), 0) FROM syncd.batch AS b
         WHERE b.feed_id = w.feed_id AND b.state = 'pending' AND b.lane = 'backfill'),
       (SELECT coalesce(sum(b.orders), 0) FROM syncd.batch AS b
         WHERE b.feed_id = w.feed_id AND b.state = 'sending'),
       least((SELECT min(b.oldest_at) FROM syncd.batch AS b
               WHERE b.feed_id = w.feed_id AND b.state = 'pending' AND b.lane = 'live'),
             (SELECT min(b.oldest_at) FROM syncd.batch AS b
               WHERE b.feed_id = w.feed_id AND b.state = 'sending'
                 AND b.lane = 'live')),
       (SELECT count(*) FROM syncd.ledger AS l
         WHERE l.feed_id = w.feed_id AND l.state = 'rejected'),
       (SELECT count(*) FROM syncd.ledger AS l
         WHERE l.feed_id = w.feed_id AND l.state = 'withdrawn')
  FROM syncd.watermark AS w
  JOIN syncd.endpoint AS e USING (feed_id)
 WHERE w.feed_id = %(feed)s;

-- name: totals :one
-- Sums over all batches; for people, not for every heartbeat.
SELECT coalesce(sum(orders) FILTER (WHERE state = 'delivered'), 0),
       coalesce(sum(orders) FILTER (WHERE state = 'adopted'), 0),
       coalesce(sum(uncertain), 0),
       coalesce(sum(orders) FILTER (WHERE uncertain > 0), 0),
       max(settled_at) FILTER (WHERE state = 'delivered')
  FROM syncd.batch
 WHERE feed_id = %(feed)s;

-- name: rejected :many
-- Orders set aside, newest confirmation last.
SELECT order_key, coalesce(orderid, ''), state, reason, confirmed_at
  FROM syncd.ledger
 WHERE feed_id = %(feed)s
   AND state = ANY(%(states)s)
 ORDER BY confirmed_at, order_key
 LIMIT %(limit)s;

-- name: retry_rejected :one
-- Makes orders that were set aside pending again, in one new batch; at most a batch full.
WITH chosen AS (
    SELECT l.order_key, l.confirmed_at
      FROM syncd.ledger AS l
     WHERE l.feed_id = %(feed)s
       AND l.state IN ('rejected', 'withdrawn')
       AND (%(all)s OR l.order_key = ANY(%(orders)s) OR l.orderid = ANY(%(orders)s))
     ORDER BY l.confirmed_at, l.order_key
     LIMIT %(size)s
       FOR NO KEY UPDATE
), target AS (
    INSERT INTO syncd.batch (feed_id, lane, orders, oldest_at)
    SELECT %(feed)s, 'live', count(*), min(confirmed_at)
      FROM chosen
    HAVING count(*) > 0
    RETURNING batch_id
), revived AS (
    UPDATE syncd.ledger AS l
       SET state = NULL, reason = NULL, waiting_since = NULL, batch_id = t.batch_id
      FROM chosen AS c, target AS t
     WHERE l.feed_id = %(feed)s
       AND l.order_key = c.order_key
    RETURNING l.order_key
)
SELECT count(*)
  FROM revived;

-- name: story :many
-- Where an order stands, with every attempt of its batch.
SELECT l.order_key, l.orderid, l.confirmed_at, l.state, l.reason, l.waiting_since,
       b.batch_id, b.lane, b.state, b.created_at, b.uncertain, b.settled_at,
       a.attempt, a.started_at, a.settled_at, a.outcome, a.status, a.reason, a.sent
  FROM syncd.ledger AS l
  JOIN syncd.batch AS b USING (batch_id)
  LEFT JOIN syncd.attempt AS a USING (batch_id)
 WHERE l.feed_id = %(feed)s
   AND l.order_key = %(key)s
 ORDER BY a.attempt;

-- name: start_backfill :one
INSERT INTO syncd.backfill (feed_id, lower_at, upper_at, reached_at)
VALUES (%(feed)s, %(lower)s, %(upper)s, %(lower)s)
RETURNING backfill_id;

-- name: advance_backfill :rows
UPDATE syncd.backfill
   SET reached_at = %(reached)s,
       orders = orders + %(orders)s,
       finished_at = CASE WHEN %(reached)s >= upper_at THEN clock_timestamp() END
 WHERE backfill_id = %(backfill)s;

-- name: server :one
-- What a replication slot needs of the server. The clock is read before the position:
-- whatever committed by then lies at or before it.
SELECT current_setting('server_version_num')::integer,
       pg_is_in_recovery(),
       current_setting('wal_level'),
       (SELECT setting::bigint FROM pg_catalog.pg_settings
         WHERE name = 'max_slot_wal_keep_size'),
       coalesce((SELECT setting::bigint FROM pg_catalog.pg_settings
                  WHERE name = 'idle_replication_slot_timeout'), 0),
       (SELECT count(*) FROM pg_catalog.pg_replication_slots)
         < current_setting('max_replication_slots')::integer,
       clock_timestamp();

-- name: slot :many
-- A slot, if there is one; positions in bytes since 0/0.
SELECT s.plugin, s.database, s.database = current_database(), s.active_pid,
       s.wal_status, to_jsonb(s) ->> 'invalidation_reason',
       (s.confirmed_flush_lsn - '0/0')::bigint,
       (CASE WHEN pg_is_in_recovery() THEN NULL
             ELSE pg_current_wal_lsn() - s.restart_lsn END)::bigint,
       s.safe_wal_size,
       coalesce((to_jsonb(s) ->> 'failover')::boolean, false),
       coalesce((to_jsonb(s) ->> 'synced')::boolean, false)
  FROM pg_catalog.pg_replication_slots AS s
 WHERE s.slot_name = %(slot)s;

-- name: written :one
-- Up to where the server has written; the clock is read first.
SELECT clock_timestamp(), (pg_current_wal_insert_lsn() - '0/0')::bigint;

-- name: snapshot :one
-- Which transactions a statement sees that begins after this one.
SELECT pg_current_snapshot()::text;

-- name: stream :many
-- How far a feed has read its slot, in bytes since 0/0, and since when that is true.
SELECT (reached - '0/0')::bigint, reached_at
  FROM syncd.stream
 WHERE feed_id = %(feed)s;

-- name: move_stream :none
-- Notes how far the slot was read; in the transaction of the orders that it brought.
INSERT INTO syncd.stream AS s (feed_id, reached, reached_at)
VALUES (%(feed)s, '0/0'::pg_lsn + %(reached)s::numeric, %(reached_at)s)
    ON CONFLICT ON CONSTRAINT stream_once DO UPDATE
   SET reached = excluded.reached,
       reached_at = greatest(s.reached_at, excluded.reached_at);

-- name: commit_durably :many
-- What is acknowledged to the slot must survive a crash of the ledger's server.
SELECT set_config('synchronous_commit', 'local', true)
 WHERE current_setting('synchronous_commit') = 'off';

-- name: start_replication :none
START_REPLICATION SLOT {slot} LOGICAL 0/0
      (proto_version '1', publication_names {publications});

-- name: publication :many
-- A publication's flags, and its note of the key columns.
SELECT p.puballtables, p.pubinsert, p.pubupdate, p.pubviaroot,
       obj_description(p.oid, 'pg_publication')
  FROM pg_catalog.pg_publication AS p
 WHERE p.pubname = %(publication)s;

-- name: published :many
-- The tables of a publication: the columns that travel (null: all), a row filter or not.
SELECT r.prrelid::bigint, n.nspname, c.relname,
       (SELECT array_agg(a.attname::text)
          FROM jsonb_array_elements_text(nullif(to_jsonb(r) -> 'prattrs', 'null'))
                AS e (attnum)
          JOIN pg_catalog.pg_attribute AS a
            ON a.attrelid = r.prrelid AND a.attnum = e.attnum::smallint),
       to_jsonb(r) ->> 'prqual' IS NOT NULL
  FROM pg_catalog.pg_publication AS p
  JOIN pg_catalog.pg_publication_rel AS r ON r.prpubid = p.oid
  JOIN pg_catalog.pg_class AS c ON c.oid = r.prrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE p.pubname = %(publication)s
 ORDER BY 2, 3;

-- name: find_table :many
-- A table by name: its kind, and the type of one of its columns (null: no such column).
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind, c.relpersistence,
       EXISTS (SELECT FROM pg_catalog.pg_inherits AS i
                WHERE i.inhparent = c.oid AND c.relkind = 'r'),
       (SELECT format_type(CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END,
                           NULL)
          FROM pg_catalog.pg_attribute AS a
          JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
         WHERE a.attrelid = c.oid
           AND a.attname = %(column)s
           AND a.attnum > 0
           AND NOT a.attisdropped)
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = to_regclass(%(table)s);

-- name: key_type :many
-- The type of a view's order_key.
SELECT format_type(CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END, NULL)
  FROM pg_catalog.pg_attribute AS a
  JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
 WHERE a.attrelid = to_regclass(%(view)s)
   AND a.attname = 'order_key';

-- name: identities :many
-- How the rows of a table are named when they are updated, for the table itself and its
-- partitions: d default, i index, f full, n nothing; and by which columns. A deferrable
-- key does not count, as it does not for PostgreSQL.
SELECT c.oid::regclass::text, c.relkind = 'p', c.relreplident,
       coalesce((SELECT array_agg(a.attname::text ORDER BY a.attnum)
                   FROM pg_catalog.pg_index AS i
                   JOIN pg_catalog.pg_attribute AS a
                     ON a.attrelid = i.indrelid
                    AND a.attnum = ANY((i.indkey::smallint[])[0:i.indnkeyatts - 1])
                  WHERE i.indrelid = c.oid
                    AND i.indisvalid
                    AND i.indimmediate
                    AND CASE c.relreplident WHEN 'i' THEN i.indisreplident
                                            ELSE i.indisprimary END),
                '{{}}')
  FROM (SELECT %(table)s::bigint::oid AS relid
         UNION
        SELECT relid::oid FROM pg_partition_tree(%(table)s::bigint::oid::regclass)) AS t
  JOIN pg_catalog.pg_class AS c ON c.oid = t.relid
 ORDER BY c.relkind = 'p' DESC, 1;

-- name: may_replicate :many
-- Whether a role may read a slot; no row when there is no such role.
SELECT rolreplication OR rolsuper
  FROM pg_catalog.pg_roles
 WHERE rolname = %(role)s;
