-- The least that admits a live order and claims it (`claim.py`).
WITH gate AS MATERIALIZED (
    SELECT FROM syncd.watermark AS w
      JOIN syncd.endpoint AS e USING (feed_id)
     WHERE w.feed_id = %(feed)s
       AND w.paused_at IS NULL AND e.paused_at IS NULL AND e.state = 'available'
), taken AS (
    DELETE FROM syncd.outbox AS o
     USING (SELECT n.ctid FROM syncd.outbox AS n WHERE n.feed = 'shop' LIMIT 1000) AS r
     WHERE o.ctid = r.ctid AND EXISTS (SELECT FROM gate)
    RETURNING o.order_key
), found AS MATERIALIZED (
    SELECT c.order_key::text COLLATE "C" AS order_key, min(c.confirmed_at) AS at
      FROM syncd.confirmed_orders AS c
     WHERE c.order_key = ANY(ARRAY(SELECT t.order_key FROM taken AS t)::bigint[])
     GROUP BY 1
), fresh AS MATERIALIZED (
    SELECT f.* FROM found AS f
     WHERE NOT EXISTS (SELECT FROM syncd.ledger AS l
                        WHERE l.feed_id = %(feed)s AND l.order_key = f.order_key)
), born AS (
    INSERT INTO syncd.batch (feed_id, lane, state, orders, oldest_at, attempts,
                             claim_token, instance_id, lease_until)
    SELECT %(feed)s, 'live', 'sending', count(*), min(f.at), 1, gen_random_uuid(),
           %(instance)s, clock_timestamp() + %(lease)s
      FROM fresh AS f HAVING count(*) > 0
    RETURNING batch_id, claim_token
), entered AS (
    INSERT INTO syncd.ledger (feed_id, order_key, confirmed_at, batch_id, capture)
    SELECT %(feed)s, f.order_key, f.at, b.batch_id, 'listen'
      FROM fresh AS f CROSS JOIN born AS b
), opened AS (
    INSERT INTO syncd.attempt (batch_id, attempt, claim_token, instance_id)
    SELECT batch_id, 1, claim_token, %(instance)s FROM born
)
SELECT b.batch_id, b.claim_token, to_json(p)::text
  FROM born AS b CROSS JOIN fresh AS f
  JOIN syncd.purchases AS p ON p.order_key = f.order_key::bigint
