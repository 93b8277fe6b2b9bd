-- What undocumented answers mean.

-- name: answer_means :many
-- The meaning given, after a concurrent decision has committed.
SELECT means
  FROM syncd.answer
 WHERE feed = %(feed)s
   AND account = %(account)s
   AND endpoint = %(endpoint)s
   AND shape = %(shape)s
   FOR SHARE;

-- name: note_answer :rows
INSERT INTO syncd.answer (feed, account, endpoint, shape, example)
VALUES (%(feed)s, %(account)s, %(endpoint)s, %(shape)s, %(example)s)
    ON CONFLICT ON CONSTRAINT answer_once DO NOTHING;

-- name: unexplained_answers :many
SELECT shape, example, seen_at
  FROM syncd.answer
 WHERE feed = %(feed)s
   AND account = %(account)s
   AND endpoint = %(endpoint)s
   AND means IS NULL
 ORDER BY seen_at, shape
 LIMIT 100;

-- name: answer_explained :rows
UPDATE syncd.answer
   SET means = %(means)s,
       classified_at = clock_timestamp()
 WHERE feed = %(feed)s
   AND account = %(account)s
   AND endpoint = %(endpoint)s
   AND shape = %(shape)s;

-- name: deliver_explained :one
-- Settles the held batches whose last attempt was answered so: it was accepted, and is
-- uncertain no more. The attempt's token proves the claim.
WITH explained AS MATERIALIZED (
    SELECT b.batch_id, b.attempts, a.claim_token, b.orders
      FROM syncd.batch AS b
      JOIN syncd.attempt AS a
        ON a.batch_id = b.batch_id
       AND a.attempt = b.attempts
     WHERE b.feed_id = %(feed)s
       AND b.state = 'held'
       AND a.shape = %(shape)s
       FOR NO KEY UPDATE OF b
), accepted AS (
    UPDATE syncd.attempt AS a
       SET outcome = 'accepted',
           reason = NULL
      FROM explained AS e
     WHERE a.batch_id = e.batch_id
       AND a.attempt = e.attempts
), settled AS (
    UPDATE syncd.batch AS b
       SET state = 'delivered',
           settled_at = clock_timestamp(),
           claim_token = e.claim_token,
           uncertain_attempts = greatest(b.uncertain_attempts - 1, 0)
      FROM explained AS e
     WHERE b.batch_id = e.batch_id
)
SELECT coalesce(sum(orders), 0)::bigint
  FROM explained;

-- name: send_explained :one
-- Makes the held batches pending again whose last attempt was answered so: none of their
-- orders was taken by it, and it is uncertain no more.
WITH explained AS MATERIALIZED (
    SELECT b.batch_id, b.attempts, b.orders
      FROM syncd.batch AS b
      JOIN syncd.attempt AS a
        ON a.batch_id = b.batch_id
       AND a.attempt = b.attempts
     WHERE b.feed_id = %(feed)s
       AND b.state = 'held'
       AND a.shape = %(shape)s
       FOR NO KEY UPDATE OF b
), refused AS (
    UPDATE syncd.attempt AS a
       SET outcome = 'refused'
      FROM explained AS e
     WHERE a.batch_id = e.batch_id
       AND a.attempt = e.attempts
), freed AS (
    UPDATE syncd.batch AS b
       SET state = 'pending',
           due_at = '-infinity',
           uncertain_attempts = greatest(b.uncertain_attempts - 1, 0)
      FROM explained AS e
     WHERE b.batch_id = e.batch_id
)
SELECT coalesce(sum(orders), 0)::bigint
  FROM explained;

-- name: release_explained :rows
-- The endpoint waits for this explanation no more.
UPDATE syncd.endpoint
   SET state = 'available',
       failures = 0,
       refusals = 0,
       retry_at = '-infinity',
       reason = NULL,
       suspect_batch = NULL,
       unknown_shape = NULL,
       since = clock_timestamp()
 WHERE feed_id = %(feed)s
   AND unknown_shape = %(shape)s;
