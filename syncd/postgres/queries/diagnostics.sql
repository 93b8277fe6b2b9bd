-- How a feed stands, and what became of an order.

-- name: stats :one
-- How the feed stands. `missed`: what the last three accounts of a scope had to capture,
-- if two of them had to. Relies on batch_due, batch_claimed, batch_held and ledger_exception.
SELECT w.confirmed_at AS watermark, clock_timestamp() AS now, e.state AS endpoint,
       e.reason AS endpoint_reason, e.since AS endpoint_since,
       (SELECT coalesce(sum(b.orders), 0) FROM syncd.batch AS b
         WHERE b.feed_id = w.feed_id AND b.state = 'pending'
           AND b.backfill_id IS NULL) AS pending,
       (SELECT coalesce(sum(b.orders), 0) FROM syncd.batch AS b
         WHERE b.feed_id = w.feed_id AND b.state = 'pending'
           AND b.backfill_id IS NOT NULL) AS pending_backfill,
       (SELECT coalesce(sum(b.orders), 0) FROM syncd.batch AS b
         WHERE b.feed_id = w.feed_id AND b.state = 'sending') AS sending,
       least((SELECT min(b.oldest_at) FROM syncd.batch AS b
               WHERE b.feed_id = w.feed_id AND b.state = 'pending'
                 AND b.backfill_id IS NULL),
             (SELECT min(b.oldest_at) FROM syncd.batch AS b
               WHERE b.feed_id = w.feed_id AND b.state = 'sending'
                 AND b.backfill_id IS NULL)) AS oldest_at,
       (SELECT count(*) FROM syncd.ledger AS l
         WHERE l.feed_id = w.feed_id AND l.state = 'rejected') AS rejected,
       (SELECT count(*) FROM syncd.ledger AS l
         WHERE l.feed_id = w.feed_id AND l.state = 'withdrawn') AS withdrawn,
       (SELECT coalesce(sum(b.orders), 0) FROM syncd.batch AS b
         WHERE b.feed_id = w.feed_id AND b.state = 'held') AS held,
       (SELECT coalesce(sum(b.orders), 0) FROM syncd.batch AS b
         WHERE b.feed_id = w.feed_id AND b.state = 'pending' AND b.uncertain_attempts > 0)
     + (SELECT coalesce(sum(b.orders), 0) FROM syncd.batch AS b
         WHERE b.feed_id = w.feed_id AND b.state = 'held' AND b.uncertain_attempts > 0)
           AS uncertain,
       e.paused_at AS sending_paused_at, e.paused_reason AS sending_paused_reason,
       w.paused_at AS capture_paused_at, w.paused_reason AS capture_paused_reason,
       r.unexplained, r.age AS reconciled_seconds, t.without_time, m.missed,
       e.unknown_shape IS NOT NULL AS is_unknown, e.spike_at IS NOT NULL AS is_spiked,
       s.order_key AS suspect_key, s.orders AS suspect_orders
  FROM syncd.watermark AS w
  JOIN syncd.endpoint AS e USING (feed_id)
 CROSS JOIN LATERAL (
       SELECT min(l.order_key) AS order_key, count(*)::integer AS orders
         FROM syncd.ledger AS l
        WHERE l.batch_id = e.suspect_batch
          AND l.state IS NULL) AS s
 CROSS JOIN (
       SELECT coalesce(sum(a.missing - a.captured), 0)::bigint AS unexplained,
              extract(epoch FROM clock_timestamp() - max(a.finished_at))::float8 AS age
         FROM (SELECT DISTINCT ON (l.scope) l.finished_at, l.missing, l.captured
                 FROM syncd.reconciliation AS l
                WHERE l.feed_id = %(feed)s
                  AND l.finished_at IS NOT NULL
                ORDER BY l.scope, l.started_at DESC) AS a) AS r
 CROSS JOIN (
       SELECT coalesce(
                (SELECT l.without_time
                   FROM syncd.reconciliation AS l
                  WHERE l.feed_id = %(feed)s
                    AND l.without_time IS NOT NULL
                  ORDER BY l.finished_at DESC
                  LIMIT 1), 0) AS without_time) AS t
 CROSS JOIN (
       SELECT coalesce(sum(d.captured), 0)::bigint AS missed
         FROM unnest(ARRAY['hours', 'days']) AS n (scope)
        CROSS JOIN LATERAL (
              SELECT sum(a.captured) AS captured
                FROM (SELECT l.captured
                        FROM syncd.reconciliation AS l
                       WHERE l.feed_id = %(feed)s
                         AND l.scope = n.scope
                         AND l.finished_at IS NOT NULL
                       ORDER BY l.started_at DESC
                       LIMIT 3) AS a
              HAVING count(*) FILTER (WHERE a.captured > 0) >= 2) AS d) AS m
 WHERE w.feed_id = %(feed)s;

-- name: is_initial :one
-- Whether the view listed an order when the feed was started.
SELECT ({initial}) IS NOT NULL
  FROM (SELECT %(key)s::text COLLATE "C" AS order_key) AS o;

-- name: order_history :many
-- Where an order stands, with what it waits for: the endpoint, and batches before it.
SELECT l.orderid, l.confirmed_at, l.capture, l.state, l.reason, l.waiting_since,
       b.batch_id AS batch, b.lane, b.state AS batch_state, b.created_at,
       CASE WHEN l.state IS NULL THEN b.uncertain_attempts
            ELSE coalesce(l.uncertain_attempts, 0) END AS uncertain,
       b.backfill_id AS backfill,
       CASE WHEN b.due_at > clock_timestamp() THEN b.due_at END AS due_at, b.settled_at,
       e.state AS endpoint, e.reason AS endpoint_reason,
       CASE WHEN isfinite(e.retry_at) THEN e.retry_at END AS retry_at,
       (SELECT count(*)
          FROM syncd.batch AS p
         WHERE p.feed_id = l.feed_id
           AND p.lane = b.lane
           AND p.state = 'pending'
           AND p.batch_id < b.batch_id) AS before,
       b.batch_id IS NOT DISTINCT FROM f.pruned_batch AS is_pruned,
       b.read_failed_at, b.read_reason
  FROM syncd.ledger AS l
  JOIN syncd.feed AS f USING (feed_id)
  JOIN syncd.batch AS b ON b.batch_id = l.batch_id
  JOIN syncd.endpoint AS e ON e.feed_id = l.feed_id
 WHERE l.feed_id = %(feed)s
   AND l.order_key = %(key)s;

-- name: attempts :many
-- Every attempt that an order took part in, also in batches that it has left. Of an
-- attempt that was never settled it is not known which orders were sent.
SELECT a.batch_id AS batch, a.attempt, a.started_at, a.settled_at, a.outcome, a.status, a.reason,
       a.sent, encode(a.body_sha256, 'hex') AS body_sha256,
       a.orderids IS NOT NULL AS is_settled,
       CASE WHEN b.is_resend THEN r.reason END AS resent
  FROM (SELECT d.batch_id, d.left_at
          FROM syncd.order_move AS d
         WHERE d.feed_id = %(feed)s
           AND d.order_key = %(key)s
           AND d.why <> 'returned'
        UNION ALL
        SELECT l.batch_id, 'infinity'
          FROM syncd.ledger AS l
         WHERE l.feed_id = %(feed)s
           AND l.order_key = %(key)s) AS w
  JOIN syncd.attempt AS a
    ON a.batch_id = w.batch_id
   AND a.started_at <= w.left_at
  JOIN syncd.batch AS b
    ON b.batch_id = a.batch_id
  LEFT JOIN syncd.backfill AS r USING (backfill_id)
 WHERE a.outcome IS DISTINCT FROM 'nothing_to_send'
   AND (%(orderid)s::text IS NULL
        OR coalesce(%(orderid)s = ANY(a.orderids), true))
 ORDER BY a.started_at;

-- name: order_moves :many
-- The batches that an order has left, and why.
SELECT d.batch_id, d.left_at, d.why, d.reason
  FROM syncd.order_move AS d
 WHERE d.feed_id = %(feed)s
   AND d.order_key = %(key)s
 ORDER BY d.left_at;
