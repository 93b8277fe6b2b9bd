-- What a person has paused, for every instance.

-- name: pause_sending :one
-- Nothing is claimed any more; a pause that is on keeps its beginning.
UPDATE syncd.endpoint AS e
   SET paused_at = coalesce(e.paused_at, clock_timestamp()),
       paused_reason = coalesce(%(reason)s, e.paused_reason)
  FROM (SELECT p.feed_id, p.paused_at
          FROM syncd.endpoint AS p
         WHERE p.feed_id = %(feed)s
           FOR NO KEY UPDATE) AS before
 WHERE e.feed_id = before.feed_id
RETURNING e.paused_at, e.paused_reason, before.paused_at IS NULL AS begins;

-- name: pause_capture :one
-- Nothing is admitted any more. Waits for lock_watermark.
UPDATE syncd.watermark AS w
   SET paused_at = coalesce(w.paused_at, clock_timestamp()),
       paused_reason = coalesce(%(reason)s, w.paused_reason)
  FROM (SELECT p.feed_id, p.paused_at
          FROM syncd.watermark AS p
         WHERE p.feed_id = %(feed)s
           FOR NO KEY UPDATE) AS before
 WHERE w.feed_id = before.feed_id
RETURNING w.paused_at, w.paused_reason, before.paused_at IS NULL AS begins;

-- name: resume_sending :many
-- Since when it was paused; no row when it was not.
UPDATE syncd.endpoint AS e
   SET paused_at = NULL,
       paused_reason = NULL
  FROM (SELECT p.feed_id, p.paused_at
          FROM syncd.endpoint AS p
         WHERE p.feed_id = %(feed)s
           AND p.paused_at IS NOT NULL
           FOR NO KEY UPDATE) AS before
 WHERE e.feed_id = before.feed_id
RETURNING before.paused_at;

-- name: resume_capture :many
-- Since when it was paused; no row when it was not.
UPDATE syncd.watermark AS w
   SET paused_at = NULL,
       paused_reason = NULL
  FROM (SELECT p.feed_id, p.paused_at
          FROM syncd.watermark AS p
         WHERE p.feed_id = %(feed)s
           AND p.paused_at IS NOT NULL
           FOR NO KEY UPDATE) AS before
 WHERE w.feed_id = before.feed_id
RETURNING before.paused_at;
