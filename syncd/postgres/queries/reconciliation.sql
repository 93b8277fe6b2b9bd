-- Reconciliation: every order accounted for.

-- name: account :many
-- Counts the orders found by state; separately those with another time in the ledger:
-- the view may list them in several pages. What the ledger lacks is missing, unless the
-- view listed it at the feed's start, or it is above the watermark: then the poll has
-- yet to capture it. Each order is looked up by ledger_order_once, whatever the
-- ledger's size: LIMIT keeps it from being read whole for every page.
WITH looked AS MATERIALIZED (
    SELECT f.order_key, l.state, l.batch_id, l.confirmed_at,
           l.confirmed_at <> f.confirmed_at AS moved,
           f.confirmed_at > (SELECT w.confirmed_at
                               FROM syncd.watermark AS w
                              WHERE w.feed_id = %(feed)s) AS is_above
      FROM ({found}) AS f
      LEFT JOIN LATERAL (SELECT r.state, r.batch_id, r.confirmed_at
                           FROM syncd.ledger AS r
                          WHERE r.feed_id = %(feed)s
                            AND r.order_key = f.order_key
                          LIMIT 1) AS l
        ON true
), told AS MATERIALIZED (
    SELECT o.order_key, o.state, o.batch_id, o.confirmed_at, o.moved,
           CASE WHEN o.batch_id IS NOT NULL THEN NULL
                WHEN ({initial}) THEN 'initial'
                WHEN o.is_above THEN 'arriving' END AS unwritten,
           CASE WHEN EXISTS (SELECT
                               FROM syncd.reused_key AS r
                              WHERE r.feed_id = %(feed)s
                                AND r.order_key = o.order_key) THEN 'reused' END AS reused
      FROM looked AS o
), batches AS (
    SELECT b.batch_id, b.state
      FROM syncd.batch AS b
     WHERE b.batch_id = ANY(ARRAY(SELECT DISTINCT t.batch_id FROM told AS t))
)
SELECT coalesce(t.reused, t.state, b.state, t.unwritten, 'missing') AS standing,
       count(*) FILTER (WHERE t.moved IS NOT TRUE) AS orders,
       min(t.order_key) AS first_key,
       coalesce(array_agg(t.order_key) FILTER (WHERE t.moved), '{{}}') AS moved,
       coalesce(array_agg(t.confirmed_at) FILTER (WHERE t.moved), '{{}}') AS moved_to,
       coalesce(array_agg(t.order_key) FILTER (WHERE t.unwritten IS NOT NULL), '{{}}')
           AS unwritten
  FROM told AS t
  LEFT JOIN batches AS b USING (batch_id)
 GROUP BY 1;

-- name: count_new :one
-- How many of the orders found are new: neither in the ledger, nor listed at the start;
-- without those that are left out.
WITH looked AS MATERIALIZED (
    SELECT f.order_key,
           (SELECT true
              FROM syncd.ledger AS l
             WHERE l.feed_id = %(feed)s
               AND l.order_key = f.order_key
             LIMIT 1) AS known
      FROM ({found}) AS f
)
SELECT count(*)
  FROM looked AS o
 WHERE o.known IS NULL
   AND o.order_key <> ALL(%(left_out)s::text[])
   AND ({initial}) IS NULL;

-- name: count_withdrawn :one
-- Orders of a range that stopped being confirmed. Relies on ledger_exception.
SELECT count(*)
  FROM syncd.ledger
 WHERE feed_id = %(feed)s
   AND state = 'withdrawn'
   AND confirmed_at > %(lower)s
   AND confirmed_at <= %(upper)s;

-- name: reconciliations_due :many
-- The scopes of which a run may be due: none was started within the period, or one is
-- unfinished. The claim checks it again. Relies on reconciliation_latest.
SELECT d.scope
  FROM unnest(%(scopes)s::text[], %(periods)s::interval[]) AS d (scope, period)
 WHERE NOT EXISTS (SELECT
                     FROM syncd.reconciliation AS r
                    WHERE r.feed_id = %(feed)s
                      AND r.scope = d.scope
                      AND r.started_at > clock_timestamp() - d.period
                      AND (r.finished_at IS NOT NULL
                           OR r.touched_at > clock_timestamp() - %(patience)s::interval))
   AND (d.scope <> 'promotion'
        OR EXISTS (SELECT
                     FROM syncd.feed AS f
                    WHERE f.feed_id = %(feed)s
                      AND f.lost_until IS NOT NULL
                      AND NOT EXISTS (SELECT
                                        FROM syncd.reconciliation AS r
                                       WHERE r.feed_id = %(feed)s
                                         AND r.scope = 'promotion'
                                         AND r.finished_at > f.lost_until)));

-- name: take_reconciliation :many
-- Resumes an unfinished run without progress.
UPDATE syncd.reconciliation
   SET touched_at = clock_timestamp()
 WHERE reconciliation_id = (
           SELECT r.reconciliation_id
             FROM syncd.reconciliation AS r
            WHERE r.feed_id = %(feed)s
              AND r.scope = %(scope)s
              AND r.finished_at IS NULL
              AND r.started_at > clock_timestamp() - %(period)s
              AND r.touched_at < clock_timestamp() - %(patience)s
            ORDER BY r.started_at DESC
            LIMIT 1
              FOR NO KEY UPDATE SKIP LOCKED)
RETURNING reconciliation_id AS number, scope, lower_at AS lower, upper_at AS upper,
          reached_at, reached_key;

-- name: start_reconciliation :many
-- Starts an account, unless one of its scope was started within the period, or admissions
-- are paused; that of a promotion or a restore once the watermark has passed it. Runs under lock_watermark, so
-- that of several instances one starts it.
INSERT INTO syncd.reconciliation (feed_id, scope, lower_at, upper_at, reached_at)
SELECT %(feed)s, %(scope)s, %(lower)s, %(upper)s, %(lower)s
 WHERE NOT EXISTS (SELECT
                     FROM syncd.reconciliation AS r
                    WHERE r.feed_id = %(feed)s
                      AND r.scope = %(scope)s
                      AND r.started_at > clock_timestamp() - %(period)s)
   AND NOT EXISTS (SELECT
                     FROM syncd.watermark AS p
                    WHERE p.feed_id = %(feed)s
                      AND p.paused_at IS NOT NULL)
   AND (%(scope)s <> 'promotion'
        OR EXISTS (SELECT
                     FROM syncd.feed AS f
                     JOIN syncd.watermark AS w USING (feed_id)
                    WHERE f.feed_id = %(feed)s
                      AND f.lost_until < w.confirmed_at
                      AND NOT EXISTS (SELECT
                                        FROM syncd.reconciliation AS r
                                       WHERE r.feed_id = %(feed)s
                                         AND r.scope = 'promotion'
                                         AND r.finished_at > f.lost_until)))
RETURNING reconciliation_id AS number, scope, lower_at AS lower, upper_at AS upper,
          reached_at, reached_key;

-- name: advance_reconciliation :rows
-- Adds a page; changes no row when another instance took the account over.
UPDATE syncd.reconciliation
   SET reached_at = %(upper)s,
       reached_key = %(upper_key)s,
       touched_at = clock_timestamp(),
       confirmed = confirmed + %(confirmed)s,
       delivered = delivered + %(delivered)s,
       pending = pending + %(pending)s,
       adopted = adopted + %(adopted)s,
       rejected = rejected + %(rejected)s,
       withdrawn = withdrawn + %(withdrawn)s,
       held = held + %(held)s,
       discarded = discarded + %(discarded)s,
       erased = erased + %(erased)s,
       reused = reused + %(reused)s,
       initial = initial + %(initial)s,
       arriving = arriving + %(arriving)s,
       missing = missing + %(missing)s,
       captured = captured + %(captured)s,
       unreadable = greatest(unreadable, %(unreadable)s)
 WHERE reconciliation_id = %(reconciliation)s
   AND finished_at IS NULL
   AND reached_at = %(reached)s
   AND reached_key IS NOT DISTINCT FROM %(reached_key)s;

-- name: reconciliation :one
SELECT delivered, pending, adopted, rejected, withdrawn, held, discarded, erased,
       reused, initial, arriving, missing, captured, unreadable,
       extract(epoch FROM clock_timestamp() - started_at)::float8 AS seconds
  FROM syncd.reconciliation
 WHERE reconciliation_id = %(reconciliation)s;

-- name: finish_reconciliation :rows
-- Ends a whole account with its sentence; changes no row when another instance did.
UPDATE syncd.reconciliation
   SET finished_at = clock_timestamp(),
       sentence = %(sentence)s,
       without_time = %(without_time)s
 WHERE reconciliation_id = %(reconciliation)s
   AND finished_at IS NULL
   AND reached_at = upper_at;

-- name: told_accounts :many
-- The last finished account of each scope, newest first.
SELECT r.scope, r.sentence
  FROM (SELECT DISTINCT ON (scope) scope, finished_at, sentence
          FROM syncd.reconciliation
         WHERE feed_id = %(feed)s
           AND finished_at IS NOT NULL
         ORDER BY scope, started_at DESC) AS r
 ORDER BY r.finished_at DESC;

-- name: prune_reconciliations :rows
-- Forgets the frequent accounts of more than a day ago that found nothing.
DELETE FROM syncd.reconciliation
 WHERE feed_id = %(feed)s
   AND scope IN ('hours', 'days')
   AND missing = 0
   AND started_at < clock_timestamp() - interval '1 day'
   AND started_at < (SELECT max(r.started_at)
                       FROM syncd.reconciliation AS r
                      WHERE r.feed_id = %(feed)s
                        AND r.scope = syncd.reconciliation.scope
                        AND r.finished_at IS NOT NULL);
