-- The endpoint's last state, for every instance.

-- name: endpoint_history :one
SELECT failures, refusals, accepted_at, recent_accepted, recent_rejected
  FROM syncd.endpoint
 WHERE feed_id = %(feed)s;

-- name: endpoint_failed :rows
-- The endpoint is to be left alone until `retry_at`. While an answer waits to be
-- explained, it stays held for that.
UPDATE syncd.endpoint
   SET since = CASE WHEN state = %(state)s THEN since ELSE clock_timestamp() END,
       state = CASE WHEN unknown_shape IS NULL THEN %(state)s ELSE state END,
       failures = failures + 1,
       retry_at = clock_timestamp() + %(wait)s,
       reason = CASE WHEN unknown_shape IS NULL THEN %(reason)s ELSE reason END,
       suspect_batch = CASE WHEN unknown_shape IS NOT NULL THEN suspect_batch
                            WHEN %(state)s = 'held' THEN %(suspect)s::bigint END
 WHERE feed_id = %(feed)s;

-- name: endpoint_refused :one
-- Counts a refusal by an endpoint that answers; what follows from it need not wait.
UPDATE syncd.endpoint
   SET refusals = refusals + %(refusals)s,
       retry_at = CASE WHEN state = 'available' THEN retry_at ELSE clock_timestamp() END
 WHERE feed_id = %(feed)s
RETURNING failures, refusals, accepted_at, recent_accepted, recent_rejected;

-- name: endpoint_blamed :rows
-- Counts an order that was rejected while others were accepted.
UPDATE syncd.endpoint
   SET recent_rejected = (recent_rejected + 1)
           * least(1, %(recent)s / (recent_accepted + recent_rejected + 1)),
       recent_accepted = recent_accepted
           * least(1, %(recent)s / (recent_accepted + recent_rejected + 1)),
       spike_at = NULL
 WHERE feed_id = %(feed)s;

-- name: rejections_spiked :rows
-- Too many are rejected already; changes no row when that is known.
UPDATE syncd.endpoint
   SET spike_at = clock_timestamp()
 WHERE feed_id = %(feed)s
   AND spike_at IS NULL;

-- name: answer_unknown :rows
-- Nothing is sent until an operator decides what an answer means.
UPDATE syncd.endpoint
   SET since = CASE WHEN state = 'held' THEN since ELSE clock_timestamp() END,
       state = 'held',
       failures = failures + 1,
       reason = %(reason)s,
       unknown_shape = %(shape)s,
       suspect_batch = %(batch)s
 WHERE feed_id = %(feed)s
   AND unknown_shape IS NULL;

-- name: end_probe :rows
-- A probe that sent nothing gives its turn back.
UPDATE syncd.endpoint
   SET retry_at = clock_timestamp()
 WHERE feed_id = %(feed)s
   AND state <> 'available'
   AND retry_at > clock_timestamp();

-- name: release_endpoint :rows
-- Probes at once, whatever the endpoint's last state.
UPDATE syncd.endpoint
   SET state = 'available',
       failures = 0,
       refusals = 0,
       retry_at = '-infinity',
       reason = NULL,
       suspect_batch = NULL,
       spike_at = NULL,
       unknown_shape = NULL,
       recent_accepted = 0,
       recent_rejected = 0,
       since = clock_timestamp()
 WHERE feed_id = %(feed)s
   AND (state <> 'available' OR spike_at IS NOT NULL);
