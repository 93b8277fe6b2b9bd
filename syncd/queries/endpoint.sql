-- What the endpoint last said, for every instance.

-- name: endpoint_failures :one
SELECT failures
  FROM syncd.endpoint
 WHERE feed_id = %(feed)s;

-- name: endpoint_failed :rows
-- The endpoint is to be left alone until `retry_at`. While a batch is doubted, it stays
-- held for that.
UPDATE syncd.endpoint
   SET since = CASE WHEN state = %(state)s THEN since ELSE clock_timestamp() END,
       state = CASE WHEN doubted_batch IS NULL THEN %(state)s ELSE 'held' END,
       failures = failures + 1,
       retry_at = clock_timestamp() + %(wait)s,
       reason = CASE WHEN doubted_batch IS NULL OR %(doubted)s::bigint IS NOT NULL
                     THEN %(reason)s ELSE reason END,
       doubted_batch = coalesce(%(doubted)s::bigint, doubted_batch)
 WHERE feed_id = %(feed)s;

-- name: endpoint_refused :one
-- Counts a refusal by an endpoint that answers; what follows from it need not wait.
UPDATE syncd.endpoint
   SET refusals = refusals + %(refusals)s,
       retry_at = CASE WHEN state = 'open' THEN retry_at ELSE clock_timestamp() END
 WHERE feed_id = %(feed)s
RETURNING refusals, accepted_at, recent_accepted, recent_rejected;

-- name: endpoint_blamed :rows
-- Counts an order that was rejected while others were accepted.
UPDATE syncd.endpoint
   SET recent_rejected = (recent_rejected + 1)
           * least(1, %(recent)s / (recent_accepted + recent_rejected + 1)),
       recent_accepted = recent_accepted
           * least(1, %(recent)s / (recent_accepted + recent_rejected + 1))
 WHERE feed_id = %(feed)s;

-- name: end_probe :rows
-- A probe that sent nothing gives its turn back.
UPDATE syncd.endpoint
   SET retry_at = clock_timestamp()
 WHERE feed_id = %(feed)s
   AND state <> 'open'
   AND retry_at > clock_timestamp();

-- name: release_endpoint :rows
-- Tries again at once, whatever the endpoint said before.
UPDATE syncd.endpoint
   SET state = 'open',
       failures = 0,
       refusals = 0,
       retry_at = '-infinity',
       reason = NULL,
       doubted_batch = NULL,
       recent_accepted = 0,
       recent_rejected = 0,
       since = clock_timestamp()
 WHERE feed_id = %(feed)s
   AND state <> 'open';
