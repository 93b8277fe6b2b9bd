-- The path of a batch: claim, settle, split, requeue.

-- name: claim :many
-- Takes the oldest due batch of a lane with its orders as confirmed, unless the
-- endpoint is backing off, and returns since when and why sending is paused; further
-- rows are those of the orders in the view, where that is in the same database. Waits
-- for the disk, whatever the server's default: a claim lost in a crash would leave an
-- uncounted POST. Nothing is claimed of a ledger that was promoted unnoticed. After
-- trouble one claim at a time, of all instances, probes the endpoint: it moves retry_at
-- to its lease's end, and claims that waited for that row see it moved. While the
-- endpoint is held, the probe is the batch of either lane that was refused longest ago,
-- or never. Past orders are left alone while a live one is due, or their backfill is
-- paused. Relies on batch_due and ledger_batch; the batch being topped up is skipped
-- for that moment. Orders added between the snapshot and the lock are counted, but
-- missing: then `claimed_orders` is read. Batches that could not be read are claimed
-- only by the thread that rereads them, and as a probe only where no other batch could
-- be one. Relies on batch_unread for them.
WITH life AS MATERIALIZED (
    SELECT f.timeline < ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()),
                                       1, 8))::bit(32)::integer IS TRUE AS was_promoted
      FROM syncd.feed AS f
     WHERE f.feed_id = %(feed)s
), gate AS MATERIALIZED (
    SELECT p.state <> 'available' AS probes, p.state = 'held' AS is_held,
           CASE WHEN p.state = 'held'
                THEN (SELECT r.batch_id
                        FROM syncd.batch AS r
                       WHERE r.feed_id = %(feed)s
                         AND r.state = 'pending'
                         AND r.read_failed_at IS NULL
                         AND r.due_at <= clock_timestamp()
                         AND NOT EXISTS (SELECT
                                           FROM syncd.backfill AS f
                                          WHERE f.backfill_id = r.backfill_id
                                            AND f.state = 'paused')
                       ORDER BY r.refused_at NULLS FIRST, r.lane <> 'live', r.batch_id
                       LIMIT 1) END AS probe,
           %(lane)s = 'live'
           OR (SELECT v.batch_id
                 FROM syncd.batch AS v
                WHERE v.feed_id = %(feed)s
                  AND v.lane = 'live'
                  AND v.state = 'pending'
                  AND v.read_failed_at IS NULL
                  AND v.due_at <= clock_timestamp()
                ORDER BY v.batch_id
                LIMIT 1) IS NULL AS is_free,
           CASE WHEN %(rereads)s AND p.state <> 'available'
                THEN EXISTS (SELECT
                               FROM syncd.batch AS s
                              WHERE s.feed_id = %(feed)s
                                AND s.state = 'sending'
                                AND s.read_failed_at IS NULL)
                     OR EXISTS (SELECT
                                  FROM syncd.batch AS w
                                 WHERE w.feed_id = %(feed)s
                                   AND w.state = 'pending'
                                   AND w.read_failed_at IS NULL
                                   AND NOT EXISTS (SELECT
                                                     FROM syncd.backfill AS q
                                                    WHERE q.backfill_id = w.backfill_id
                                                      AND q.state = 'paused'))
                END AS has_readable,
           ARRAY(SELECT r.backfill_id
                   FROM syncd.backfill AS r
                  WHERE r.feed_id = %(feed)s
                    AND r.state = 'paused') AS paused
      FROM syncd.endpoint AS p
     WHERE p.feed_id = %(feed)s
       AND p.retry_at <= clock_timestamp()
       AND p.paused_at IS NULL
       AND NOT (SELECT l.was_promoted FROM life AS l)
       AND p.unknown_shape IS NULL
), due AS (
    SELECT b.batch_id, (SELECT g.probes FROM gate AS g) AS probes
      FROM syncd.batch AS b
     WHERE b.feed_id = %(feed)s
       AND b.lane = %(lane)s
       AND b.state = 'pending'
       AND b.due_at <= clock_timestamp()
       AND CASE WHEN %(rereads)s THEN b.read_failed_at IS NOT NULL
                ELSE b.read_failed_at IS NULL END
       AND EXISTS (SELECT
                     FROM gate AS g
                    WHERE NOT (g.probes AND %(rereads)s AND g.has_readable))
       AND CASE WHEN NOT %(rereads)s AND (SELECT g.is_held FROM gate AS g)
                THEN b.batch_id = (SELECT g.probe FROM gate AS g)
                ELSE (SELECT g.is_free FROM gate AS g)
                     AND (b.backfill_id IS NULL
                          OR b.backfill_id <> ALL ((SELECT g.paused
                                                      FROM gate AS g)::bigint[])) END
     ORDER BY b.batch_id
     LIMIT 1
       FOR NO KEY UPDATE OF b SKIP LOCKED
), probe AS (
    UPDATE syncd.endpoint AS e
       SET retry_at = clock_timestamp() + %(lease)s
      FROM due
     WHERE e.feed_id = %(feed)s
       AND e.state <> 'available'
       AND e.retry_at <= clock_timestamp()
    RETURNING e.feed_id
), claimed AS (
    UPDATE syncd.batch AS b
       SET state = 'sending',
           attempts = b.attempts + 1,
           claim_token = gen_random_uuid(),
           instance_id = %(instance)s,
           lease_until = clock_timestamp() + %(lease)s
      FROM due
     WHERE b.batch_id = due.batch_id
       AND (NOT due.probes OR EXISTS (SELECT FROM probe))
    RETURNING b.batch_id, b.attempts, b.claim_token, b.uncertain_attempts, b.refusals,
              b.refused_at, due.probes, b.lane, b.backfill_id, b.is_resend, b.orders,
              b.read_failed_at, b.read_reason
), opened AS (
    INSERT INTO syncd.attempt (batch_id, attempt, claim_token, instance_id)
    SELECT batch_id, attempts, claim_token, %(instance)s
      FROM claimed
), claimed_orders AS MATERIALIZED (
    SELECT l.order_key, l.confirmed_at, l.waiting_since
      FROM claimed AS c
      JOIN syncd.ledger AS l USING (batch_id)
     WHERE l.state IS NULL
)
SELECT c.batch_id, c.attempts AS attempt, c.claim_token AS token,
       c.uncertain_attempts AS uncertain, c.refusals, c.refused_at,
       clock_timestamp() AS claimed_at, c.probes,
       coalesce(r.with_profile, true) AS with_profile, c.is_resend,
       c.read_failed_at, c.read_reason, c.orders, o.keys, o.times, o.waits,
       l.was_promoted, p.paused_at, p.paused_reason,
       NULL::text AS order_key,
       set_config('synchronous_commit',
                  CASE current_setting('synchronous_commit') WHEN 'off' THEN 'local'
                       ELSE current_setting('synchronous_commit') END, true) AS purchase
  FROM syncd.endpoint AS p
 CROSS JOIN life AS l
  LEFT JOIN claimed AS c
    ON true
  LEFT JOIN syncd.backfill AS r USING (backfill_id)
 CROSS JOIN LATERAL (
       SELECT array_agg(k.order_key), array_agg(k.confirmed_at),
              array_agg(k.waiting_since)
         FROM (SELECT n.order_key, n.confirmed_at, n.waiting_since
                 FROM claimed_orders AS n
                ORDER BY n.confirmed_at, n.order_key) AS k) AS o (keys, times, waits)
 WHERE p.feed_id = %(feed)s
 UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       NULL, NULL, NULL, NULL, NULL, e.order_key, e.purchase
  FROM ({rows}) AS e;

-- name: nothing_read :many
SELECT NULL::text AS order_key, NULL::text AS purchase
 WHERE false

-- name: claimed_orders :many
-- Orders of a claimed batch as confirmed.
SELECT l.order_key AS key, l.confirmed_at, l.waiting_since
  FROM syncd.ledger AS l
 WHERE l.batch_id = %(batch)s
   AND l.state IS NULL
 ORDER BY l.confirmed_at, l.order_key;

-- name: next_due :one
-- Seconds until something may be claimed, null when nothing waits, or only for an
-- operator; whether past orders do; whether a backfill has to be run, or logged; and
-- whether some could not be read, which are counted only for the thread that rereads
-- them.
SELECT extract(epoch FROM min(greatest(b.due_at, e.retry_at, clock_timestamp()))
                          - clock_timestamp())::float8 AS seconds,
       coalesce(bool_or(b.lane = 'backfill'), false) AS past,
       EXISTS (SELECT
                 FROM syncd.backfill AS r
                WHERE r.feed_id = %(feed)s
                  AND (r.state = 'running' OR r.logged_state IS DISTINCT FROM r.state))
           AS backfill,
       EXISTS (SELECT
                 FROM syncd.batch AS u
                WHERE u.feed_id = %(feed)s
                  AND u.state = 'pending'
                  AND u.read_failed_at IS NOT NULL) AS unread
  FROM syncd.batch AS b
  JOIN syncd.endpoint AS e USING (feed_id)
 WHERE b.feed_id = %(feed)s
   AND b.state = 'pending'
   AND (b.read_failed_at IS NOT NULL) = %(rereads)s
   AND e.paused_at IS NULL
   AND e.unknown_shape IS NULL
   AND NOT EXISTS (SELECT
                     FROM syncd.backfill AS r
                    WHERE r.backfill_id = b.backfill_id
                      AND r.state = 'paused');

-- name: renew :rows
-- Renews the lease, unless the claim was taken over.
UPDATE syncd.batch
   SET lease_until = clock_timestamp() + %(lease)s
 WHERE batch_id = %(batch)s
   AND state = 'sending'
   AND claim_token = %(token)s;

-- name: exclude_orders :rows
-- Sets orders of a claimed batch aside with their reason.
WITH fenced AS (
    SELECT b.batch_id, b.uncertain_attempts
      FROM syncd.batch AS b
     WHERE b.batch_id = %(batch)s
       AND b.state = 'sending'
       AND b.claim_token = %(token)s
       FOR NO KEY UPDATE
), excepted AS (
    UPDATE syncd.ledger AS l
       SET state = x.state,
           reason = x.reason,
           orderid = x.orderid,
           rejected_by = x.rejected_by,
           uncertain_attempts = nullif(fenced.uncertain_attempts, 0)
      FROM fenced,
           unnest(%(keys)s::text[], %(states)s::text[], %(reasons)s::text[],
                  %(orderids)s::text[], %(by)s::text[])
               AS x (order_key, state, reason, orderid, rejected_by)
     WHERE l.feed_id = %(feed)s
       AND l.order_key = x.order_key
       AND l.batch_id = %(batch)s
       AND l.state IS NULL
    RETURNING l.order_key
)
UPDATE syncd.batch AS b
   SET orders = b.orders - (SELECT count(*) FROM excepted)
  FROM fenced
 WHERE b.batch_id = fenced.batch_id;

-- name: move_orders :rows
-- Moves orders of a claimed batch into a new one: later (not ready), or now (split).
WITH fenced AS (
    SELECT b.batch_id, b.feed_id, b.lane, b.uncertain_attempts, b.backfill_id, b.is_resend
      FROM syncd.batch AS b
     WHERE b.batch_id = %(batch)s
       AND b.state = 'sending'
       AND b.claim_token = %(token)s
       FOR NO KEY UPDATE
), target AS (
    INSERT INTO syncd.batch
           (feed_id, lane, orders, oldest_at, due_at, uncertain_attempts, refused_at, refusals,
            backfill_id, is_resend)
    SELECT f.feed_id, f.lane, count(*), min(l.confirmed_at),
           coalesce(clock_timestamp() + %(wait)s::interval, '-infinity'),
           max(f.uncertain_attempts) + %(uncertain)s,
           CASE WHEN %(refused)s THEN clock_timestamp() END,
           %(refusals)s,
           f.backfill_id, f.is_resend
      FROM fenced AS f
      JOIN syncd.ledger AS l ON l.batch_id = f.batch_id AND l.state IS NULL
     WHERE l.order_key = ANY(%(keys)s)
     GROUP BY f.feed_id, f.lane, f.backfill_id, f.is_resend
    RETURNING batch_id
), moved AS (
    UPDATE syncd.ledger AS l
       SET batch_id = t.batch_id,
           waiting_since = CASE WHEN %(waits)s
                                THEN coalesce(l.waiting_since, clock_timestamp()) END
      FROM target AS t
     WHERE l.batch_id = %(batch)s
       AND l.state IS NULL
       AND l.order_key = ANY(%(keys)s)
    RETURNING l.order_key
), departed AS (
    INSERT INTO syncd.order_move (feed_id, order_key, batch_id, why)
    SELECT f.feed_id, m.order_key, f.batch_id,
           CASE WHEN %(waits)s THEN 'waiting' ELSE 'split' END
      FROM fenced AS f, moved AS m
)
UPDATE syncd.batch AS b
   SET orders = b.orders - (SELECT count(*) FROM moved)
  FROM fenced
 WHERE b.batch_id = fenced.batch_id;

-- name: move_unread :rows
-- Moves orders of a claimed batch that could not be read into one that waits for the
-- view; when they failed first is kept.
WITH fenced AS (
    SELECT b.batch_id, b.feed_id, b.lane, b.uncertain_attempts, b.backfill_id, b.is_resend,
           b.refused_at, b.read_failed_at
      FROM syncd.batch AS b
     WHERE b.batch_id = %(batch)s
       AND b.state = 'sending'
       AND b.claim_token = %(token)s
       FOR NO KEY UPDATE
), target AS (
    INSERT INTO syncd.batch
           (feed_id, lane, orders, oldest_at, due_at, uncertain_attempts, refused_at,
            backfill_id, is_resend, read_failed_at, read_reason)
    SELECT f.feed_id, f.lane, count(*), min(l.confirmed_at),
           clock_timestamp() + %(wait)s::interval, max(f.uncertain_attempts),
           max(f.refused_at), f.backfill_id, f.is_resend,
           coalesce(max(f.read_failed_at), clock_timestamp()), %(reason)s
      FROM fenced AS f
      JOIN syncd.ledger AS l ON l.batch_id = f.batch_id AND l.state IS NULL
     WHERE l.order_key = ANY(%(keys)s)
     GROUP BY f.feed_id, f.lane, f.backfill_id, f.is_resend
    RETURNING batch_id
), moved AS (
    UPDATE syncd.ledger AS l
       SET batch_id = t.batch_id
      FROM target AS t
     WHERE l.batch_id = %(batch)s
       AND l.state IS NULL
       AND l.order_key = ANY(%(keys)s)
    RETURNING l.order_key
), departed AS (
    INSERT INTO syncd.order_move (feed_id, order_key, batch_id, why, reason)
    SELECT f.feed_id, m.order_key, f.batch_id, 'unread', %(reason)s
      FROM fenced AS f, moved AS m
)
UPDATE syncd.batch AS b
   SET orders = b.orders - (SELECT count(*) FROM moved)
  FROM fenced
 WHERE b.batch_id = fenced.batch_id;

-- name: try_unread :rows
-- Makes the orders due that could not be read for a reason that is over.
UPDATE syncd.batch
   SET due_at = '-infinity'
 WHERE feed_id = %(feed)s
   AND state = 'pending'
   AND read_failed_at IS NOT NULL
   AND read_reason = %(reason)s;

-- name: unread_orders :many
-- Orders that wait for the view: how many, why, since when, and one of them. Relies on
-- batch_unread and ledger_batch.
SELECT sum(b.orders)::bigint AS orders, b.read_reason AS why,
       min(b.read_failed_at) AS since,
       min((SELECT min(l.order_key)
              FROM syncd.ledger AS l
             WHERE l.batch_id = b.batch_id
               AND l.state IS NULL)) AS key
  FROM syncd.batch AS b
 WHERE b.feed_id = %(feed)s
   AND b.state = 'pending'
   AND b.read_failed_at IS NOT NULL
 GROUP BY b.read_reason
 ORDER BY 1 DESC, 2
 LIMIT 5;

-- name: refused_orders :many
-- Orders that the API refused, and that are tried again: how many, why, since when they
-- wait, and one of them. Relies on batch_due, batch_claimed and ledger_batch: one branch
-- for each state, since no list of states matches a partial index.
WITH refused AS (
    SELECT p.batch_id, p.orders, p.created_at
      FROM syncd.batch AS p
     WHERE p.feed_id = %(feed)s
       AND p.state = 'pending'
       AND p.refused_at IS NOT NULL
     UNION ALL
    SELECT s.batch_id, s.orders, s.created_at
      FROM syncd.batch AS s
     WHERE s.feed_id = %(feed)s
       AND s.state = 'sending'
       AND s.refused_at IS NOT NULL
)
SELECT sum(b.orders)::bigint AS orders, b.why, min(b.created_at) AS since,
       min((SELECT min(l.order_key)
              FROM syncd.ledger AS l
             WHERE l.batch_id = b.batch_id
               AND l.state IS NULL)) AS key
  FROM (SELECT r.batch_id, r.orders, r.created_at,
               coalesce((SELECT a.reason
                           FROM syncd.attempt AS a
                          WHERE a.batch_id = r.batch_id
                            AND a.reason IS NOT NULL
                          ORDER BY a.attempt DESC
                          LIMIT 1), 'no reason yet') AS why
          FROM refused AS r) AS b
 GROUP BY b.why
 ORDER BY 1 DESC, 2
 LIMIT 5;

-- name: close_empty :rows
-- Ends a claimed batch that no order shares any more.
WITH ended AS (
    UPDATE syncd.batch
       SET state = 'emptied',
           settled_at = clock_timestamp(),
           claim_token = NULL,
           instance_id = NULL,
           lease_until = NULL
     WHERE batch_id = %(batch)s
       AND state = 'sending'
       AND claim_token = %(token)s
       AND orders = 0
    RETURNING batch_id
)
UPDATE syncd.attempt AS a
   SET outcome = %(outcome)s,
       settled_at = clock_timestamp(),
       status = %(status)s,
       reason = %(reason)s,
       sent = %(sent)s,
       body_sha256 = %(sha256)s,
       orderids = %(orderids)s
  FROM ended
 WHERE a.batch_id = ended.batch_id
   AND a.attempt = %(attempt)s;

-- name: deliver :one
-- Settles an accepted attempt, also a late one whose claim was taken over meanwhile, if
-- the ledger has the claim and the batch has no order that was not sent; returns how
-- many orders it delivered, null for none, and whether the claim is known. While an
-- unknown answer waits for a decision, the endpoint stays held. It does not wait for
-- the disk: what a crash of the server loses is found as a claim, and counted.
WITH receipt AS (
    UPDATE syncd.attempt
       SET outcome = 'accepted',
           settled_at = clock_timestamp(),
           status = %(status)s,
           reason = NULL,
           sent = %(sent)s,
           body_sha256 = %(sha256)s,
           orderids = %(orderids)s
     WHERE batch_id = %(batch)s
       AND attempt = %(attempt)s
       AND claim_token = %(token)s
), stood AS MATERIALIZED (
    SELECT p.feed_id,
           least(1, %(recent)s / (p.recent_accepted + p.recent_rejected
                                  + %(sent)s)) AS fading
      FROM syncd.endpoint AS p
     WHERE p.feed_id = %(feed)s
), healthy AS (
    UPDATE syncd.endpoint AS e
       SET since = CASE WHEN e.state = 'available' OR e.unknown_shape IS NOT NULL
                        THEN e.since ELSE clock_timestamp() END,
           state = CASE WHEN e.unknown_shape IS NULL THEN 'available' ELSE e.state END,
           failures = 0,
           refusals = 0,
           retry_at = '-infinity',
           reason = CASE WHEN e.unknown_shape IS NOT NULL THEN e.reason END,
           suspect_batch = CASE WHEN e.unknown_shape IS NOT NULL
                                THEN e.suspect_batch END,
           recent_accepted = d.fading * (e.recent_accepted + %(sent)s),
           recent_rejected = d.fading * e.recent_rejected,
           accepted_at = clock_timestamp()
      FROM stood AS d
     WHERE e.feed_id = d.feed_id
), settled AS (
    UPDATE syncd.batch
       SET state = 'delivered',
           settled_at = clock_timestamp(),
           claim_token = %(token)s,
           instance_id = NULL,
           lease_until = NULL
     WHERE batch_id = %(batch)s
       AND state IN ('sending', 'pending', 'held')
       AND EXISTS (SELECT
                     FROM syncd.attempt AS a
                    WHERE a.batch_id = %(batch)s
                      AND a.attempt = %(attempt)s
                      AND a.claim_token = %(token)s)
       AND NOT EXISTS (SELECT l.order_key
                         FROM syncd.ledger AS l
                        WHERE l.batch_id = %(batch)s
                          AND l.state IS NULL
                       EXCEPT
                       SELECT k.order_key
                         FROM unnest(%(keys)s::text[]) AS k (order_key))
    RETURNING orders
)
SELECT (SELECT s.orders FROM settled AS s) AS orders,
       EXISTS (SELECT
                 FROM syncd.attempt AS a
                WHERE a.batch_id = %(batch)s
                  AND a.attempt = %(attempt)s
                  AND a.claim_token = %(token)s) AS is_known
  FROM set_config('synchronous_commit', 'off', true);

-- name: doubt_orders :one
-- Counts the orders of a claim that the ledger has lost as uncertain, wherever they are
-- now, and holds them if so configured; none of a known claim: the instance that took
-- it over has counted it. Lost orders are counted once they are captured again.
WITH sent AS MATERIALIZED (
    SELECT k.order_key, l.batch_id, l.state IS NOT NULL AS is_aside
      FROM unnest(%(keys)s::text[]) AS k (order_key)
      LEFT JOIN syncd.ledger AS l
        ON l.feed_id = %(feed)s
       AND l.order_key = k.order_key
     WHERE NOT EXISTS (SELECT
                         FROM syncd.attempt AS a
                        WHERE a.batch_id = %(batch)s
                          AND a.attempt = %(attempt)s
                          AND a.claim_token = %(token)s)
), aside AS (
    UPDATE syncd.ledger AS l
       SET uncertain_attempts = coalesce(l.uncertain_attempts, 0) + 1
      FROM sent AS s
     WHERE s.is_aside
       AND l.feed_id = %(feed)s
       AND l.order_key = s.order_key
), doubted AS (
    UPDATE syncd.batch AS b
       SET uncertain_attempts = b.uncertain_attempts + 1,
           state = CASE WHEN %(holds)s AND b.state = 'pending' THEN 'held'
                        ELSE b.state END
     WHERE b.batch_id IN (SELECT s.batch_id FROM sent AS s WHERE NOT s.is_aside)
       AND b.state <> 'adopted'
), again AS (
    UPDATE syncd.feed AS f
       SET lost_from = least(f.lost_from, clock_timestamp() - interval '1 day'),
           lost_until = clock_timestamp(),
           suspect_until = greatest(f.suspect_until,
                                    clock_timestamp() + interval '1 hour')
     WHERE f.feed_id = %(feed)s
       AND EXISTS (SELECT FROM sent AS s WHERE s.batch_id IS NULL)
)
SELECT count(*)
  FROM sent;

-- name: requeue :rows
-- Makes a claimed batch pending again after an attempt that did not succeed, or holds
-- it for a person.
WITH freed AS (
    UPDATE syncd.batch
       SET state = CASE WHEN %(held)s THEN 'held' ELSE 'pending' END,
           due_at = coalesce(clock_timestamp() + %(wait)s::interval, '-infinity'),
           uncertain_attempts = uncertain_attempts + %(uncertain)s,
           refused_at = CASE WHEN %(refused)s THEN clock_timestamp()
                             ELSE refused_at END,
           refusals = CASE WHEN %(refused)s THEN %(refusals)s::integer
                           ELSE refusals END,
           claim_token = NULL,
           read_failed_at = CASE WHEN %(outcome)s = 'unread'
                                  AND %(reason)s::text IS NOT NULL
                                 THEN coalesce(read_failed_at, clock_timestamp()) END,
           read_reason = CASE WHEN %(outcome)s = 'unread' THEN %(reason)s::text END,
           instance_id = NULL,
           lease_until = NULL
     WHERE batch_id = %(batch)s
       AND state = 'sending'
       AND claim_token = %(token)s
    RETURNING batch_id
)
UPDATE syncd.attempt AS a
   SET outcome = %(outcome)s,
       settled_at = clock_timestamp(),
       status = %(status)s,
       reason = %(reason)s,
       sent = %(sent)s,
       body_sha256 = %(sha256)s,
       orderids = %(orderids)s,
       shape = %(shape)s
  FROM freed
 WHERE a.batch_id = freed.batch_id
   AND a.attempt = %(attempt)s;

-- name: take_over :many
-- Frees claims past their lease or of instances known to be dead. What became of their
-- attempt is unknown: it is counted as uncertain, and sent again or held for a person.
WITH freed AS (
    UPDATE syncd.batch AS b
       SET state = CASE WHEN %(holds)s THEN 'held' ELSE 'pending' END,
           uncertain_attempts = b.uncertain_attempts + 1,
           claim_token = NULL,
           instance_id = NULL,
           lease_until = NULL
     WHERE b.feed_id = %(feed)s
       AND b.state = 'sending'
       AND (b.lease_until < clock_timestamp() OR b.instance_id = ANY(%(dead)s))
    RETURNING b.batch_id, b.attempts, b.orders
), closed AS (
    UPDATE syncd.attempt AS a
       SET outcome = 'uncertain',
           settled_at = clock_timestamp(),
           reason = 'the instance ended or its lease passed'
      FROM freed AS f
     WHERE a.batch_id = f.batch_id
       AND a.attempt = f.attempts
       AND a.settled_at IS NULL
)
SELECT batch_id, attempts AS attempt, orders
  FROM freed
 ORDER BY batch_id;

-- name: claimants :many
-- Instances that hold claims, and others that live: whether each holds its lock, and a
-- claim. Relies on batch_claimed.
WITH locked AS MATERIALIZED (
    SELECT l.objid::bigint::integer AS instance_id
      FROM pg_catalog.pg_locks AS l
     WHERE l.locktype = 'advisory'
       AND l.classid = 1937337955
       AND l.granted
       AND l.database = (SELECT d.oid
                           FROM pg_catalog.pg_database AS d
                          WHERE d.datname = current_database())
), claiming AS MATERIALIZED (
    SELECT DISTINCT b.instance_id
      FROM syncd.batch AS b
     WHERE b.feed_id = %(feed)s
       AND b.state = 'sending'
)
SELECT i.instance_id AS number, i.host, i.pid,
       EXISTS (SELECT FROM locked AS l WHERE l.instance_id = i.instance_id)
           AS is_alive,
       EXISTS (SELECT FROM claiming AS c WHERE c.instance_id = i.instance_id)
           AS claims
  FROM syncd.instance AS i
 WHERE i.instance_id IN (SELECT c.instance_id
                           FROM claiming AS c
                          UNION ALL
                         SELECT l.instance_id
                           FROM locked AS l
                          WHERE l.instance_id <> %(own)s)
   AND i.feed_id = %(feed)s;

-- name: start_instance :one
-- Gives the daemon its number, and notes what it does with uncertain and with new orders. Earlier ones
-- go that ended in order and captured nothing, or long ago; the last one of each host
-- stays, by which the host is known.
WITH noted AS (
    UPDATE syncd.feed
       SET holds_uncertain = %(holds)s,
           quiet = %(quiet)s
     WHERE feed_id = %(feed)s
       AND (holds_uncertain, quiet) IS DISTINCT FROM (%(holds)s, %(quiet)s)
), pruned AS (
    DELETE FROM syncd.instance AS i
     WHERE i.feed_id = %(feed)s
       AND i.stopped_at IS NOT NULL
       AND (NOT i.has_captured OR i.started_at < clock_timestamp() - interval '30 days')
       AND (split_part(i.host, '/', 1) = split_part(%(host)s, '/', 1)
            OR EXISTS (SELECT
                         FROM syncd.instance AS n
                        WHERE n.feed_id = i.feed_id
                          AND n.instance_id > i.instance_id
                          AND split_part(n.host, '/', 1) = split_part(i.host, '/', 1)))
       AND NOT EXISTS (SELECT
                         FROM syncd.batch AS b
                        WHERE b.feed_id = i.feed_id
                          AND b.state = 'sending'
                          AND b.instance_id = i.instance_id)
)
INSERT INTO syncd.instance (feed_id, host, pid)
VALUES (%(feed)s, %(host)s, %(pid)s)
RETURNING instance_id;

-- name: note_trouble :rows
-- What fails in a daemon again and again; null: nothing does.
UPDATE syncd.instance
   SET trouble = %(reason)s,
       trouble_since = CASE WHEN %(reason)s::text IS NOT NULL
                            THEN coalesce(trouble_since, clock_timestamp()) END
 WHERE instance_id = %(instance)s
   AND trouble IS DISTINCT FROM %(reason)s;

-- name: stop_instance :rows
UPDATE syncd.instance AS i
   SET stopped_at = clock_timestamp(),
       has_captured = coalesce(i.started_at <= (SELECT b.created_at
                                                  FROM syncd.batch AS b
                                                 WHERE b.feed_id = i.feed_id
                                                 ORDER BY b.batch_id DESC
                                                 LIMIT 1), false)
 WHERE i.instance_id = %(instance)s;

-- name: hold_instance_lock :one
-- The lock that shows that an instance runs; PostgreSQL releases it with the
-- connection.
SELECT pg_try_advisory_lock(1937337955, %(instance)s);
