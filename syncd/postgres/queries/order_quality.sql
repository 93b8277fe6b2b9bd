-- How well the view's orders fit an event: details left out, orders refused.

-- name: count_left_out :rows
-- Adds to what was left out of events, by field and reason; forgets what has not
-- happened for a month.
WITH stale AS (
    DELETE FROM syncd.left_out
     WHERE feed_id = %(feed)s
       AND last_at < clock_timestamp() - interval '30 days'
)
INSERT INTO syncd.left_out (feed_id, field, reason, orders, order_key)
SELECT %(feed)s, n.field, n.reason, n.orders, n.order_key
  FROM unnest(%(fields)s::text[], %(reasons)s::text[], %(orders)s::bigint[],
              %(keys)s::text[]) AS n (field, reason, orders, order_key)
    ON CONFLICT ON CONSTRAINT left_out_once DO UPDATE
   SET orders = left_out.orders + excluded.orders,
       order_key = excluded.order_key,
       last_at = clock_timestamp();

-- name: left_out :many
-- What was left out of events in the last day, the most frequent first.
SELECT field, reason, orders, order_key, first_at, last_at
  FROM syncd.left_out
 WHERE feed_id = %(feed)s
   AND last_at > clock_timestamp() - interval '1 day'
 ORDER BY orders DESC, field, reason
 LIMIT %(most)s;

-- name: recent_refusals :one
-- Of the newest live orders that are settled: how many there are, how many of them
-- were rejected, and the most frequent reason. Relies on batch_identity and
-- ledger_batch.
WITH batches AS MATERIALIZED (
    SELECT b.batch_id
      FROM syncd.batch AS b
     WHERE b.feed_id = %(feed)s
       AND b.lane = 'live'
       AND b.state IN ('delivered', 'emptied')
     ORDER BY b.batch_id DESC
     LIMIT %(newest)s
), orders AS MATERIALIZED (
    SELECT l.state, l.reason
      FROM batches AS b
      JOIN syncd.ledger AS l USING (batch_id)
     WHERE l.feed_id = %(feed)s
       AND (l.state IS NULL OR l.state = 'rejected')
     ORDER BY b.batch_id DESC
     LIMIT %(newest)s
)
SELECT count(*) AS orders,
       count(*) FILTER (WHERE o.state = 'rejected') AS rejected,
       mode() WITHIN GROUP (ORDER BY o.reason)
              FILTER (WHERE o.state = 'rejected') AS reason
  FROM orders AS o;
