-- Erasure of orders.

-- name: standings :many
-- Where some orders stand; null for one that the ledger does not have.
SELECT k.order_key, coalesce(l.state, b.state) AS state, b.state AS batch,
       b.uncertain_attempts > 0
           OR l.uncertain_attempts > 0
           OR EXISTS (SELECT
                        FROM syncd.order_move AS d
                        JOIN syncd.batch AS e USING (batch_id)
                       WHERE d.feed_id = l.feed_id
                         AND d.order_key = l.order_key
                         AND e.uncertain_attempts > 0) AS is_uncertain,
       l.orderid AS number, l.reason
  FROM unnest(%(keys)s::text[]) WITH ORDINALITY AS k (order_key, place)
  LEFT JOIN syncd.ledger AS l
    ON l.feed_id = %(feed)s
   AND l.order_key = k.order_key
  LEFT JOIN syncd.batch AS b ON b.batch_id = l.batch_id
 ORDER BY k.place;

-- name: known_as :many
-- Orders of the ledger by key, or by the number that an exception keeps.
SELECT l.order_key
  FROM syncd.ledger AS l
 WHERE l.feed_id = %(feed)s
   AND l.order_key = %(order)s
 UNION
SELECT l.order_key
  FROM syncd.ledger AS l
 WHERE l.feed_id = %(feed)s
   AND l.state IS NOT NULL
   AND l.orderid = %(order)s;

-- name: lock_batches :many
-- Locks the batches of some orders: they are not claimed, split or settled meanwhile.
SELECT b.batch_id
  FROM syncd.batch AS b
 WHERE b.batch_id IN (SELECT l.batch_id
                        FROM syncd.ledger AS l
                       WHERE l.feed_id = %(feed)s
                         AND l.order_key = ANY(%(keys)s))
 ORDER BY b.batch_id
   FOR UPDATE;

-- name: erase :rows
-- Sets orders of the ledger aside for good, without anything that could name a person.
WITH chosen AS MATERIALIZED (
    SELECT l.order_key, l.batch_id, l.state IS NULL AS is_ordinary, k.reason
      FROM unnest(%(keys)s::text[], %(reasons)s::text[]) AS k (order_key, reason)
      JOIN syncd.ledger AS l
        ON l.feed_id = %(feed)s
       AND l.order_key = k.order_key
       FOR NO KEY UPDATE OF l
), emptied AS (
    UPDATE syncd.batch AS b
       SET orders = b.orders - c.orders,
           state = CASE WHEN e.is_over THEN 'emptied' ELSE b.state END,
           settled_at = CASE WHEN e.is_over THEN clock_timestamp()
                             ELSE b.settled_at END
      FROM (SELECT batch_id, count(*) AS orders
              FROM chosen
             WHERE is_ordinary
             GROUP BY batch_id) AS c
     CROSS JOIN LATERAL (SELECT w.state IN ('pending', 'held')
                                AND w.orders = c.orders AS is_over
                           FROM syncd.batch AS w
                          WHERE w.batch_id = c.batch_id) AS e
     WHERE b.batch_id = c.batch_id
)
UPDATE syncd.ledger AS l
   SET state = 'erased',
       reason = c.reason,
       orderid = NULL,
       waiting_since = NULL
  FROM chosen AS c
 WHERE l.feed_id = %(feed)s
   AND l.order_key = c.order_key;

-- name: insert_tombstones :rows
-- Enters orders that the ledger does not have, so that nothing ever captures them.
WITH made AS (
    INSERT INTO syncd.batch (feed_id, lane, state, orders, oldest_at, settled_at)
    VALUES (%(feed)s, 'live', 'emptied', 0, clock_timestamp(), clock_timestamp())
    RETURNING batch_id
)
INSERT INTO syncd.ledger (feed_id, order_key, confirmed_at, batch_id, state, reason)
SELECT %(feed)s, k.order_key, clock_timestamp(), m.batch_id, 'erased', %(reason)s
  FROM unnest(%(keys)s::text[]) AS k (order_key), made AS m
    ON CONFLICT ON CONSTRAINT ledger_order_once DO NOTHING;

-- name: scrub :none
-- Takes the orders' public numbers, and texts that may hold them, out of receipts and
-- whatever else keeps such. Where a number is not known, the receipt loses all of them.
-- A shape holds neither number nor name; the others of a held batch wait under it.
WITH batches AS MATERIALIZED (
    SELECT l.batch_id
      FROM syncd.ledger AS l
     WHERE l.feed_id = %(feed)s
       AND l.order_key = ANY(%(keys)s)
     UNION
    SELECT d.batch_id
      FROM syncd.order_move AS d
     WHERE d.feed_id = %(feed)s
       AND d.order_key = ANY(%(keys)s)
), receipts AS (
    UPDATE syncd.attempt AS a
       SET orderids = CASE WHEN %(all_known)s
                           THEN ARRAY(SELECT o.orderid
                                        FROM unnest(a.orderids)
                                             WITH ORDINALITY AS o (orderid, place)
                                       WHERE o.orderid <> ALL(%(numbers)s::text[])
                                       ORDER BY o.place) END,
           reason = CASE WHEN a.reason IS NOT NULL
                         THEN 'removed: an order of it was erased' END,
           shape = CASE WHEN s.state = 'held' THEN a.shape END
      FROM batches AS b
      JOIN syncd.batch AS s USING (batch_id)
     WHERE a.batch_id = b.batch_id
       AND (a.orderids IS NOT NULL OR a.shape IS NOT NULL)
), order_moves AS (
    UPDATE syncd.order_move AS d
       SET reason = NULL
     WHERE d.feed_id = %(feed)s
       AND d.order_key = ANY(%(keys)s)
), answers AS (
    UPDATE syncd.answer AS w
       SET example = 'removed: an order of it was erased'
      FROM syncd.feed AS f
     WHERE f.feed_id = %(feed)s
       AND w.feed = f.feed
       AND (NOT %(all_known)s
            OR EXISTS (SELECT
                         FROM unnest(%(numbers)s::text[]) AS n (orderid)
                        WHERE position(n.orderid IN w.example) > 0))
), fingerprints AS (
    DELETE FROM syncd.fingerprint AS f
     WHERE f.feed_id = %(feed)s
       AND f.order_key = ANY(%(keys)s)
)
UPDATE syncd.endpoint AS e
   SET reason = 'removed: it named an order that was erased'
 WHERE e.feed_id = %(feed)s
   AND EXISTS (SELECT
                 FROM unnest(%(numbers)s::text[]) AS n (orderid)
                WHERE position(n.orderid IN e.reason) > 0);
