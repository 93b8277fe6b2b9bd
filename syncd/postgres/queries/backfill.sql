-- Requested past ranges.

-- name: plan_counts :many
-- Counts the orders found by state and by the day of their confirmation in a time zone.
-- Each is looked up by ledger_order_once: LIMIT keeps the ledger from being read whole.
WITH told AS MATERIALIZED (
    SELECT (f.confirmed_at AT TIME ZONE %(zone)s)::date AS day, l.state, l.batch_id
      FROM ({found}) AS f
      LEFT JOIN LATERAL (SELECT r.state, r.batch_id
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
SELECT t.day, coalesce(t.state, b.state, 'new') AS standing, count(*) AS orders
  FROM told AS t
  LEFT JOIN batches AS b USING (batch_id)
 GROUP BY 1, 2
 ORDER BY 1, 2;

-- name: plan_standings :many
-- The states of named orders, as in plan_counts; without those that the ledger lacks.
-- Relies on ledger_order_once.
SELECT l.order_key, coalesce(l.state, b.state)
  FROM syncd.ledger AS l
  JOIN syncd.batch AS b USING (batch_id)
 WHERE l.feed_id = %(feed)s
   AND l.order_key = ANY(%(keys)s::text[]);

-- name: backfill_ceiling :one
-- Up to where orders are past ones: the watermark, or the start, since what was listed
-- then may be stamped above the first watermark.
SELECT greatest(w.confirmed_at, f.started_at)
  FROM syncd.feed AS f
  JOIN syncd.watermark AS w USING (feed_id)
 WHERE f.feed_id = %(feed)s;

-- name: open_backfill :many
-- Opens a range; no row when it overlaps an unfinished one. Runs under lock_watermark.
INSERT INTO syncd.backfill
       (feed_id, lower_at, upper_at, reached_at, purpose, with_profile, reason, planned)
SELECT %(feed)s, %(lower)s, %(upper)s, %(lower)s, %(purpose)s, %(with_profile)s,
       %(reason)s, %(planned)s
 WHERE NOT EXISTS (SELECT
                     FROM syncd.backfill AS b
                    WHERE b.feed_id = %(feed)s
                      AND b.state IN ('running', 'paused')
                      AND tstzrange(b.lower_at, b.upper_at, '(]')
                          && tstzrange(%(lower)s, %(upper)s, '(]'))
RETURNING backfill_id;

-- name: lock_backfill :many
-- Takes the lock on the next page of a backfill for the rest of the transaction; no row
-- when it was taken, paused or cancelled meanwhile.
SELECT b.backfill_id
  FROM syncd.backfill AS b
 WHERE b.backfill_id = %(backfill)s
   AND b.state = 'running'
   AND b.reached_at = %(reached)s
   AND b.reached_key IS NOT DISTINCT FROM %(key)s
   FOR NO KEY UPDATE;

-- name: advance_backfill :rows
UPDATE syncd.backfill
   SET reached_at = %(reached)s,
       reached_key = %(key)s,
       orders = orders + %(orders)s,
       resent = resent + %(resent)s
 WHERE backfill_id = %(backfill)s;

-- name: take_again :one
-- Makes orders found that are in the ledger already pending again: what the first start
-- adopted, and, if asked to resend, what was delivered or adopted by hand. What this
-- backfill has sent itself stays: the view may list an order twice. Runs under
-- lock_watermark.
WITH known AS MATERIALIZED (
    SELECT l.order_key, l.confirmed_at, l.batch_id
      FROM ({found}) AS f,
           LATERAL (SELECT r.order_key, r.confirmed_at, r.batch_id
                      FROM syncd.ledger AS r
                     WHERE r.feed_id = %(feed)s
                       AND r.order_key = f.order_key
                       AND r.state IS NULL
                     LIMIT 1) AS l
), sources AS MATERIALIZED (
    SELECT b.batch_id, b.uncertain_attempts,
           b.state = 'delivered' OR b.backfill_id IS NOT NULL AS is_resend
      FROM syncd.batch AS b
     WHERE b.batch_id = ANY(ARRAY(SELECT DISTINCT k.batch_id FROM known AS k))
       AND b.backfill_id IS DISTINCT FROM %(backfill)s
       AND (b.state = 'adopted' AND b.backfill_id IS NULL
            OR %(is_resend)s AND b.state IN ('adopted', 'delivered'))
       FOR NO KEY UPDATE
), chosen AS MATERIALIZED (
    SELECT k.order_key, k.confirmed_at, k.batch_id, s.is_resend, s.uncertain_attempts,
           (row_number() OVER (PARTITION BY s.is_resend, s.uncertain_attempts
                               ORDER BY k.confirmed_at, k.order_key) - 1)
               / %(size)s AS slot
      FROM known AS k
      JOIN sources AS s USING (batch_id)
), slots AS MATERIALIZED (
    SELECT s.is_resend, s.uncertain_attempts, s.slot, s.orders, s.oldest_at,
           nextval('syncd.batch_batch_id_seq') AS batch_id
      FROM (SELECT is_resend, uncertain_attempts, slot, count(*) AS orders,
                   min(confirmed_at) AS oldest_at
              FROM chosen
             GROUP BY is_resend, uncertain_attempts, slot
             ORDER BY slot, is_resend, uncertain_attempts) AS s
), cut AS (
    INSERT INTO syncd.batch
           (batch_id, feed_id, lane, orders, oldest_at, backfill_id, is_resend, uncertain_attempts)
    SELECT batch_id, %(feed)s, 'backfill', orders, oldest_at, %(backfill)s, is_resend,
           uncertain_attempts
      FROM slots
), departed AS (
    INSERT INTO syncd.order_move (feed_id, order_key, batch_id, why, reason)
    SELECT %(feed)s, c.order_key, c.batch_id,
           CASE WHEN c.is_resend THEN 'resent' ELSE 'reset' END, %(reason)s
      FROM chosen AS c
        ON CONFLICT ON CONSTRAINT order_move_once DO UPDATE
       SET left_at = excluded.left_at,
           why = excluded.why,
           reason = excluded.reason
), moved AS (
    UPDATE syncd.ledger AS l
       SET batch_id = s.batch_id,
           waiting_since = NULL
      FROM chosen AS c
      JOIN slots AS s USING (is_resend, uncertain_attempts, slot)
     WHERE l.feed_id = %(feed)s
       AND l.order_key = c.order_key
), emptied AS (
    UPDATE syncd.batch AS b
       SET orders = b.orders - c.orders
      FROM (SELECT batch_id, count(*) AS orders FROM chosen GROUP BY batch_id) AS c
     WHERE b.batch_id = c.batch_id
)
SELECT count(*) AS orders, count(*) FILTER (WHERE is_resend) AS resent
  FROM chosen;

-- name: finish_backfill :rows
-- Ends a backfill that has captured its range and of which nothing waits to be sent.
-- What is held waits for a person, whom the backfill does not wait for.
UPDATE syncd.backfill AS b
   SET finished_at = clock_timestamp()
 WHERE b.backfill_id = %(backfill)s
   AND b.state = 'running'
   AND b.reached_at = b.upper_at
   AND NOT EXISTS (SELECT
                     FROM syncd.batch AS p
                    WHERE p.backfill_id = b.backfill_id
                      AND p.state IN ('pending', 'sending'));

-- name: active_backfills :many
-- The backfills that a daemon has to run or to log, oldest first, with the orders of
-- each that wait to be sent, and what else delays it. Relies on batch_backfilled and
-- batch_due.
SELECT b.backfill_id AS backfill, b.state, b.purpose, b.reason, b.lower_at AS lower,
       b.upper_at AS upper, b.reached_at AS reached,
       (SELECT coalesce(sum(p.orders), 0)
          FROM syncd.batch AS p
         WHERE p.backfill_id = b.backfill_id
           AND p.state IN ('pending', 'sending')) AS waiting,
       CASE WHEN e.state <> 'available' AND b.purpose <> 'adopt' THEN 'endpoint'
            WHEN (SELECT v.batch_id
                    FROM syncd.batch AS v
                   WHERE v.feed_id = %(feed)s
                     AND v.lane = 'live'
                     AND v.state = 'pending'
                     AND v.due_at <= clock_timestamp()
                     AND v.created_at < clock_timestamp() - %(lag)s
                   ORDER BY v.batch_id
                   LIMIT 1) IS NOT NULL
            THEN 'live' END AS waits_for,
       b.logged_state IS DISTINCT FROM b.state
       OR b.state = 'running' AND b.logged_at < clock_timestamp() - %(period)s AS is_news,
       b.reached_key
  FROM syncd.backfill AS b
  JOIN syncd.endpoint AS e USING (feed_id)
 WHERE b.feed_id = %(feed)s
   AND (b.state = 'running' OR b.logged_state IS DISTINCT FROM b.state)
 ORDER BY b.backfill_id;

-- name: claim_backfill_log :many
-- Records that a backfill's state is logged, and returns the one logged before; no row
-- when another instance was first.
UPDATE syncd.backfill AS b
   SET logged_state = b.state,
       logged_at = clock_timestamp()
  FROM (SELECT o.backfill_id, o.logged_state
          FROM syncd.backfill AS o
         WHERE o.backfill_id = %(backfill)s
           AND (o.logged_state IS DISTINCT FROM o.state
                OR o.logged_at < clock_timestamp() - %(period)s)
           FOR NO KEY UPDATE SKIP LOCKED) AS old
 WHERE b.backfill_id = old.backfill_id
RETURNING old.logged_state AS before, b.state AS now;

-- name: backfill_progress :many
-- Backfills with their progress, oldest first, and what they wait for, as the driver
-- sees it. Relies on batch_backfilled, batch_due and ledger_exception. Orders that were
-- set aside are not counted by their batch.
SELECT b.backfill_id AS backfill, b.state, b.purpose, b.with_profile, b.reason,
       b.lower_at AS lower, b.upper_at AS upper, b.reached_at AS reached, b.planned,
       b.orders AS captured, b.resent, b.released,
       p.delivered, p.adopted, p.pending, p.sending, p.held,
       coalesce(x.rejected, 0) AS rejected, coalesce(x.withdrawn, 0) AS withdrawn,
       p.lately / greatest(1, extract(epoch FROM
           least(interval '1 minute',
                 clock_timestamp() - coalesce(p.first_at, clock_timestamp()))))::float8 AS rate,
       b.requested_at, coalesce(b.finished_at, b.cancelled_at) AS ended_at,
       CASE WHEN b.state <> 'running' THEN NULL
            WHEN e.paused_at IS NOT NULL AND b.purpose <> 'adopt'
            THEN 'sending is paused'
            WHEN w.paused_at IS NOT NULL AND b.reached_at < b.upper_at
            THEN 'capture is paused'
            WHEN e.state <> 'available' AND b.purpose <> 'adopt'
            THEN 'sending is ' || replace(e.state, '_', ' ')
            WHEN (SELECT v.batch_id
                    FROM syncd.batch AS v
                   WHERE v.feed_id = %(feed)s
                     AND v.lane = 'live'
                     AND v.state = 'pending'
                     AND v.due_at <= clock_timestamp()
                     AND v.created_at < clock_timestamp() - interval '2 s'
                   ORDER BY v.batch_id
                   LIMIT 1) IS NOT NULL
            THEN 'live orders go first' END AS waits_for
  FROM syncd.backfill AS b
  JOIN syncd.endpoint AS e USING (feed_id)
  JOIN syncd.watermark AS w USING (feed_id)
 CROSS JOIN LATERAL (
       SELECT coalesce(sum(c.orders) FILTER (WHERE c.state = 'delivered'), 0) AS delivered,
              coalesce(sum(c.orders) FILTER (WHERE c.state = 'adopted'), 0) AS adopted,
              coalesce(sum(c.orders) FILTER (WHERE c.state = 'pending'), 0) AS pending,
              coalesce(sum(c.orders) FILTER (WHERE c.state = 'sending'), 0) AS sending,
              coalesce(sum(c.orders) FILTER (WHERE c.state = 'held'), 0) AS held,
              coalesce(sum(c.orders) FILTER (
                  WHERE c.settled_at > clock_timestamp() - interval '1 minute'), 0)
                  ::float8 AS lately,
              min(c.settled_at) AS first_at
         FROM syncd.batch AS c
        WHERE c.backfill_id = b.backfill_id) AS p
  LEFT JOIN (SELECT a.backfill_id,
                    count(*) FILTER (WHERE l.state IN ('rejected', 'discarded'))
                        AS rejected,
                    count(*) FILTER (WHERE l.state = 'withdrawn') AS withdrawn
               FROM syncd.ledger AS l
               JOIN syncd.batch AS a USING (batch_id)
              WHERE l.feed_id = %(feed)s
                AND l.state IS NOT NULL
                AND a.backfill_id IS NOT NULL
              GROUP BY 1) AS x
    ON x.backfill_id = b.backfill_id
 WHERE b.feed_id = %(feed)s
   AND (%(backfill)s::bigint IS NULL OR b.backfill_id = %(backfill)s)
 ORDER BY b.backfill_id;

-- name: pause_backfill :rows
UPDATE syncd.backfill
   SET paused_at = clock_timestamp()
 WHERE backfill_id = %(backfill)s
   AND feed_id = %(feed)s
   AND state = 'running';

-- name: resume_backfill :rows
UPDATE syncd.backfill
   SET paused_at = NULL
 WHERE backfill_id = %(backfill)s
   AND feed_id = %(feed)s
   AND state = 'paused';

-- name: cancel_backfill :rows
-- Ends an unfinished backfill. Runs under lock_watermark, so that no page is under way.
UPDATE syncd.backfill
   SET cancelled_at = clock_timestamp()
 WHERE backfill_id = %(backfill)s
   AND feed_id = %(feed)s
   AND state IN ('running', 'paused');

-- name: release_backfill :one
-- Frees the orders of a cancelled backfill that were never in a request: they go back
-- into the batch that they came from, or are released for a later backfill; those that
-- the feed answers for anyway stay. `reached_at` goes back to before the first one
-- released, so that the rest of the range no longer counts as covered.
WITH unsent AS MATERIALIZED (
    SELECT b.batch_id, b.is_resend
      FROM syncd.batch AS b
     WHERE b.backfill_id = %(backfill)s
       AND b.state = 'pending'
       AND (b.uncertain_attempts = 0 OR b.is_resend)
       AND b.refused_at IS NULL
       AND NOT EXISTS (SELECT
                         FROM syncd.attempt AS a
                        WHERE a.batch_id = b.batch_id
                          AND a.outcome IS DISTINCT FROM 'unread')
       FOR NO KEY UPDATE OF b
), orders AS MATERIALIZED (
    SELECT l.order_key, l.confirmed_at, l.batch_id, u.is_resend, d.batch_id AS origin,
           EXISTS (SELECT
                     FROM syncd.order_move AS t
                    WHERE t.feed_id = l.feed_id
                      AND t.order_key = l.order_key
                      AND t.why IN ('split', 'retried', 'mended')
                      AND t.left_at > coalesce(d.left_at, '-infinity')) AS tried
      FROM unsent AS u
      JOIN syncd.ledger AS l USING (batch_id)
      LEFT JOIN LATERAL (SELECT r.batch_id, r.left_at
                           FROM syncd.order_move AS r
                          WHERE r.feed_id = l.feed_id
                            AND r.order_key = l.order_key
                            AND r.why IN ('resent', 'reset')
                            AND r.left_at >= (SELECT f.requested_at
                                                FROM syncd.backfill AS f
                                               WHERE f.backfill_id = %(backfill)s)
                          ORDER BY r.left_at DESC
                          LIMIT 1) AS d
        ON true
     WHERE l.state IS NULL
), chosen AS MATERIALIZED (
    SELECT o.order_key, o.confirmed_at, o.batch_id, o.origin
      FROM orders AS o
     WHERE NOT o.tried
       AND (o.origin IS NOT NULL
            OR NOT o.is_resend
               AND ({initial})
               AND NOT EXISTS (SELECT
                                 FROM syncd.backfill AS p
                                WHERE p.feed_id = %(feed)s
                                  AND p.backfill_id <> %(backfill)s
                                  AND o.confirmed_at > p.lower_at
                                  AND o.confirmed_at <= p.reached_at))
), freed AS (
    UPDATE syncd.ledger AS l
       SET batch_id = coalesce(c.origin, l.batch_id),
           state = CASE WHEN c.origin IS NULL THEN 'released' END,
           reason = CASE WHEN c.origin IS NULL THEN 'its backfill was cancelled' END,
           waiting_since = NULL
      FROM chosen AS c
     WHERE l.feed_id = %(feed)s
       AND l.order_key = c.order_key
), returned AS (
    UPDATE syncd.order_move AS d
       SET why = 'returned'
      FROM chosen AS c
     WHERE d.feed_id = %(feed)s
       AND d.order_key = c.order_key
       AND d.batch_id = c.origin
), changes AS (
    SELECT g.batch_id, sum(g.orders) AS orders
      FROM (SELECT batch_id, -count(*) AS orders FROM chosen GROUP BY batch_id
            UNION ALL
            SELECT origin, count(*) FROM chosen
             WHERE origin IS NOT NULL GROUP BY origin) AS g
     GROUP BY g.batch_id
), counted AS (
    UPDATE syncd.batch AS b
       SET orders = b.orders + c.orders,
           state = CASE WHEN b.orders + c.orders = 0 AND b.state = 'pending'
                        THEN 'emptied' ELSE b.state END,
           settled_at = CASE WHEN b.orders + c.orders = 0 AND b.state = 'pending'
                             THEN clock_timestamp() ELSE b.settled_at END
      FROM changes AS c
     WHERE b.batch_id = c.batch_id
), noted AS (
    UPDATE syncd.backfill AS b
       SET released = b.released + (SELECT count(*) FROM chosen),
           reached_at = greatest(b.lower_at, least(b.reached_at,
               (SELECT min(c.confirmed_at) - interval '1 microsecond'
                  FROM chosen AS c
                 WHERE c.origin IS NULL))),
           reached_key = NULL
     WHERE b.backfill_id = %(backfill)s
)
SELECT count(*) AS released,
       (SELECT coalesce(sum(b.orders), 0)
          FROM syncd.batch AS b
         WHERE b.backfill_id = %(backfill)s
           AND b.state IN ('pending', 'sending')) - count(*) AS left
  FROM chosen;
