-- Past ranges that somebody asked for.

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
