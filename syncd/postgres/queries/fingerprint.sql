-- Fingerprints of the last events, field by field, without their values.

-- name: mapping :one
-- The hash of a view's text; views beneath it are not included.
SELECT coalesce(md5(pg_get_viewdef(to_regclass(%(view)s))), '');

-- name: keep_fingerprints :rows
INSERT INTO syncd.fingerprint (feed_id, order_key, sent_at, key_id, mapping, fields)
SELECT %(feed)s, f.order_key, f.sent_at, %(key_id)s, %(mapping)s, f.fields::jsonb
  FROM unnest(%(keys)s::text[], %(times)s::timestamptz[], %(fields)s::text[])
       AS f (order_key, sent_at, fields)
    ON CONFLICT ON CONSTRAINT fingerprint_once DO UPDATE
   SET sent_at = excluded.sent_at,
       key_id = excluded.key_id,
       mapping = excluded.mapping,
       fields = excluded.fields;

-- name: thin_fingerprints :rows
-- Forgets all but the newest ones. Relies on fingerprint_newest.
DELETE FROM syncd.fingerprint
 WHERE feed_id = %(feed)s
   AND sent_at < (SELECT n.sent_at
                    FROM syncd.fingerprint AS n
                   WHERE n.feed_id = %(feed)s
                   ORDER BY n.sent_at DESC
                  OFFSET %(kept)s
                   LIMIT 1);

-- name: fingerprints :many
-- The newest fingerprints, with the order's time in the ledger.
SELECT f.order_key, f.sent_at, f.key_id, f.mapping, f.fields, l.confirmed_at
  FROM syncd.fingerprint AS f
  LEFT JOIN syncd.ledger AS l USING (feed_id, order_key)
 WHERE f.feed_id = %(feed)s
 ORDER BY f.sent_at DESC
 LIMIT %(last)s;

-- name: last_delivered :many
-- The orders delivered last, newest batch first. Relies on batch_settled and
-- ledger_batch.
SELECT l.order_key, l.confirmed_at
  FROM (SELECT b.batch_id, b.settled_at
          FROM syncd.batch AS b
         WHERE b.feed_id = %(feed)s
           AND b.state = 'delivered'
         ORDER BY b.settled_at DESC
         LIMIT %(last)s) AS b
 CROSS JOIN LATERAL (SELECT o.order_key, o.confirmed_at
                       FROM syncd.ledger AS o
                      WHERE o.batch_id = b.batch_id
                        AND o.state IS NULL
                      LIMIT %(last)s) AS l
 ORDER BY b.settled_at DESC, l.confirmed_at DESC
 LIMIT %(last)s;
