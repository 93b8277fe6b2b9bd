-- What `syncd status` shows beyond the stats.

-- name: presence :many
-- Daemons that live, and the one started last, newest first. Relies on
-- instance_identity: dead ones are many.
WITH locked AS MATERIALIZED (
    SELECT l.objid::bigint::integer AS instance_id
      FROM pg_catalog.pg_locks AS l
     WHERE l.locktype = 'advisory'
       AND l.classid = 1937337955
       AND l.granted
       AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d
                          WHERE d.datname = current_database())
), newest AS (
    SELECT n.instance_id
      FROM syncd.instance AS n
     WHERE n.feed_id = %(feed)s
     ORDER BY n.instance_id DESC
     LIMIT 1
)
SELECT i.instance_id AS instance, i.host, i.pid, i.started_at, i.stopped_at,
       EXISTS (SELECT FROM locked AS l WHERE l.instance_id = i.instance_id)
           AS is_alive,
       i.trouble, i.trouble_since
  FROM syncd.instance AS i
 WHERE i.instance_id IN (SELECT instance_id FROM locked
                          UNION ALL
                         SELECT instance_id FROM newest)
   AND i.feed_id = %(feed)s
 ORDER BY i.instance_id DESC;

-- name: place :one
-- Where the feed lives, its last mark, and when its watermark moved.
SELECT f.heartbeat_at, w.moved_at, f.timeline,
       f.system_identifier, f.database_oid::bigint AS database_oid,
       f.ledger_identifier, f.ledger_oid::bigint AS ledger_oid,
       current_database() AS ledger_database
  FROM syncd.feed AS f
  JOIN syncd.watermark AS w USING (feed_id)
 WHERE f.feed_id = %(feed)s;

-- name: lately :one
-- Orders delivered within the last minute and since a time, and when the last were.
-- Relies on batch_settled: the clock must not be a volatile one.
SELECT (SELECT coalesce(sum(b.orders), 0)
          FROM syncd.batch AS b
         WHERE b.feed_id = %(feed)s
           AND b.state = 'delivered'
           AND b.settled_at > statement_timestamp() - interval '1 minute') AS per_minute,
       (SELECT coalesce(sum(b.orders), 0)
          FROM syncd.batch AS b
         WHERE b.feed_id = %(feed)s
           AND b.state = 'delivered'
           AND b.settled_at > %(since)s) AS since,
       (SELECT max(b.settled_at)
          FROM syncd.batch AS b
         WHERE b.feed_id = %(feed)s
           AND b.state = 'delivered') AS last_at;

-- name: uncertain_counts :one
-- Attempts of unknown outcome, and the orders that may have been taken more than once.
-- Relies on batch_uncertain.
SELECT coalesce(sum(uncertain_attempts), 0) AS attempts,
       coalesce(sum(orders), 0) AS orders
  FROM syncd.batch
 WHERE feed_id = %(feed)s
   AND uncertain_attempts > 0;

-- name: totals :one
-- Sums over all batches; not for every second.
SELECT coalesce(sum(orders) FILTER (WHERE state = 'delivered'), 0)
           AS delivered,
       coalesce(sum(orders) FILTER (WHERE state = 'adopted'), 0) AS adopted,
       statement_timestamp() AS read_at
  FROM syncd.batch
 WHERE feed_id = %(feed)s;

-- name: latest_backfills :many
-- The past ranges that were asked for last, unfinished ones first, with the orders of
-- each that are not settled. Relies on batch_backfilled.
SELECT b.backfill_id AS backfill, b.lower_at AS lower, b.upper_at AS upper,
       b.reached_at AS reached, b.orders, b.requested_at,
       coalesce(b.finished_at, b.cancelled_at) AS finished_at,
       b.state, b.purpose, b.planned,
       b.orders - b.released
       - (SELECT coalesce(sum(p.orders), 0)
            FROM syncd.batch AS p
           WHERE p.backfill_id = b.backfill_id
             AND p.state IN ('pending', 'sending')) AS settled
  FROM syncd.backfill AS b
 WHERE b.feed_id = %(feed)s
 ORDER BY b.state IN ('finished', 'cancelled'), b.backfill_id DESC
 LIMIT 3;
