-- From confirmed orders to the ledger, under the watermark.

-- name: watermark :one
SELECT confirmed_at
  FROM syncd.watermark
 WHERE feed_id = %(feed)s;

-- name: lock_watermark :one
-- Takes the lock under which orders are admitted, for the rest of the transaction, and
-- returns since when and why admissions are paused. Unless it is to be durable, the
-- transaction's end does not wait for the disk.
SELECT w.confirmed_at, w.paused_at, w.paused_reason
  FROM syncd.watermark AS w
 CROSS JOIN set_config('synchronous_commit',
                       CASE WHEN NOT %(durable)s THEN 'off'
                            WHEN current_setting('synchronous_commit') = 'off'
                            THEN 'local'
                            ELSE current_setting('synchronous_commit') END, true)
 WHERE w.feed_id = %(feed)s
   FOR NO KEY UPDATE OF w;

-- name: move_watermark :rows
-- Moves the watermark forward; changes no row when that would go backwards.
UPDATE syncd.watermark
   SET confirmed_at = %(upper)s,
       moved_at = clock_timestamp()
 WHERE feed_id = %(feed)s
   AND confirmed_at < %(upper)s;

-- name: gather :one
-- Orders found, as two texts, and how many they are: for another database, without a
-- look at each in between.
SELECT coalesce(array_agg(f.order_key), '{{}}')::text AS keys,
       coalesce(array_agg(f.confirmed_at), '{{}}')::text AS times,
       ({seal}) AS seal,
       count(*) AS orders
  FROM ({found}) AS f;

-- name: given :many
-- Orders that were gathered in another database.
SELECT g.order_key COLLATE "C" AS order_key, g.confirmed_at
  FROM unnest(%(keys)s::text[], %(times)s::timestamptz[])
       AS g (order_key, confirmed_at)

-- name: keep_initial_orders :rows
-- Keeps what the view lists at the feed's start; a page of it, or all at once.
INSERT INTO syncd.initial_orders (feed_id, bucket, chunk, hashes)
SELECT %(feed)s, (h.hash >> 49)::integer, %(chunk)s, array_agg(h.hash)
  FROM (SELECT DISTINCT hashtextextended(f.order_key, 0) AS hash
          FROM ({found}) AS f) AS h
 GROUP BY (h.hash >> 49)::integer;

-- name: was_listed_initially :one
-- Whether the view listed an order `o` at the feed's start; no row: it did not. Relies on
-- initial_orders_once: LIMIT keeps the table from being read whole.
SELECT true
  FROM syncd.initial_orders AS i
 WHERE i.feed_id = %(feed)s
   AND i.bucket = (hashtextextended(o.order_key, 0) >> 49)::integer
   AND hashtextextended(o.order_key, 0) = ANY(i.hashes)
 LIMIT 1

-- name: given_keys :many
-- Keys that were read in another database.
SELECT g.order_key COLLATE "C" AS order_key
  FROM unnest(%(keys)s::text[]) AS g (order_key)

-- name: no_listings :many
SELECT NULL::text COLLATE "C" AS order_key, NULL::timestamptz AS confirmed_at
 WHERE false

-- name: nothing_taken :many
SELECT NULL::text AS order_key
 WHERE false

-- name: admit :one
-- Takes orders from the outbox, if they were found there, and writes those that are
-- new, or withdrawn and confirmed again, into the ledger and cuts them into batches, in
-- order of confirmation; the last batch is topped up if it is unclaimed. What the view
-- listed at the feed's start is not new, whatever usable time it had; only a backfill
-- admits it, and what another backfill released. An order is written with the first
-- time at which the view lists it; without a usable time, or under a key that is too long
-- for the ledger's index (2704 bytes with the feed), it is counted only. Those of a
-- time of which the ledger may have lost records count as uncertain, and older ones
-- that are captured soon after; so do all of a backfill that was running then, since
-- its progress is unknown. Withdrawn orders keep their uncertain attempts. Uncertain
-- orders are in batches of their own, held if so configured. While admissions are
-- paused, and under views that were not accepted, nothing is written; the result shows
-- it. Several unknown orders from the past may be known ones whose keys were rewritten:
-- unless known orders were searched for within the last minute, the statement violates
-- identity_compared_before_old_orders, and fails. Runs under lock_watermark, so that no
-- two admissions of a feed overlap. Relies on ledger_order_once, for each order found: a
-- subquery of its own, so that the ledger is never read whole. ON CONFLICT is not used:
-- it would look up a second time.
WITH views AS MATERIALIZED (
    SELECT coalesce(({sealed}), true) AS are_accepted
), taken AS (
    {taken}
), lost AS MATERIALIZED (
    SELECT CASE WHEN clock_timestamp() < f.suspect_until THEN '-infinity'
                ELSE f.lost_from END AS lost_from,
           f.lost_until
      FROM syncd.feed AS f
     WHERE f.feed_id = %(feed)s
       AND f.lost_until IS NOT NULL
       AND %(capture)s <> 'backfill'
     UNION ALL
    SELECT '-infinity', 'infinity'
      FROM syncd.backfill AS r
      JOIN syncd.feed AS f USING (feed_id)
     WHERE r.backfill_id = %(backfill)s
       AND r.requested_at <= f.lost_until
       AND %(state)s = 'pending'
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
       AND b.read_failed_at IS NULL
       AND b.uncertain_attempts = 0
       AND b.backfill_id IS NOT DISTINCT FROM %(backfill)s
       AND NOT b.is_resend
       AND b.orders < %(size)s
       FOR NO KEY UPDATE SKIP LOCKED
), looked AS MATERIALIZED (
    SELECT f.order_key, f.confirmed_at,
           (SELECT coalesce(l.state, 'taken')
              FROM syncd.ledger AS l
             WHERE l.feed_id = %(feed)s
               AND l.order_key = f.order_key
             LIMIT 1) AS known
      FROM ({found}) AS f
     WHERE NOT EXISTS (SELECT
                         FROM syncd.watermark AS w
                        WHERE w.feed_id = %(feed)s
                          AND w.paused_at IS NOT NULL)
       AND (SELECT v.are_accepted FROM views AS v)
), admissible_orders AS MATERIALIZED (
    SELECT o.order_key, o.confirmed_at, o.known
      FROM looked AS o
     WHERE o.known = 'withdrawn'
        OR o.known = 'released' AND %(capture)s = 'backfill'
        OR o.known IS NULL
           AND (%(capture)s = 'backfill' OR ({initial}) IS NULL)
), uncompared AS (
    UPDATE syncd.identity AS i
       SET compared_at = NULL
     WHERE i.feed_id = %(feed)s
       AND i.compared_at < clock_timestamp() - interval '1 minute'
       AND %(capture)s IN ('poll', 'listen', 'wal')
       AND 3 <= (SELECT count(*)
                   FROM admissible_orders AS a
                  WHERE a.known IS NULL
                    AND a.confirmed_at < clock_timestamp() - interval '1 minute')
), first_listings AS MATERIALIZED (
    {listings}
), found AS MATERIALIZED (
    SELECT u.order_key, coalesce(min(u.listed_at), min(u.confirmed_at)) AS confirmed_at,
           max(u.known) AS known
      FROM (SELECT a.order_key, a.confirmed_at, a.known, NULL::timestamptz AS listed_at
              FROM admissible_orders AS a
             UNION ALL
            SELECT l.order_key, NULL, NULL, l.confirmed_at
              FROM first_listings AS l) AS u
     GROUP BY u.order_key
    HAVING coalesce(min(u.listed_at), min(u.confirmed_at)) IS NOT NULL
       AND octet_length(u.order_key) <= 2000
), ranked AS (
    SELECT f.order_key, f.confirmed_at, f.known, d.uncertain_attempts,
           row_number() OVER (PARTITION BY d.uncertain_attempts
                              ORDER BY f.confirmed_at, f.order_key) - 1 AS place
      FROM found AS f
     CROSS JOIN LATERAL (
           SELECT (SELECT count(*)
                     FROM lost AS o
                    WHERE f.confirmed_at > o.lost_from
                      AND f.confirmed_at <= o.lost_until)
                + CASE WHEN f.known IS NULL THEN 0
                       ELSE coalesce((SELECT r.uncertain_attempts
                                        FROM syncd.ledger AS r
                                       WHERE r.feed_id = %(feed)s
                                         AND r.order_key = f.order_key
                                       LIMIT 1), 0) END) AS d (uncertain_attempts)
), placed AS (
    SELECT r.order_key, r.confirmed_at, r.known, r.uncertain_attempts,
           CASE WHEN r.uncertain_attempts > 0 THEN 1 + r.place / %(size)s
                WHEN r.place < t.room THEN 0
                ELSE 1 + (r.place - t.room) / %(size)s END AS slot
      FROM ranked AS r,
           (SELECT coalesce(max(room), 0) AS room FROM tail) AS t
), slots AS MATERIALIZED (
    SELECT s.uncertain_attempts, s.slot, s.orders, s.oldest_at,
           CASE WHEN s.slot = 0 THEN (SELECT batch_id FROM tail)
                ELSE nextval('syncd.batch_batch_id_seq') END AS batch_id
      FROM (SELECT uncertain_attempts, slot, count(*) AS orders,
                   min(confirmed_at) AS oldest_at
              FROM placed
             GROUP BY uncertain_attempts, slot
             ORDER BY slot, uncertain_attempts) AS s
), topped AS (
    UPDATE syncd.batch AS b
       SET orders = b.orders + s.orders,
           oldest_at = least(b.oldest_at, s.oldest_at)
      FROM slots AS s
     WHERE s.slot = 0
       AND b.batch_id = s.batch_id
), rest AS MATERIALIZED (
    SELECT CASE WHEN f.quiet > interval '0' AND %(lane)s = 'live'
                THEN clock_timestamp() + f.quiet ELSE '-infinity' END AS due_at
      FROM syncd.feed AS f
     WHERE f.feed_id = %(feed)s
), cut AS (
    INSERT INTO syncd.batch
           (batch_id, feed_id, lane, state, orders, oldest_at, backfill_id, uncertain_attempts,
            due_at, settled_at)
    SELECT s.batch_id, %(feed)s, %(lane)s,
           CASE WHEN s.uncertain_attempts > 0
                     AND %(state)s = 'pending'
                     AND %(backfill)s::bigint IS NULL
                     AND (SELECT f.holds_uncertain
                            FROM syncd.feed AS f
                           WHERE f.feed_id = %(feed)s)
                THEN 'held' ELSE %(state)s END,
           s.orders, s.oldest_at, %(backfill)s, s.uncertain_attempts,
           (SELECT r.due_at FROM rest AS r),
           CASE WHEN %(state)s = 'adopted' THEN clock_timestamp() END
      FROM slots AS s
     WHERE s.slot > 0
), entered AS (
    INSERT INTO syncd.ledger
           (feed_id, order_key, confirmed_at, batch_id, capture)
    SELECT %(feed)s, p.order_key, p.confirmed_at, s.batch_id, %(capture)s
      FROM placed AS p
      JOIN slots AS s USING (uncertain_attempts, slot)
     WHERE p.known IS NULL
     ORDER BY p.confirmed_at, p.order_key
), returned AS (
    UPDATE syncd.ledger AS l
       SET confirmed_at = p.confirmed_at,
           batch_id = s.batch_id,
           capture = %(capture)s,
           state = NULL,
           reason = NULL,
           uncertain_attempts = NULL,
           waiting_since = NULL
      FROM placed AS p
      JOIN slots AS s USING (uncertain_attempts, slot)
     WHERE p.known IS NOT NULL
       AND l.feed_id = %(feed)s
       AND l.order_key = p.order_key
       AND l.state IN ('withdrawn', 'released')
)
SELECT count(*) AS orders,
       coalesce((array_agg(order_key ORDER BY confirmed_at, order_key))
                [1:%(named)s], '{{}}') AS keys,
       ARRAY(SELECT t.order_key FROM taken AS t) AS taken,
       (SELECT count(*) FROM admissible_orders) - count(*) AS without_time,
       (SELECT v.are_accepted FROM views AS v) AS are_accepted
  FROM placed;

-- name: defer_touched :rows
-- Leaves orders alone for longer that were changed and never sent: `quiet` once more, at
-- most ten times since they were captured. Relies on ledger_order_once.
UPDATE syncd.batch AS b
   SET due_at = least(clock_timestamp() + f.quiet, b.created_at + 10 * f.quiet)
  FROM syncd.feed AS f
 WHERE f.feed_id = %(feed)s
   AND b.batch_id = ANY(ARRAY(SELECT l.batch_id
                                FROM syncd.ledger AS l
                               WHERE l.feed_id = %(feed)s
                                 AND l.order_key = ANY(%(keys)s::text[])
                                 AND l.state IS NULL))
   AND b.state = 'pending'
   AND b.attempts = 0
   AND b.due_at > clock_timestamp();

-- name: lateness :one
-- How many seconds the newest orders took from their stamp to the ledger, and how old
-- those were that reconciliation found. Left out is who waited for a daemon to start,
-- and what is in a second batch. What is read is bounded, however much the ledger holds:
-- the batches delivered last, whatever their lane, and those that wait; and so many orders
-- of theirs. Relies on batch_settled, batch_due and ledger_batch.
WITH settled AS MATERIALIZED (
    SELECT b.batch_id, b.lane, b.refused_at, b.created_at
      FROM syncd.batch AS b
     WHERE b.feed_id = %(feed)s
       AND b.state = 'delivered'
       AND NOT b.is_pruned
       AND b.settled_at > statement_timestamp() - interval '30 days'
     ORDER BY b.settled_at DESC
     LIMIT 5 * %(batches)s
), waiting AS MATERIALIZED (
    SELECT b.batch_id, b.lane, b.refused_at, b.created_at
      FROM syncd.batch AS b
     WHERE b.feed_id = %(feed)s
       AND b.lane = 'live'
       AND b.state = 'pending'
     ORDER BY b.batch_id DESC
     LIMIT %(batches)s
), newest AS MATERIALIZED (
    SELECT b.batch_id, b.created_at
      FROM (SELECT * FROM settled UNION ALL SELECT * FROM waiting) AS b
     WHERE b.lane = 'live'
       AND b.refused_at IS NULL
       AND b.created_at > clock_timestamp() - interval '30 days'
     ORDER BY b.batch_id DESC
     LIMIT %(batches)s
), begun AS MATERIALIZED (
    SELECT t.batch_id, t.at AS created_at, max(t.started_at) OVER (ORDER BY t.at)
           AS started_at
      FROM (SELECT n.batch_id, n.created_at AS at, NULL::timestamptz AS started_at
              FROM newest AS n
             UNION ALL
            SELECT NULL, i.started_at, i.started_at
              FROM syncd.instance AS i
             WHERE i.feed_id = %(feed)s) AS t (batch_id, at, started_at)
), late AS MATERIALIZED (
    SELECT l.capture = 'reconcile' AS missed,
           extract(epoch FROM b.created_at - l.confirmed_at)::float8 AS seconds
      FROM (SELECT n.batch_id, n.created_at, n.started_at
              FROM begun AS n
             WHERE n.batch_id IS NOT NULL
             ORDER BY n.batch_id DESC) AS b
     CROSS JOIN LATERAL (
           SELECT o.capture, o.confirmed_at
             FROM syncd.ledger AS o
            WHERE o.batch_id = b.batch_id
              AND o.waiting_since IS NULL
              AND o.orderid IS NULL
              AND o.capture IN ('poll', 'listen', 'wal', 'reconcile')
              AND o.confirmed_at < b.created_at
            LIMIT %(orders)s) AS l
     WHERE l.capture = 'reconcile'
        OR b.started_at IS NULL
        OR b.started_at <= l.confirmed_at
     LIMIT %(orders)s
)
SELECT count(*) FILTER (WHERE NOT missed) AS orders,
       coalesce(percentile_disc(0.99) WITHIN GROUP (ORDER BY seconds)
                FILTER (WHERE NOT missed), 0) AS usual,
       coalesce(max(seconds) FILTER (WHERE NOT missed), 0) AS longest,
       count(*) FILTER (WHERE missed) AS missed,
       coalesce(max(seconds) FILTER (WHERE missed), 0) AS oldest
  FROM late;
