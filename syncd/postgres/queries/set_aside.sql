-- Orders that wait for a person.

-- name: rejected :many
-- Orders set aside whose reason holds a text, newest confirmation last.
SELECT order_key, coalesce(orderid, '') AS orderid, state, reason, confirmed_at
  FROM syncd.ledger
 WHERE feed_id = %(feed)s
   AND state = ANY(%(states)s)
   AND (%(reason)s::text IS NULL
        OR position(lower(%(reason)s) IN lower(reason)) > 0)
 ORDER BY confirmed_at, order_key
 LIMIT %(limit)s;

-- name: rejected_orders :many
-- A page of rejected orders, by key; with `most_retries` those that may be retried
-- automatically without a reported change. Relies on ledger_exception, or on
-- ledger_order_once where keys are given.
SELECT order_key, orderid, reason, confirmed_at, coalesce(rejected_by, 'rules') AS rejected_by,
       coalesce(retries, 0) AS retries
  FROM syncd.ledger
 WHERE feed_id = %(feed)s
   AND state = 'rejected'
   AND (%(keys)s::text[] IS NULL OR order_key = ANY(%(keys)s))
   AND (%(after)s::text IS NULL OR order_key > %(after)s)
   AND (%(most_retries)s::int IS NULL
        OR coalesce(retries, 0) < %(most_retries)s
           AND rejected_by IS DISTINCT FROM 'api')
 ORDER BY order_key
 LIMIT %(limit)s;

-- name: retry_rejected :one
-- Makes orders that were set aside pending again, in new batches of at most `size`; with
-- `most_retries` by itself, which is counted and bounded, and otherwise by hand.
-- Those that may have arrived stay apart: they count as possible repeats. So
-- do those of a backfill, which stay in its lane.
WITH chosen AS MATERIALIZED (
    SELECT l.order_key, l.confirmed_at, l.batch_id, l.reason,
           coalesce(l.uncertain_attempts, 0) AS uncertain_attempts, b.lane,
           b.backfill_id, b.is_resend
      FROM syncd.ledger AS l
     CROSS JOIN LATERAL (
           SELECT a.lane,
                  coalesce(a.backfill_id, 0) AS backfill_id, a.is_resend
             FROM syncd.batch AS a
            WHERE a.batch_id = l.batch_id
            LIMIT 1) AS b
     WHERE l.feed_id = %(feed)s
       AND l.state = ANY(%(states)s)
       AND (%(all)s OR l.order_key = ANY(%(orders)s))
       AND (%(reason)s::text IS NULL
            OR position(lower(%(reason)s) IN lower(l.reason)) > 0)
       AND (%(most_retries)s::int IS NULL OR coalesce(l.retries, 0) < %(most_retries)s)
       FOR NO KEY UPDATE OF l
), placed AS (
    SELECT c.*,
           (row_number() OVER (PARTITION BY c.uncertain_attempts, c.lane, c.backfill_id,
                                            c.is_resend
                               ORDER BY c.confirmed_at, c.order_key) - 1)
               / %(size)s AS slot
      FROM chosen AS c
), slots AS MATERIALIZED (
    SELECT s.*, nextval('syncd.batch_batch_id_seq') AS batch_id
      FROM (SELECT uncertain_attempts, lane, backfill_id, is_resend, slot, count(*) AS orders,
                   min(confirmed_at) AS oldest_at
              FROM placed
             GROUP BY uncertain_attempts, lane, backfill_id, is_resend, slot
             ORDER BY uncertain_attempts, slot) AS s
), cut AS (
    INSERT INTO syncd.batch
           (batch_id, feed_id, lane, state, orders, oldest_at, uncertain_attempts, backfill_id,
            is_resend)
    SELECT s.batch_id, %(feed)s, s.lane,
           CASE WHEN s.uncertain_attempts > 0
                     AND %(most_retries)s::int IS NOT NULL
                     AND f.holds_uncertain
                THEN 'held' ELSE 'pending' END,
           s.orders, s.oldest_at, s.uncertain_attempts, nullif(s.backfill_id, 0), s.is_resend
      FROM slots AS s
      JOIN syncd.feed AS f ON f.feed_id = %(feed)s
), departed AS (
    INSERT INTO syncd.order_move (feed_id, order_key, batch_id, why, reason)
    SELECT %(feed)s, order_key, batch_id,
           CASE WHEN %(most_retries)s::int IS NULL THEN 'retried' ELSE 'mended' END,
           reason
      FROM chosen
), revived AS (
    UPDATE syncd.ledger AS l
       SET state = NULL, reason = NULL, uncertain_attempts = NULL, waiting_since = NULL,
           rejected_by = NULL, batch_id = s.batch_id,
           retries = CASE WHEN %(most_retries)s::int IS NOT NULL
                          THEN coalesce(l.retries, 0) + 1 END
      FROM placed AS p
      JOIN slots AS s USING (uncertain_attempts, lane, backfill_id, is_resend, slot)
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
   AND (%(all)s OR l.order_key = ANY(%(orders)s))
   AND (%(reason)s::text IS NULL
        OR position(lower(%(reason)s) IN lower(l.reason)) > 0);

-- name: held :many
-- Orders that wait for a person, because an attempt's outcome is unknown. Relies on
-- batch_held.
SELECT l.order_key, l.confirmed_at, b.batch_id AS batch, a.attempt,
       a.started_at AS attempted_at, a.reason
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
    INSERT INTO syncd.batch
           (batch_id, feed_id, lane, orders, oldest_at, uncertain_attempts, backfill_id, is_resend)
    SELECT s.target, b.feed_id, b.lane, s.orders, s.oldest_at, b.uncertain_attempts,
           b.backfill_id, b.is_resend
      FROM sources AS s
      JOIN syncd.batch AS b USING (batch_id)
), departed AS (
    INSERT INTO syncd.order_move (feed_id, order_key, batch_id, why)
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
           state = CASE WHEN b.orders = s.orders THEN 'emptied' ELSE b.state END,
           settled_at = CASE WHEN b.orders = s.orders THEN clock_timestamp() END
      FROM sources AS s
     WHERE b.batch_id = s.batch_id
)
SELECT count(*)
  FROM chosen;

-- name: discard_held :one
-- Gives held orders up; they stay, so that nothing captures them again.
WITH chosen AS MATERIALIZED (
    SELECT l.order_key, l.batch_id, b.uncertain_attempts
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
           reason = 'discarded by hand: an attempt''s outcome is unknown',
           uncertain_attempts = nullif(c.uncertain_attempts, 0)
      FROM chosen AS c
     WHERE l.feed_id = %(feed)s
       AND l.order_key = c.order_key
), emptied AS (
    UPDATE syncd.batch AS b
       SET orders = b.orders - s.orders,
           state = CASE WHEN b.orders = s.orders THEN 'emptied' ELSE b.state END,
           settled_at = CASE WHEN b.orders = s.orders THEN clock_timestamp() END
      FROM (SELECT batch_id, count(*) AS orders FROM chosen GROUP BY batch_id) AS s
     WHERE b.batch_id = s.batch_id
)
SELECT count(*)
  FROM chosen;

-- name: suspected :many
-- Orders that wait since the API refused them, or may have taken them; in the form of
-- `rejected`. Relies on batch_due.
SELECT l.order_key, coalesce(l.orderid, '') AS orderid, 'suspected' AS state,
       coalesce(a.reason, 'refused together with others') AS reason, l.confirmed_at
  FROM syncd.batch AS b
  JOIN syncd.ledger AS l USING (batch_id)
  LEFT JOIN syncd.attempt AS a
    ON a.batch_id = b.batch_id
   AND a.attempt = b.attempts
 WHERE b.feed_id = %(feed)s
   AND b.state = 'pending'
   AND (b.refused_at IS NOT NULL OR b.uncertain_attempts > 0)
   AND l.state IS NULL
   AND (%(reason)s::text IS NULL
        OR position(lower(%(reason)s) IN lower(a.reason)) > 0)
 ORDER BY l.confirmed_at, l.order_key
 LIMIT %(limit)s;

-- name: discard_waiting :one
-- Gives up orders by name that wait after an attempt; none that is being sent.
WITH chosen AS MATERIALIZED (
    SELECT l.order_key, l.batch_id, b.uncertain_attempts, a.reason
      FROM syncd.ledger AS l
      JOIN syncd.batch AS b USING (batch_id)
      LEFT JOIN syncd.attempt AS a
        ON a.batch_id = b.batch_id
       AND a.attempt = b.attempts
     WHERE l.feed_id = %(feed)s
       AND l.order_key = ANY(%(orders)s)
       AND l.state IS NULL
       AND b.state IN ('pending', 'held')
       AND (b.attempts > 0 OR b.refused_at IS NOT NULL OR b.uncertain_attempts > 0)
       FOR NO KEY UPDATE OF l, b
), given_up AS (
    UPDATE syncd.ledger AS l
       SET state = 'discarded',
           reason = 'discarded by hand: ' || coalesce(c.reason, 'it waited'),
           uncertain_attempts = nullif(c.uncertain_attempts, 0)
      FROM chosen AS c
     WHERE l.feed_id = %(feed)s
       AND l.order_key = c.order_key
), emptied AS (
    UPDATE syncd.batch AS b
       SET orders = b.orders - s.orders,
           state = CASE WHEN b.orders = s.orders THEN 'emptied' ELSE b.state END,
           settled_at = CASE WHEN b.orders = s.orders THEN clock_timestamp() END
      FROM (SELECT batch_id, count(*) AS orders FROM chosen GROUP BY batch_id) AS s
     WHERE b.batch_id = s.batch_id
)
SELECT count(*)
  FROM chosen;
