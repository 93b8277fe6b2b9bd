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
-- When an order was confirmed first; null when it is not, or at no time that a clock
-- shows.
SELECT min(c.confirmed_at)::timestamptz
  FROM {confirmed} AS c
 WHERE c.order_key = ANY(ARRAY[%(key)s::text]::{key_type}[])
   AND c.confirmed_at >= '0001-01-02'
   AND c.confirmed_at < '9999-01-01';

-- name: count_timeless :one
-- Orders confirmed at no time that a clock shows (infinity, long before or after us).
SELECT count(*)
  FROM {confirmed} AS c
 WHERE c.confirmed_at < '0001-01-02'
    OR c.confirmed_at >= '9999-01-01';

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

-- name: gather :one
-- Orders found, as two texts: for another database, without a look at each in between.
SELECT coalesce(array_agg(f.order_key), '{{}}')::text,
       coalesce(array_agg(f.confirmed_at), '{{}}')::text
  FROM ({found}) AS f;

-- name: given :many
-- Orders that were gathered in another database.
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

-- name: keep_verification :rows
INSERT INTO syncd.verification
       (feed, account, endpoint, body, takes_lists, said_by)
VALUES (%(feed)s, %(account)s, %(endpoint)s, %(body)s, %(takes_lists)s, %(said_by)s)
    ON CONFLICT ON CONSTRAINT verification_once DO UPDATE
   SET account = excluded.account,
       endpoint = excluded.endpoint,
       body = excluded.body,
       takes_lists = excluded.takes_lists,
       said_by = excluded.said_by,
       verified_at = clock_timestamp();

-- name: verification :many
-- What is known of an account at an endpoint.
SELECT body, takes_lists, said_by, verified_at
  FROM syncd.verification
 WHERE feed = %(feed)s
   AND account = %(account)s
   AND endpoint = %(endpoint)s;

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
-- attempt is unknown: it is counted as uncertain, and sent again or held for a person.
WITH freed AS (
    UPDATE syncd.batch AS b
       SET state = CASE WHEN %(holds)s THEN 'held' ELSE 'pending' END,
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
-- Takes the oldest due batch of a lane, unless the endpoint is to be left alone. After
-- trouble one claim at a time, of all instances, probes the endpoint: it moves retry_at
-- to its lease's end, and whoever waited for that row finds it moved. While a batch is
-- doubted, that one is the probe. Relies on batch_due; the batch being topped up is
-- skipped for that moment.
WITH due AS (
    SELECT b.batch_id, e.state <> 'open' AS probes
      FROM syncd.batch AS b
      JOIN (SELECT p.feed_id, p.state, p.retry_at,
                   (SELECT d.batch_id
                      FROM syncd.batch AS d
                     WHERE d.batch_id = p.doubted_batch
                       AND d.state IN ('pending', 'sending')) AS doubted
              FROM syncd.endpoint AS p) AS e USING (feed_id)
     WHERE b.feed_id = %(feed)s
       AND b.lane = %(lane)s
       AND b.state = 'pending'
       AND b.due_at <= clock_timestamp()
       AND e.retry_at <= clock_timestamp()
       AND (e.doubted IS NULL OR e.doubted = b.batch_id)
     ORDER BY b.batch_id
     LIMIT 1
       FOR NO KEY UPDATE OF b SKIP LOCKED
), probe AS (
    UPDATE syncd.endpoint AS e
       SET retry_at = clock_timestamp() + %(lease)s
      FROM due
     WHERE e.feed_id = %(feed)s
       AND e.state <> 'open'
       AND e.retry_at <= clock_timestamp()
    RETURNING e.feed_id
), claimed AS (
    UPDATE syncd.batch AS b
       SET state = 'sending',
           attempts = b.attempts + 1,
           instance_id = %(instance)s,
           lease_until = clock_timestamp() + %(lease)s
      FROM due
     WHERE b.batch_id = due.batch_id
       AND (NOT due.probes OR EXISTS (SELECT FROM probe))
    RETURNING b.batch_id, b.attempts, b.uncertain, b.refused_at, due.probes
), opened AS (
    INSERT INTO syncd.attempt (batch_id, attempt, instance_id)
    SELECT batch_id, attempts, %(instance)s
      FROM claimed
)
SELECT batch_id, attempts, uncertain, refused_at, probes, clock_timestamp()
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
  JOIN (SELECT p.feed_id, p.retry_at,
               (SELECT d.batch_id
                  FROM syncd.batch AS d
                 WHERE d.batch_id = p.doubted_batch
                   AND d.state IN ('pending', 'sending')) AS doubted
          FROM syncd.endpoint AS p) AS e USING (feed_id)
 WHERE b.feed_id = %(feed)s
   AND b.state = 'pending'
   AND (e.doubted IS NULL OR e.doubted = b.batch_id);

-- name: renew :rows
-- Begins the lease anew, unless the claim was taken over.
UPDATE syncd.batch
   SET lease_until = clock_timestamp() + %(lease)s
 WHERE batch_id = %(batch)s
   AND state = 'sending'
   AND attempts = %(attempt)s;

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
), departed AS (
    INSERT INTO syncd.departure (feed_id, order_key, batch_id, why)
    SELECT f.feed_id, m.order_key, f.batch_id,
           CASE WHEN %(waits)s THEN 'waiting' ELSE 'split' END
      FROM fenced AS f, moved AS m
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
       sent = %(sent)s,
       body_sha256 = %(sha256)s,
       orderids = %(orderids)s
  FROM ended
 WHERE a.batch_id = ended.batch_id
   AND a.attempt = %(attempt)s;

-- name: deliver :one
-- Settles an accepted attempt, also a late one whose claim was taken over meanwhile;
-- returns the orders that became delivered by it (0 when they were already). While a
-- batch is doubted, only its own success proves the endpoint fine.
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
    UPDATE syncd.endpoint AS e
       SET since = CASE WHEN e.state = 'open' OR d.doubts THEN e.since
                        ELSE clock_timestamp() END,
           state = CASE WHEN d.doubts THEN e.state ELSE 'open' END,
           failures = 0,
           refusals = 0,
           retry_at = CASE WHEN d.doubts THEN e.retry_at ELSE '-infinity' END,
           reason = CASE WHEN d.doubts THEN e.reason END,
           doubted_batch = CASE WHEN d.doubts THEN e.doubted_batch END,
           recent_accepted = d.fading * (e.recent_accepted + %(sent)s),
           recent_rejected = CASE WHEN e.doubted_batch = %(batch)s THEN 0
                                  ELSE d.fading * e.recent_rejected END,
           accepted_at = clock_timestamp()
      FROM (SELECT p.feed_id,
                   least(1, %(recent)s / (p.recent_accepted + p.recent_rejected
                                          + %(sent)s)) AS fading,
                   EXISTS (SELECT
                             FROM syncd.batch AS b
                            WHERE b.batch_id = p.doubted_batch
                              AND b.batch_id <> %(batch)s
                              AND b.state IN ('pending', 'sending')) AS doubts
              FROM syncd.endpoint AS p) AS d
     WHERE e.feed_id = %(feed)s
       AND d.feed_id = e.feed_id
), settled AS (
    UPDATE syncd.batch
       SET state = 'delivered',
           settled_at = clock_timestamp(),
           instance_id = NULL,
           lease_until = NULL
     WHERE batch_id = %(batch)s
       AND state IN ('sending', 'pending', 'held')
    RETURNING orders
)
SELECT coalesce(sum(orders), 0)
  FROM settled;

-- name: put_back :rows
-- Makes a claimed batch pending again after an attempt that did not succeed, or holds
-- it for a person.
WITH freed AS (
    UPDATE syncd.batch
       SET state = CASE WHEN %(held)s THEN 'held' ELSE 'pending' END,
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

-- name: endpoint_failures :one
SELECT failures
  FROM syncd.endpoint
 WHERE feed_id = %(feed)s;

-- name: endpoint_failed :rows
-- The endpoint is to be left alone until `retry_at`. While a batch is doubted, it stays
-- held for that.
UPDATE syncd.endpoint
   SET since = CASE WHEN state = %(state)s THEN since ELSE clock_timestamp() END,
       state = CASE WHEN doubted_batch IS NULL THEN %(state)s ELSE 'held' END,
       failures = failures + 1,
       retry_at = clock_timestamp() + %(wait)s,
       reason = CASE WHEN doubted_batch IS NULL OR %(doubted)s::bigint IS NOT NULL
                     THEN %(reason)s ELSE reason END,
       doubted_batch = coalesce(%(doubted)s::bigint, doubted_batch)
 WHERE feed_id = %(feed)s;

-- name: endpoint_refused :one
-- Counts a refusal by an endpoint that answers; what follows from it need not wait.
UPDATE syncd.endpoint
   SET refusals = refusals + %(refusals)s,
       retry_at = CASE WHEN state = 'open' THEN retry_at ELSE clock_timestamp() END
 WHERE feed_id = %(feed)s
RETURNING refusals, accepted_at, recent_accepted, recent_rejected;

-- name: endpoint_blamed :rows
-- Counts an order that was rejected while others were accepted.
UPDATE syncd.endpoint
   SET recent_rejected = (recent_rejected + 1)
           * least(1, %(recent)s / (recent_accepted + recent_rejected + 1)),
       recent_accepted = recent_accepted
           * least(1, %(recent)s / (recent_accepted + recent_rejected + 1))
 WHERE feed_id = %(feed)s;

-- name: end_probe :rows
-- A probe that sent nothing gives its turn back.
UPDATE syncd.endpoint
   SET retry_at = clock_timestamp()
 WHERE feed_id = %(feed)s
   AND state <> 'open'
   AND retry_at > clock_timestamp();

-- name: release_endpoint :rows
-- Tries again at once, whatever the endpoint said before.
UPDATE syncd.endpoint
   SET state = 'open',
       failures = 0,
       refusals = 0,
       retry_at = '-infinity',
       reason = NULL,
       doubted_batch = NULL,
       recent_accepted = 0,
       recent_rejected = 0,
       since = clock_timestamp()
 WHERE feed_id = %(feed)s
   AND state <> 'open';

-- name: pulse :one
-- How the feed stands. Relies on batch_due, batch_claimed, batch_held and ledger_exception.
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
         WHERE l.feed_id = w.feed_id AND l.state = 'withdrawn'),
       (SELECT coalesce(sum(b.orders), 0) FROM syncd.batch AS b
         WHERE b.feed_id = w.feed_id AND b.state = 'held')
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
-- Orders set aside whose reason holds a text, newest confirmation last.
SELECT order_key, coalesce(orderid, ''), state, reason, confirmed_at
  FROM syncd.ledger
 WHERE feed_id = %(feed)s
   AND state = ANY(%(states)s)
   AND (%(reason)s::text IS NULL
        OR position(lower(%(reason)s) IN lower(reason)) > 0)
 ORDER BY confirmed_at, order_key
 LIMIT %(limit)s;

-- name: retry_rejected :one
-- Makes orders that were set aside pending again, in new batches of at most `size`.
WITH chosen AS MATERIALIZED (
    SELECT l.order_key, l.confirmed_at, l.batch_id, l.reason
      FROM syncd.ledger AS l
     WHERE l.feed_id = %(feed)s
       AND l.state = ANY(%(states)s)
       AND (%(all)s OR l.order_key = ANY(%(orders)s) OR l.orderid = ANY(%(orders)s))
       AND (%(reason)s::text IS NULL
            OR position(lower(%(reason)s) IN lower(l.reason)) > 0)
       FOR NO KEY UPDATE
), placed AS (
    SELECT c.*,
           (row_number() OVER (ORDER BY c.confirmed_at, c.order_key) - 1)
               / %(size)s AS slot
      FROM chosen AS c
), slots AS MATERIALIZED (
    SELECT s.slot, s.orders, s.oldest_at,
           nextval('syncd.batch_batch_id_seq') AS batch_id
      FROM (SELECT slot, count(*) AS orders, min(confirmed_at) AS oldest_at
              FROM placed
             GROUP BY slot
             ORDER BY slot) AS s
), cut AS (
    INSERT INTO syncd.batch (batch_id, feed_id, lane, orders, oldest_at)
    SELECT batch_id, %(feed)s, 'live', orders, oldest_at
      FROM slots
), departed AS (
    INSERT INTO syncd.departure (feed_id, order_key, batch_id, why, reason)
    SELECT %(feed)s, order_key, batch_id, 'retried', reason
      FROM chosen
), revived AS (
    UPDATE syncd.ledger AS l
       SET state = NULL, reason = NULL, waiting_since = NULL, batch_id = s.batch_id
      FROM placed AS p
      JOIN slots AS s USING (slot)
     WHERE l.feed_id = %(feed)s
       AND l.order_key = p.order_key
)
SELECT count(*)
  FROM chosen;

-- name: discard_rejected :rows
-- Gives orders that were set aside up; they stay, so that nothing captures them again.
UPDATE syncd.ledger AS l
   SET state = 'discarded',
       reason = 'discarded by hand: ' || l.reason
 WHERE l.feed_id = %(feed)s
   AND l.state = ANY(%(states)s)
   AND (%(all)s OR l.order_key = ANY(%(orders)s) OR l.orderid = ANY(%(orders)s))
   AND (%(reason)s::text IS NULL
        OR position(lower(%(reason)s) IN lower(l.reason)) > 0);

-- name: held :many
-- Orders that wait for a person, because an attempt's outcome is unknown. Relies on
-- batch_held.
SELECT l.order_key, l.confirmed_at, b.batch_id, a.attempt, a.started_at, a.reason
  FROM syncd.batch AS b
  JOIN syncd.ledger AS l USING (batch_id)
  LEFT JOIN syncd.attempt AS a
    ON a.batch_id = b.batch_id
   AND a.attempt = b.attempts
 WHERE b.feed_id = %(feed)s
   AND b.state = 'held'
   AND l.state IS NULL
 ORDER BY l.confirmed_at, l.order_key
 LIMIT %(limit)s;

-- name: resend_held :one
-- Makes held orders pending again, in a new batch for each that they were in.
WITH chosen AS MATERIALIZED (
    SELECT l.order_key, l.confirmed_at, l.batch_id
      FROM syncd.batch AS b
      JOIN syncd.ledger AS l USING (batch_id)
     WHERE b.feed_id = %(feed)s
       AND b.state = 'held'
       AND l.state IS NULL
       AND (%(all)s OR l.order_key = ANY(%(orders)s))
       FOR NO KEY UPDATE
), sources AS MATERIALIZED (
    SELECT c.batch_id, c.orders, c.oldest_at,
           nextval('syncd.batch_batch_id_seq') AS target
      FROM (SELECT batch_id, count(*) AS orders, min(confirmed_at) AS oldest_at
              FROM chosen
             GROUP BY batch_id
             ORDER BY batch_id) AS c
), cut AS (
    INSERT INTO syncd.batch (batch_id, feed_id, lane, orders, oldest_at, uncertain)
    SELECT s.target, b.feed_id, b.lane, s.orders, s.oldest_at, b.uncertain
      FROM sources AS s
      JOIN syncd.batch AS b USING (batch_id)
), departed AS (
    INSERT INTO syncd.departure (feed_id, order_key, batch_id, why)
    SELECT %(feed)s, order_key, batch_id, 'resent'
      FROM chosen
), moved AS (
    UPDATE syncd.ledger AS l
       SET batch_id = s.target
      FROM chosen AS c
      JOIN sources AS s USING (batch_id)
     WHERE l.feed_id = %(feed)s
       AND l.order_key = c.order_key
), emptied AS (
    UPDATE syncd.batch AS b
       SET orders = b.orders - s.orders,
           state = CASE WHEN b.orders = s.orders THEN 'dissolved' ELSE b.state END,
           settled_at = CASE WHEN b.orders = s.orders THEN clock_timestamp() END
      FROM sources AS s
     WHERE b.batch_id = s.batch_id
)
SELECT count(*)
  FROM chosen;

-- name: discard_held :one
-- Gives held orders up; they stay, so that nothing captures them again.
WITH chosen AS MATERIALIZED (
    SELECT l.order_key, l.batch_id
      FROM syncd.batch AS b
      JOIN syncd.ledger AS l USING (batch_id)
     WHERE b.feed_id = %(feed)s
       AND b.state = 'held'
       AND l.state IS NULL
       AND (%(all)s OR l.order_key = ANY(%(orders)s))
       FOR NO KEY UPDATE
), given_up AS (
    UPDATE syncd.ledger AS l
       SET state = 'discarded',
           reason = 'discarded by hand: an attempt''s outcome is unknown'
      FROM chosen AS c
     WHERE l.feed_id = %(feed)s
       AND l.order_key = c.order_key
), emptied AS (
    UPDATE syncd.batch AS b
       SET orders = b.orders - s.orders,
           state = CASE WHEN b.orders = s.orders THEN 'dissolved' ELSE b.state END,
           settled_at = CASE WHEN b.orders = s.orders THEN clock_timestamp() END
      FROM (SELECT batch_id, count(*) AS orders FROM chosen GROUP BY batch_id) AS s
     WHERE b.batch_id = s.batch_id
)
SELECT count(*)
  FROM chosen;

-- name: story :many
-- Where an order stands, with what it waits for: the endpoint, and batches before it.
SELECT l.orderid, l.confirmed_at, l.capture, l.state, l.reason, l.waiting_since,
       b.batch_id, b.lane, b.state, b.created_at, b.uncertain,
       CASE WHEN b.due_at > clock_timestamp() THEN b.due_at END, b.settled_at,
       e.state, e.reason, CASE WHEN isfinite(e.retry_at) THEN e.retry_at END,
       (SELECT count(*)
          FROM syncd.batch AS p
         WHERE p.feed_id = l.feed_id
           AND p.lane = b.lane
           AND p.state = 'pending'
           AND p.batch_id < b.batch_id)
  FROM syncd.ledger AS l
  JOIN syncd.batch AS b USING (batch_id)
  JOIN syncd.endpoint AS e ON e.feed_id = l.feed_id
 WHERE l.feed_id = %(feed)s
   AND l.order_key = %(key)s;

-- name: attempts :many
-- Every attempt that an order took part in, also in batches that it has left. Of an
-- attempt that was never settled it is not known which orders were sent.
SELECT a.batch_id, a.attempt, a.started_at, a.settled_at, a.outcome, a.status, a.reason,
       a.sent, encode(a.body_sha256, 'hex'), a.orderids IS NOT NULL
  FROM (SELECT d.batch_id, d.left_at
          FROM syncd.departure AS d
         WHERE d.feed_id = %(feed)s
           AND d.order_key = %(key)s
        UNION ALL
        SELECT l.batch_id, 'infinity'
          FROM syncd.ledger AS l
         WHERE l.feed_id = %(feed)s
           AND l.order_key = %(key)s) AS w
  JOIN syncd.attempt AS a
    ON a.batch_id = w.batch_id
   AND a.started_at <= w.left_at
 WHERE a.outcome IS DISTINCT FROM 'nothing_to_send'
   AND (%(orderid)s::text IS NULL
        OR coalesce(%(orderid)s = ANY(a.orderids), true))
 ORDER BY a.started_at;

-- name: departures :many
-- The batches that an order has left, and why.
SELECT d.batch_id, d.left_at, d.why, d.reason
  FROM syncd.departure AS d
 WHERE d.feed_id = %(feed)s
   AND d.order_key = %(key)s
 ORDER BY d.left_at;

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

-- name: floor :one
-- Orders stamped at or before it were there before the start.
SELECT floor_at
  FROM syncd.feed
 WHERE feed_id = %(feed)s;

-- name: covered :many
-- Ranges (lower excluded, upper included) of which the ledger has every order: from the
-- floor to the watermark, and as far as backfills came.
SELECT f.floor_at, w.confirmed_at
  FROM syncd.feed AS f
  JOIN syncd.watermark AS w USING (feed_id)
 WHERE f.feed_id = %(feed)s
 UNION ALL
SELECT b.lower_at, b.reached_at
  FROM syncd.backfill AS b
 WHERE b.feed_id = %(feed)s;

-- name: account :many
-- How the orders found stand, counted; apart those whose time in the ledger is another
-- than the one found: the view may list them in several pages. Each order is looked up
-- by ledger_order_once, whatever the ledger's size: LIMIT keeps it from being read whole
-- for every page.
WITH told AS MATERIALIZED (
    SELECT f.order_key, l.state, l.batch_id, l.confirmed_at,
           l.confirmed_at <> f.confirmed_at AS moved
      FROM ({found}) AS f
      LEFT JOIN LATERAL (SELECT r.state, r.batch_id, r.confirmed_at
                           FROM syncd.ledger AS r
                          WHERE r.feed_id = %(feed)s
                            AND r.order_key = f.order_key
                          LIMIT 1) AS l
        ON true
), batches AS (
    SELECT b.batch_id, b.state
      FROM syncd.batch AS b
     WHERE b.batch_id = ANY(ARRAY(SELECT DISTINCT t.batch_id FROM told AS t))
)
SELECT coalesce(t.state, b.state, 'missing'),
       count(*) FILTER (WHERE t.moved IS NOT TRUE),
       min(t.order_key),
       coalesce(array_agg(t.order_key) FILTER (WHERE t.moved), '{{}}'),
       coalesce(array_agg(t.confirmed_at) FILTER (WHERE t.moved), '{{}}')
  FROM told AS t
  LEFT JOIN batches AS b USING (batch_id)
 GROUP BY 1;

-- name: listings :many
-- Every time at which the view lists some orders within a range, in no order.
SELECT c.order_key::text, c.confirmed_at::timestamptz
  FROM {confirmed} AS c
 WHERE c.order_key = ANY(%(keys)s::text[]::{key_type}[])
   AND c.confirmed_at > %(lower)s::timestamptz
   AND c.confirmed_at <= %(upper)s::timestamptz
   AND c.confirmed_at < '9999-01-01';

-- name: count_withdrawn :one
-- Orders of a range that stopped being confirmed. Relies on ledger_exception.
SELECT count(*)
  FROM syncd.ledger
 WHERE feed_id = %(feed)s
   AND state = 'withdrawn'
   AND confirmed_at > %(lower)s
   AND confirmed_at <= %(upper)s;

-- name: take_reconciliation :many
-- Goes on with an unfinished account that nobody touches any more.
UPDATE syncd.reconciliation
   SET touched_at = clock_timestamp()
 WHERE reconciliation_id = (
           SELECT r.reconciliation_id
             FROM syncd.reconciliation AS r
            WHERE r.feed_id = %(feed)s
              AND r.depth = %(depth)s
              AND r.finished_at IS NULL
              AND r.started_at > clock_timestamp() - %(period)s
              AND r.touched_at < clock_timestamp() - %(patience)s
            ORDER BY r.started_at DESC
            LIMIT 1
              FOR NO KEY UPDATE SKIP LOCKED)
RETURNING reconciliation_id, depth, lower_at, upper_at, reached_at;

-- name: start_reconciliation :many
-- Starts an account, unless one of its depth was started within the period; that of a
-- promotion or a restore once the watermark has passed it. Runs under lock_watermark, so
-- that of several instances one starts it.
INSERT INTO syncd.reconciliation (feed_id, depth, lower_at, upper_at, reached_at)
SELECT %(feed)s, %(depth)s, %(lower)s, %(upper)s, %(lower)s
 WHERE NOT EXISTS (SELECT
                     FROM syncd.reconciliation AS r
                    WHERE r.feed_id = %(feed)s
                      AND r.depth = %(depth)s
                      AND r.started_at > clock_timestamp() - %(period)s)
   AND (%(depth)s <> 'promotion'
        OR EXISTS (SELECT
                     FROM syncd.feed AS f
                     JOIN syncd.watermark AS w USING (feed_id)
                    WHERE f.feed_id = %(feed)s
                      AND f.lost_until < w.confirmed_at
                      AND NOT EXISTS (SELECT
                                        FROM syncd.reconciliation AS r
                                       WHERE r.feed_id = %(feed)s
                                         AND r.depth = 'promotion'
                                         AND r.finished_at > f.lost_until)))
RETURNING reconciliation_id, depth, lower_at, upper_at, reached_at;

-- name: advance_reconciliation :rows
-- Adds a page; changes no row when another instance took the account over.
UPDATE syncd.reconciliation
   SET reached_at = %(upper)s,
       touched_at = clock_timestamp(),
       confirmed = confirmed + %(confirmed)s,
       delivered = delivered + %(delivered)s,
       pending = pending + %(pending)s,
       adopted = adopted + %(adopted)s,
       rejected = rejected + %(rejected)s,
       withdrawn = withdrawn + %(withdrawn)s,
       held = held + %(held)s,
       discarded = discarded + %(discarded)s,
       missing = missing + %(missing)s,
       captured = captured + %(captured)s
 WHERE reconciliation_id = %(reconciliation)s
   AND finished_at IS NULL
   AND reached_at = %(reached)s;

-- name: reconciliation :one
SELECT delivered, pending, adopted, rejected, withdrawn, held, discarded, missing,
       captured,
       extract(epoch FROM clock_timestamp() - started_at)::float8
  FROM syncd.reconciliation
 WHERE reconciliation_id = %(reconciliation)s;

-- name: finish_reconciliation :rows
-- Ends a whole account with its sentence; changes no row when another instance did.
UPDATE syncd.reconciliation
   SET finished_at = clock_timestamp(),
       sentence = %(sentence)s
 WHERE reconciliation_id = %(reconciliation)s
   AND finished_at IS NULL
   AND reached_at = upper_at;

-- name: reconciled :many
-- The last finished account of each depth, newest first.
SELECT r.depth, r.missing - r.captured, r.sentence,
       extract(epoch FROM clock_timestamp() - r.finished_at)::float8
  FROM (SELECT DISTINCT ON (depth) depth, finished_at, missing, captured, sentence
          FROM syncd.reconciliation
         WHERE feed_id = %(feed)s
           AND finished_at IS NOT NULL
         ORDER BY depth, started_at DESC) AS r
 ORDER BY r.finished_at DESC;

-- name: prune_reconciliations :rows
-- Forgets the frequent accounts of more than a day ago that found nothing.
DELETE FROM syncd.reconciliation
 WHERE feed_id = %(feed)s
   AND depth IN ('hours', 'days')
   AND missing = 0
   AND started_at < clock_timestamp() - interval '1 day'
   AND started_at < (SELECT max(r.started_at)
                       FROM syncd.reconciliation AS r
                      WHERE r.feed_id = %(feed)s
                        AND r.depth = syncd.reconciliation.depth
                        AND r.finished_at IS NOT NULL);

-- name: lateness :one
-- How many seconds the newest orders took from their stamp to the ledger, and how old
-- those were that reconciliation found. Left out is who waited for a daemon to start,
-- and what is in a second batch. Relies on batch_identity and ledger_batch.
WITH newest AS MATERIALIZED (
    SELECT b.batch_id, b.created_at
      FROM syncd.batch AS b
     WHERE b.feed_id = %(feed)s
       AND b.lane = 'live'
       AND b.state <> 'adopted'
       AND b.refused_at IS NULL
       AND b.created_at > clock_timestamp() - interval '30 days'
     ORDER BY b.batch_id DESC
     LIMIT %(batches)s
), late AS (
    SELECT l.capture = 'reconcile' AS missed,
           extract(epoch FROM b.created_at - l.confirmed_at)::float8 AS seconds
      FROM newest AS b
      JOIN syncd.ledger AS l USING (batch_id)
     WHERE l.confirmed_at < b.created_at
       AND l.waiting_since IS NULL
       AND l.orderid IS NULL
       AND l.capture IN ('poll', 'listen', 'wal', 'reconcile')
       AND (l.capture = 'reconcile'
            OR NOT EXISTS (SELECT
                             FROM syncd.instance AS i
                            WHERE i.feed_id = l.feed_id
                              AND i.started_at > l.confirmed_at
                              AND i.started_at <= b.created_at))
)
SELECT count(*) FILTER (WHERE NOT missed),
       coalesce(percentile_disc(0.99) WITHIN GROUP (ORDER BY seconds)
                FILTER (WHERE NOT missed), 0),
       coalesce(max(seconds) FILTER (WHERE NOT missed), 0),
       count(*) FILTER (WHERE missed),
       coalesce(max(seconds) FILTER (WHERE missed), 0)
  FROM late;
-- name: read_outbox :many
-- Some touched orders, in no order. Reads the table whole: it has no index, so that
-- the shop's writers pay for none.
SELECT o.ctid::text, o.xmin::text, o.order_key
  FROM syncd.outbox AS o
 WHERE o.feed = %(feed)s
 LIMIT %(limit)s;

-- name: discard_outbox :rows
-- Deletes rows that were read, by place; the writer tells them from later ones there.
DELETE FROM syncd.outbox AS o
 WHERE o.ctid = ANY(%(places)s::text[]::tid[])
   AND o.xmin = ANY(%(writers)s::text[]::xid[]);

-- name: count_outbox :one
SELECT count(*)
  FROM syncd.outbox AS o
 WHERE o.feed = %(feed)s;

-- name: outbox_condition :one
-- Changes that the triggers could not note, and whether PREPARE TRANSACTION is allowed.
SELECT CASE WHEN f.is_called THEN f.last_value ELSE 0 END,
       current_setting('max_prepared_transactions') <> '0'
  FROM syncd.outbox_fault AS f;

-- name: listen :none
LISTEN {channel};

-- name: notify :none
SELECT pg_notify(%(channel)s, %(payload)s);

-- name: tables_of :many
-- A table with what lies below it (partitions, heirs), itself first.
WITH RECURSIVE tree AS (
    SELECT c.oid, 0 AS depth
      FROM pg_catalog.pg_class AS c
      JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.relname = %(table)s
       AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
       AND CASE WHEN %(schema)s::text IS NULL THEN pg_table_is_visible(c.oid)
                ELSE n.nspname = %(schema)s::text END
    UNION ALL
    SELECT i.inhrelid, t.depth + 1
      FROM tree AS t
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent = t.oid
)
SELECT n.nspname, c.relname, c.relkind::text, c.relpersistence::text,
       has_table_privilege(c.oid, 'TRIGGER'), pg_has_role(c.relowner, 'USAGE')
  FROM tree AS t
  JOIN pg_catalog.pg_class AS c USING (oid)
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 ORDER BY t.depth, n.nspname, c.relname;

-- name: listening :many
-- The triggers of a feed: table, name, when it fires, its events, and whether the table
-- is filled by a subscription (whose changes fire no statement trigger).
SELECT c.oid::regclass::text, quote_ident(t.tgname), t.tgenabled::text,
       t.tgtype & 4 <> 0, t.tgtype & 16 <> 0,
       EXISTS (SELECT FROM pg_catalog.pg_subscription_rel AS s
                WHERE s.srrelid = c.oid)
  FROM pg_catalog.pg_trigger AS t
  JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
  JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
 WHERE p.pronamespace = to_regnamespace('syncd')
   AND starts_with(p.proname, 'listen_')
   AND split_part(encode(t.tgargs, 'escape'), '\000', 1) = %(feed)s
 ORDER BY c.oid::regclass::text, t.tgname;

-- name: escaping :many
-- What lies below the tables of a feed without its triggers, and whether it is foreign.
WITH RECURSIVE noted AS (
    SELECT DISTINCT t.tgrelid AS oid
      FROM pg_catalog.pg_trigger AS t
      JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
     WHERE p.pronamespace = to_regnamespace('syncd')
       AND starts_with(p.proname, 'listen_')
       AND split_part(encode(t.tgargs, 'escape'), '\000', 1) = %(feed)s
), below AS (
    SELECT i.inhrelid AS oid
      FROM noted AS n
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent = n.oid
    UNION
    SELECT i.inhrelid
      FROM below AS b
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent = b.oid
)
SELECT c.oid::regclass::text, c.relkind = 'f'
  FROM below AS b
  JOIN pg_catalog.pg_class AS c USING (oid)
 WHERE c.oid NOT IN (SELECT oid FROM noted)
 ORDER BY 1;

-- name: outbox_rights :one
-- Whether the outbox is there, and whether this role may take rows out of it.
SELECT r.outbox IS NOT NULL,
       coalesce(has_table_privilege(r.outbox, 'SELECT')
                AND has_table_privilege(r.outbox, 'DELETE')
                AND has_sequence_privilege(r.fault, 'SELECT'), false)
  FROM (SELECT to_regclass('syncd.outbox')::oid AS outbox,
               to_regclass('syncd.outbox_fault')::oid AS fault) AS r;

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
