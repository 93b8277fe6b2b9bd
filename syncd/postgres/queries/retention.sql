-- What of old orders is kept.

-- name: begin_pruning :rows
-- Takes the turn to thin the ledger, if the last one is a period ago.
UPDATE syncd.feed
   SET pruned_at = clock_timestamp()
 WHERE feed_id = %(feed)s
   AND (pruned_at IS NULL OR pruned_at < clock_timestamp() - %(period)s);

-- name: thin :one
-- Continues from its last position through batches older than `keep`: merges the
-- ordinary orders of delivered ones into one batch, and deletes batches that are no
-- longer needed, with their receipts. Uncertain and excepted orders stay, with the
-- batches that they were in. Every order keeps its row, so nothing can capture it
-- again. Relies on batch_identity, ledger_batch and order_move_batch; reads no more
-- than it may change.
WITH page AS MATERIALIZED (
    SELECT b.batch_id, b.feed_id, b.state, b.uncertain_attempts, b.created_at,
           sum(b.orders) OVER (ORDER BY b.batch_id) - b.orders AS before
      FROM (SELECT p.batch_id, p.feed_id, p.state, p.uncertain_attempts, p.created_at, p.orders
              FROM syncd.batch AS p
             WHERE p.batch_id > (SELECT f.pruned_after
                                   FROM syncd.feed AS f
                                  WHERE f.feed_id = %(feed)s)
             ORDER BY p.batch_id
             LIMIT %(batches)s) AS b
), passed AS MATERIALIZED (
    SELECT p.batch_id,
           p.feed_id = %(feed)s AND p.uncertain_attempts = 0
               AND p.state IN ('delivered', 'emptied') AS is_old
      FROM page AS p
     WHERE p.before < %(orders)s
       AND p.created_at < clock_timestamp() - %(keep)s
), target AS MATERIALIZED (
    SELECT coalesce(f.pruned_batch, nextval('syncd.batch_batch_id_seq')) AS batch_id,
           f.pruned_batch IS NULL AS is_new
      FROM syncd.feed AS f
     WHERE f.feed_id = %(feed)s
), ended AS MATERIALIZED (
    SELECT b.batch_id, b.state, b.settled_at, b.oldest_at
      FROM syncd.batch AS b
     WHERE b.batch_id = ANY(ARRAY(SELECT p.batch_id FROM passed AS p WHERE p.is_old))
       AND b.state IN ('delivered', 'emptied')
       AND b.uncertain_attempts = 0
       AND b.batch_id <> (SELECT t.batch_id FROM target AS t)
       FOR UPDATE
), needed AS MATERIALIZED (
    SELECT l.batch_id
      FROM syncd.ledger AS l
     WHERE l.batch_id = ANY(ARRAY(SELECT o.batch_id FROM ended AS o))
       AND l.state IS NOT NULL
     UNION
    SELECT d.batch_id
      FROM syncd.order_move AS d
      JOIN syncd.ledger AS l USING (feed_id, order_key)
     WHERE d.batch_id = ANY(ARRAY(SELECT o.batch_id FROM ended AS o))
       AND l.state IS NOT NULL
), merged AS (
    UPDATE syncd.ledger AS l
       SET batch_id = t.batch_id,
           capture = NULL,
           waiting_since = NULL,
           orderid = NULL
      FROM target AS t
     WHERE l.batch_id = ANY(ARRAY(SELECT o.batch_id FROM ended AS o
                                   WHERE o.state = 'delivered'))
       AND l.state IS NULL
    RETURNING l.confirmed_at
), sums AS MATERIALIZED (
    SELECT count(*) AS orders, max(m.confirmed_at) AS newest_at,
           (SELECT min(o.oldest_at) FROM ended AS o WHERE o.state = 'delivered')
               AS oldest_at,
           (SELECT max(o.settled_at) FROM ended AS o WHERE o.state = 'delivered')
               AS settled_at
      FROM merged AS m
), begun AS (
    INSERT INTO syncd.batch
           (batch_id, feed_id, lane, state, orders, oldest_at, settled_at, is_pruned)
    SELECT t.batch_id, %(feed)s, 'live', 'delivered', s.orders, s.oldest_at,
           s.settled_at, true
      FROM target AS t, sums AS s
     WHERE t.is_new
       AND s.orders > 0
    RETURNING batch_id
), added AS (
    UPDATE syncd.batch AS b
       SET orders = b.orders + s.orders,
           oldest_at = least(b.oldest_at, s.oldest_at),
           settled_at = greatest(b.settled_at, s.settled_at)
      FROM target AS t, sums AS s
     WHERE b.batch_id = t.batch_id
       AND s.orders > 0
), emptied AS (
    UPDATE syncd.batch AS b
       SET orders = 0
      FROM ended AS o
     WHERE b.batch_id = o.batch_id
       AND o.state = 'delivered'
       AND b.batch_id IN (SELECT n.batch_id FROM needed AS n)
), gone AS (
    DELETE FROM syncd.batch AS b
     WHERE b.batch_id = ANY(ARRAY(SELECT o.batch_id FROM ended AS o
                                  EXCEPT
                                  SELECT n.batch_id FROM needed AS n))
    RETURNING b.batch_id
), noted AS (
    UPDATE syncd.feed AS f
       SET pruned_after = greatest(f.pruned_after,
                                    (SELECT max(p.batch_id) FROM passed AS p)),
           pruned_batch = coalesce(f.pruned_batch, (SELECT n.batch_id FROM begun AS n)),
           pruned_until = greatest(f.pruned_until, s.newest_at)
      FROM sums AS s
     WHERE f.feed_id = %(feed)s
       AND EXISTS (SELECT FROM passed)
)
SELECT (SELECT count(*) FROM passed) AS passed, s.orders,
       (SELECT count(*) FROM gone) AS gone
  FROM sums AS s;

-- name: pruned :many
-- Between which stamps delivered orders have no receipt any more; no row without any.
SELECT b.oldest_at, f.pruned_until
  FROM syncd.feed AS f
  JOIN syncd.batch AS b ON b.batch_id = f.pruned_batch
 WHERE f.feed_id = %(feed)s
   AND f.pruned_until IS NOT NULL;
