-- A period in figures. Parts of it are numbered from 1 by their beginnings.

-- name: report_beginning :one
-- The time now, and from when on the ledger may hold orders.
SELECT clock_timestamp() AS now,
       least(f.floor_at, (SELECT min(b.lower_at)
                            FROM syncd.backfill AS b
                           WHERE b.feed_id = f.feed_id)) AS beginning
  FROM syncd.feed AS f
 WHERE f.feed_id = %(feed)s;

-- name: report_orders :many
-- Orders by the part in which they were confirmed and where they stand now. Reads the
-- ledger once, whatever the period: it has no index by time, which each order would pay.
SELECT width_bucket(l.confirmed_at, %(starts)s::timestamptz[]) AS part,
       coalesce(l.state, b.state) AS name, count(*) AS orders
  FROM syncd.ledger AS l
  JOIN syncd.batch AS b USING (batch_id)
 WHERE l.feed_id = %(feed)s
   AND l.confirmed_at >= %(lower)s
   AND l.confirmed_at < %(upper)s
   AND l.state IS DISTINCT FROM 'released'
 GROUP BY 1, 2;

-- name: report_lags :many
-- Seconds from confirmation to delivery that half, 95 and 99 of 100 live orders took, by
-- the part in which they were confirmed; with no part: of the whole period.
SELECT width_bucket(l.confirmed_at, %(starts)s::timestamptz[]) AS part,
       percentile_disc(ARRAY[0.5, 0.95, 0.99])
           WITHIN GROUP (ORDER BY extract(epoch FROM b.settled_at - l.confirmed_at)::float4)
           AS seconds
  FROM syncd.ledger AS l
  JOIN syncd.batch AS b USING (batch_id)
 WHERE l.feed_id = %(feed)s
   AND l.confirmed_at >= %(lower)s
   AND l.confirmed_at < %(upper)s
   AND l.state IS NULL
   AND b.lane = 'live'
   AND b.state = 'delivered'
 GROUP BY GROUPING SETS ((1), ());

-- name: report_deliveries :many
-- Orders by the part in which they were delivered and their lane, and how many of them
-- may have been sent twice.
SELECT width_bucket(b.settled_at, %(starts)s::timestamptz[]) AS part,
       b.lane AS name, sum(b.orders)::bigint AS orders,
       coalesce(sum(b.orders) FILTER (WHERE b.uncertain_attempts > 0), 0)::bigint
           AS repeats
  FROM syncd.batch AS b
 WHERE b.feed_id = %(feed)s
   AND b.state = 'delivered'
   AND b.settled_at >= %(lower)s
   AND b.settled_at < %(upper)s
 GROUP BY 1, 2;

-- name: report_attempts :many
-- Settled attempts by the part in which they began, and their outcome.
SELECT width_bucket(a.started_at, %(starts)s::timestamptz[]) AS part,
       a.outcome AS name, count(*) AS orders
  FROM syncd.attempt AS a
  JOIN syncd.batch AS b USING (batch_id)
 WHERE b.feed_id = %(feed)s
   AND a.outcome <> 'nothing_to_send'
   AND a.started_at >= %(lower)s
   AND a.started_at < %(upper)s
 GROUP BY 1, 2;

-- name: report_reasons :many
-- Why orders of the period were set aside, the most frequent first. Relies on
-- ledger_exception.
SELECT l.state, l.reason, count(*) AS orders
  FROM syncd.ledger AS l
 WHERE l.feed_id = %(feed)s
   AND l.state <> 'released'
   AND l.confirmed_at >= %(lower)s
   AND l.confirmed_at < %(upper)s
 GROUP BY 1, 2
 ORDER BY 3 DESC, 1, 2
 LIMIT 20;

-- name: report_reconciliations :many
-- Finished accounts that were made in the period: all that found orders missing, and of
-- the others the last of each scope.
SELECT r.finished_at, r.scope, r.missing, r.missing - r.captured AS unexplained,
       r.sentence
  FROM (SELECT a.finished_at, a.scope, a.missing, a.captured, a.sentence,
               row_number() OVER (PARTITION BY a.scope
                                      ORDER BY a.finished_at DESC) AS place
          FROM syncd.reconciliation AS a
         WHERE a.feed_id = %(feed)s
           AND a.finished_at >= %(lower)s
           AND a.finished_at < %(upper)s) AS r
 WHERE r.place = 1
    OR r.missing > 0
 ORDER BY r.finished_at DESC
 LIMIT 20;

-- name: report_backfills :many
-- Past ranges that were asked for in the period.
SELECT b.requested_at, b.lower_at, b.upper_at, b.orders, b.finished_at, b.purpose,
       b.state
  FROM syncd.backfill AS b
 WHERE b.feed_id = %(feed)s
   AND b.requested_at >= %(lower)s
   AND b.requested_at < %(upper)s
 ORDER BY b.requested_at DESC
 LIMIT 20;
