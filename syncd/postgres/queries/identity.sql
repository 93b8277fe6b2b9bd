-- What stands behind the views, and whether their keys still stand for the orders.

-- name: behind :one
-- The key's type, the query of every view and every table behind the two, those with this
-- feed's triggers, all enabled (of partitions the uppermost), those of its publication; the
-- seal; and the oid that each of some names has now. Reads the catalogue alone, also of
-- schemas that the role may not use.
WITH RECURSIVE tree AS (
    SELECT v.oid, v.behind
      FROM (VALUES (to_regclass(%(confirmed_view)s)::oid, 'orders'),
                   (to_regclass(%(purchases_view)s)::oid, 'events')) AS v (oid, behind)
     WHERE v.oid IS NOT NULL
     UNION
    SELECT d.refobjid, t.behind
      FROM tree AS t
      JOIN pg_catalog.pg_rewrite AS r
        ON r.ev_class = t.oid
       AND r.ev_type = '1'
      JOIN pg_catalog.pg_depend AS d
        ON d.classid = 'pg_catalog.pg_rewrite'::regclass
       AND d.objid = r.oid
       AND d.refclassid = 'pg_catalog.pg_class'::regclass
       AND d.refobjid <> t.oid
), heard AS (
    SELECT t.tgrelid AS oid
      FROM pg_catalog.pg_trigger AS t
      JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
     WHERE p.pronamespace = to_regnamespace('syncd')
       AND starts_with(p.proname, 'listen_')
       AND split_part(encode(t.tgargs, 'escape'), '\000', 1) = %(feed)s
     GROUP BY t.tgrelid
    HAVING bool_and(t.tgenabled IN ('A', 'O'))
), used AS (
    SELECT t.oid, t.behind
      FROM tree AS t
     UNION
    SELECT h.oid, 'triggers'
      FROM heard AS h
     WHERE NOT EXISTS (SELECT
                         FROM pg_catalog.pg_inherits AS i
                         JOIN heard AS p ON p.oid = i.inhparent
                        WHERE i.inhrelid = h.oid)
     UNION
    SELECT r.prrelid, 'publication'
      FROM pg_catalog.pg_publication AS p
      JOIN pg_catalog.pg_publication_rel AS r ON r.prpubid = p.oid
     WHERE p.pubname = %(publication)s
), told AS (
    SELECT u.oid, u.behind, c.relkind,
           quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
      FROM used AS u
      JOIN pg_catalog.pg_class AS c USING (oid)
      JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
)
SELECT jsonb_build_object(
         'key_type',
         coalesce((SELECT format_type(CASE WHEN y.typtype = 'd' THEN y.typbasetype
                                           ELSE y.oid END, NULL)
                     FROM pg_catalog.pg_attribute AS a
                     JOIN pg_catalog.pg_type AS y ON y.oid = a.atttypid
                    WHERE a.attrelid = to_regclass(%(purchases_view)s)
                      AND a.attname = 'order_key'
                      AND NOT a.attisdropped), ''),
         'rules',
         coalesce((SELECT jsonb_agg(jsonb_build_object('oid', v.oid::bigint,
                                                       'name', v.name,
                                                       'digest', md5(r.ev_action::text))
                                    ORDER BY v.oid)
                     FROM (SELECT DISTINCT t.oid, t.name
                             FROM told AS t
                            WHERE t.behind IN ('orders', 'events')) AS v
                     JOIN pg_catalog.pg_rewrite AS r
                       ON r.ev_class = v.oid
                      AND r.ev_type = '1'), '[]'),
         'tables',
         coalesce((SELECT jsonb_agg(jsonb_build_object('oid', t.oid::bigint,
                                                       'name', t.name,
                                                       'behind', t.behind)
                                    ORDER BY t.behind, t.name)
                     FROM told AS t), '[]'))::text AS found,
       ({seal}) AS seal,
       (SELECT coalesce(jsonb_object_agg(m.name, m.oid), '{{}}')::text
          FROM (SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
                       c.oid::bigint
                  FROM pg_catalog.pg_class AS c
                  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')) AS m
         WHERE m.name = ANY(%(names)s::text[])) AS names;

-- name: seal :one
-- The two views' queries as rows of the catalogue: another text when one of the views
-- was replaced or recreated, and when the catalogue was.
SELECT coalesce(string_agg(concat_ws(':', r.ev_class, r.oid, r.xmin), ' '
                           ORDER BY r.ev_class), '')
  FROM pg_catalog.pg_rewrite AS r
 WHERE r.ev_class IN (to_regclass(%(confirmed_view)s), to_regclass(%(purchases_view)s))
   AND r.ev_type = '1'

-- name: given_seal :one
-- The seal under which orders were read before.
SELECT %(seal)s::text

-- name: is_sealed :one
-- Whether orders were read under the seal that was accepted.
SELECT i.seal = ({seal})
  FROM syncd.identity AS i
 WHERE i.feed_id = %(feed)s

-- name: is_unsealed :one
SELECT true

-- name: known_identity :many
-- What stood behind the views, under which seal, and why their keys are held.
SELECT i.known::text, i.seal, i.held_at, i.held_reason, i.changed_at, i.change
  FROM syncd.identity AS i
 WHERE i.feed_id = %(feed)s;

-- name: keep_identity :none
-- Accepts what stands behind the views now, lifts what `hold_identity` has paused, and
-- admits orders under this seal.
WITH sending AS (
    UPDATE syncd.endpoint AS e
       SET paused_at = NULL,
           paused_reason = NULL
      FROM syncd.identity AS i
     WHERE e.feed_id = %(feed)s
       AND i.feed_id = e.feed_id
       AND e.paused_reason = i.held_reason
), capture AS (
    UPDATE syncd.watermark AS w
       SET paused_at = NULL,
           paused_reason = NULL
      FROM syncd.identity AS i
     WHERE w.feed_id = %(feed)s
       AND i.feed_id = w.feed_id
       AND w.paused_reason = i.held_reason
)
INSERT INTO syncd.identity AS i (feed_id, known, seal, change)
VALUES (%(feed)s, %(known)s::jsonb, %(seal)s, %(change)s)
    ON CONFLICT ON CONSTRAINT identity_once DO UPDATE
   SET known = excluded.known,
       seal = excluded.seal,
       change = coalesce(excluded.change, i.change),
       changed_at = CASE WHEN excluded.change IS NULL THEN i.changed_at
                         ELSE clock_timestamp() END,
       held_at = NULL,
       held_reason = NULL,
       compared_at = clock_timestamp();

-- name: note_compared :none
-- Admits orders from the past for a while: known orders are listed under their keys.
UPDATE syncd.identity AS i
   SET compared_at = clock_timestamp()
 WHERE i.feed_id = %(feed)s
   AND i.held_at IS NULL;

-- name: hold_identity :rows
-- Holds capture and sending: the views' keys are not those of the ledger. What a person
-- has paused keeps its beginning and its reason.
WITH held AS (
    UPDATE syncd.identity AS i
       SET held_at = clock_timestamp(),
           held_reason = %(reason)s
     WHERE i.feed_id = %(feed)s
       AND i.held_reason IS DISTINCT FROM %(reason)s
    RETURNING i.feed_id
), sending AS (
    UPDATE syncd.endpoint AS e
       SET paused_at = clock_timestamp(),
           paused_reason = %(reason)s
     WHERE e.feed_id = %(feed)s
       AND e.paused_at IS NULL
), capture AS (
    UPDATE syncd.watermark AS w
       SET paused_at = clock_timestamp(),
           paused_reason = %(reason)s
     WHERE w.feed_id = %(feed)s
       AND w.paused_at IS NULL
)
SELECT FROM held;

-- name: recent_orders :many
-- The orders that the ledger has of late, with the number that the receipt of each has:
-- its events are in the order of the batch. Relies on batch_identity and ledger_batch.
WITH newest AS MATERIALIZED (
    SELECT b.batch_id, b.orders
      FROM syncd.batch AS b
     WHERE b.feed_id = %(feed)s
       AND b.lane = 'live'
       AND b.state NOT IN ('adopted', 'emptied')
     ORDER BY b.batch_id DESC
     LIMIT %(limit)s
), placed AS (
    SELECT l.order_key, l.confirmed_at, l.batch_id, n.orders,
           row_number() OVER (PARTITION BY l.batch_id
                              ORDER BY l.confirmed_at, l.order_key) AS place
      FROM newest AS n
      JOIN syncd.ledger AS l USING (batch_id)
     WHERE l.state IS NULL
)
SELECT p.order_key AS key, p.confirmed_at, a.orderids[p.place] AS orderid
  FROM placed AS p
  LEFT JOIN LATERAL (SELECT t.orderids
                       FROM syncd.attempt AS t
                      WHERE t.batch_id = p.batch_id
                        AND t.outcome = 'accepted'
                        AND cardinality(t.orderids) = p.orders
                      ORDER BY t.attempt DESC
                      LIMIT 1) AS a
    ON true
 ORDER BY p.batch_id DESC, p.place
 LIMIT %(limit)s;

-- name: unknown_keys :many
-- Those of some keys that the ledger does not have, and that were not listed when the feed
-- was started.
SELECT o.order_key
  FROM unnest(%(keys)s::text[]) AS o (order_key)
 WHERE NOT EXISTS (SELECT
                     FROM syncd.ledger AS l
                    WHERE l.feed_id = %(feed)s
                      AND l.order_key = o.order_key COLLATE "C")
   AND ({initial}) IS NULL;

-- name: feed_start :one
SELECT f.started_at
  FROM syncd.feed AS f
 WHERE f.feed_id = %(feed)s;

-- name: are_keys :one
-- Fails unless all of these texts can be keys of the views.
SELECT cardinality(%(keys)s::text[]::{key_type}[]);

-- name: listed_times :many
-- Orders by key as the view lists them, with the first time of each.
SELECT c.order_key::text, min(c.confirmed_at)::timestamptz
  FROM {confirmed} AS c
 WHERE c.order_key = ANY(%(keys)s::text[]::{key_type}[])
   AND c.confirmed_at >= '0001-01-02'
   AND c.confirmed_at < '9999-01-01'
 GROUP BY c.order_key;

-- name: listed_about :many
-- The orders confirmed within a range, both ends included. Relies on an index under
-- confirmed_at.
SELECT c.order_key::text AS key, c.confirmed_at::timestamptz AS confirmed_at
  FROM {confirmed} AS c
 WHERE c.confirmed_at >= %(lower)s::timestamptz
   AND c.confirmed_at <= %(upper)s::timestamptz
 LIMIT %(limit)s;

-- name: listed_before :many
-- The orders confirmed last before a time, with a time that a clock shows.
SELECT c.order_key::text
  FROM {confirmed} AS c
 WHERE c.confirmed_at <= %(upper)s::timestamptz
   AND c.confirmed_at >= '0001-01-02'
   AND c.order_key IS NOT NULL
 ORDER BY c.confirmed_at DESC
 LIMIT %(limit)s;

-- name: listed_under :many
-- The orders with some numbers; may scan.
SELECT p.order_key::text, p.orderid::text
  FROM {purchases} AS p
 WHERE p.orderid::text = ANY(%(numbers)s);

-- name: create_relisted :none
-- A table for what changed views list while it is matched with the ledger. Of this
-- transaction alone: it leaves nothing to vacuum, and its owner may analyse it.
CREATE TEMPORARY TABLE relisted (
    order_key    text        NOT NULL COLLATE "C",
    confirmed_at timestamptz NOT NULL,
    orderid      text,
    old_key      text        COLLATE "C", -- in the ledger, where the order is known there
    CONSTRAINT relisted_once PRIMARY KEY (order_key)
) ON COMMIT DROP;

-- name: relist :none
-- Notes orders as the views list them, with the numbers of those whose row can be read; the
-- first time of an order counts.
INSERT INTO pg_temp.relisted AS r (order_key, confirmed_at, orderid)
SELECT k.order_key, k.confirmed_at, n.orderid
  FROM unnest(%(keys)s::text[], %(times)s::timestamptz[]) AS k (order_key, confirmed_at)
  LEFT JOIN unnest(%(numbered)s::text[], %(orderids)s::text[]) AS n (order_key, orderid)
 USING (order_key)
    ON CONFLICT ON CONSTRAINT relisted_once DO UPDATE
   SET confirmed_at = least(r.confirmed_at, excluded.confirmed_at);

-- name: index_relisted :none
CREATE INDEX relisted_number ON pg_temp.relisted (orderid);
CREATE INDEX relisted_time ON pg_temp.relisted (confirmed_at);
ANALYZE pg_temp.relisted;

-- name: orderids :many
-- Public numbers by key.
SELECT p.order_key::text, min(p.orderid::text)
  FROM {purchases} AS p
 WHERE p.order_key = ANY(%(keys)s::text[]::{key_type}[])
   AND p.orderid IS NOT NULL
 GROUP BY 1;

-- name: match_keys :many
-- Finds a page of the ledger's orders, in the order of their keys, among those listed: by
-- the number that their receipt has, else by their time, which must be one order's alone.
-- Gives the page's last key and its size, no row when there is no more. Relies on ledger_order_once,
-- relisted_number and relisted_time.
WITH page AS MATERIALIZED (
    SELECT l.order_key, l.confirmed_at, l.batch_id, l.orderid, l.state
      FROM syncd.ledger AS l
     WHERE l.feed_id = %(feed)s
       AND l.order_key > %(after)s
     ORDER BY l.order_key
     LIMIT %(page)s
), numbered AS MATERIALIZED (
    SELECT p.order_key, p.confirmed_at,
           coalesce(p.orderid,
                    a.orderids[1 + (SELECT count(*)
                                      FROM syncd.ledger AS b
                                     WHERE b.batch_id = p.batch_id
                                       AND b.state IS NULL
                                       AND (b.confirmed_at, b.order_key)
                                           < (p.confirmed_at, p.order_key))]) AS orderid
      FROM page AS p
      LEFT JOIN LATERAL (SELECT t.orderids
                           FROM syncd.attempt AS t
                           JOIN syncd.batch AS b USING (batch_id)
                          WHERE t.batch_id = p.batch_id
                            AND p.state IS NULL
                            AND t.outcome = 'accepted'
                            AND cardinality(t.orderids) = b.orders
                          ORDER BY t.attempt DESC
                          LIMIT 1) AS a
        ON true
), matched AS (
    SELECT n.order_key AS old_key, coalesce(s.order_key, t.order_key) AS order_key
      FROM numbered AS n
     CROSS JOIN LATERAL (SELECT CASE WHEN count(*) = 1 THEN min(r.order_key) END
                           FROM pg_temp.relisted AS r
                          WHERE r.orderid = n.orderid) AS s (order_key)
     CROSS JOIN LATERAL (SELECT CASE WHEN count(*) = 1 THEN min(r.order_key) END
                           FROM pg_temp.relisted AS r
                          WHERE r.confirmed_at = n.confirmed_at) AS t (order_key)
), noted AS (
    UPDATE pg_temp.relisted AS r
       SET old_key = m.old_key
      FROM (SELECT DISTINCT ON (c.order_key) c.order_key, c.old_key
              FROM matched AS c
             WHERE c.order_key IS NOT NULL
             ORDER BY c.order_key, c.old_key) AS m
     WHERE r.order_key = m.order_key
       AND r.old_key IS NULL
)
SELECT max(p.order_key) AS last_key, count(*) AS orders
  FROM page AS p
HAVING count(*) > 0;

-- name: count_relisted :one
-- How many orders are known under another key, under the same, and under none: those
-- confirmed before the feed's start, and since; and an example of each but the second.
SELECT count(*) FILTER (WHERE r.old_key <> r.order_key) AS renamed,
       count(*) FILTER (WHERE r.old_key = r.order_key) AS same,
       count(*) FILTER (WHERE r.old_key IS NULL
                          AND r.confirmed_at <= f.started_at) AS before,
       count(*) FILTER (WHERE r.old_key IS NULL AND r.confirmed_at > f.started_at
                          AND r.confirmed_at <= %(held_at)s::timestamptz) AS unmatched,
       count(*) FILTER (WHERE r.old_key IS NULL AND r.confirmed_at > f.started_at
                          AND r.confirmed_at > %(held_at)s::timestamptz) AS new,
       (SELECT count(*)
          FROM syncd.ledger AS l
         WHERE l.feed_id = %(feed)s)
       - count(r.old_key) AS absent,
       (array_agg(r.old_key || ' is ' || r.order_key ORDER BY r.confirmed_at DESC)
        FILTER (WHERE r.old_key <> r.order_key))[1] AS example,
       coalesce((array_agg(r.order_key ORDER BY r.confirmed_at DESC)
                 FILTER (WHERE r.old_key IS NULL AND r.confirmed_at > f.started_at
                           AND r.confirmed_at <= %(held_at)s::timestamptz))[1:%(named)s], '{{}}') AS keys
  FROM syncd.feed AS f
  LEFT JOIN pg_temp.relisted AS r
    ON true
 WHERE f.feed_id = %(feed)s;

-- name: retire_keys :rows
-- Makes room for new keys: those of orders that are known under another one now, and
-- those that another order has, become keys that no view gives.
UPDATE syncd.ledger AS l
   SET order_key = l.order_key || %(retired)s
 WHERE l.feed_id = %(feed)s
   AND l.order_key IN (SELECT r.old_key
                         FROM pg_temp.relisted AS r
                        WHERE r.old_key <> r.order_key
                        UNION
                       SELECT r.order_key
                         FROM pg_temp.relisted AS r
                        WHERE r.old_key IS DISTINCT FROM r.order_key);

-- name: rebind_keys :rows
-- Gives the orders of the ledger their new keys.
UPDATE syncd.ledger AS l
   SET order_key = r.order_key
  FROM pg_temp.relisted AS r
 WHERE r.old_key <> r.order_key
   AND l.feed_id = %(feed)s
   AND l.order_key = r.old_key || %(retired)s;

-- name: rebind_moves :none
-- The same for the batches that they were in before.
UPDATE syncd.order_move AS d
   SET order_key = r.order_key
  FROM pg_temp.relisted AS r
 WHERE r.old_key <> r.order_key
   AND d.feed_id = %(feed)s
   AND d.order_key = r.old_key;

-- name: forget_reached_keys :none
-- Backfills and accounts that stand within one instant read it again from its beginning:
-- the key that they had reached is of the old kind.
WITH accounts AS (
    UPDATE syncd.reconciliation AS r
       SET reached_key = NULL
     WHERE r.feed_id = %(feed)s
       AND r.reached_key IS NOT NULL
)
UPDATE syncd.backfill AS b
   SET reached_key = NULL
 WHERE b.feed_id = %(feed)s
   AND b.reached_key IS NOT NULL;

-- name: erase_fingerprints :none
-- Fingerprints are keyed by the order's key, and only of the newest: they come again.
DELETE FROM syncd.fingerprint
 WHERE feed_id = %(feed)s;

-- name: relisted_before :many
-- The orders that are known under no key and were confirmed before the feed's start: old
-- ones, which only a backfill sends.
SELECT r.order_key
  FROM pg_temp.relisted AS r
  JOIN syncd.feed AS f
    ON f.feed_id = %(feed)s
 WHERE r.old_key IS NULL
   AND r.confirmed_at <= f.started_at

-- name: next_initial_chunk :one
SELECT coalesce(max(i.chunk), 0) + 1
  FROM syncd.initial_orders AS i
 WHERE i.feed_id = %(feed)s;

-- name: unmatched :many
-- The orders since the feed's start that are known under no key, and may have been sent.
SELECT r.order_key COLLATE "C" AS order_key, r.confirmed_at
  FROM pg_temp.relisted AS r
  JOIN syncd.feed AS f
    ON f.feed_id = %(feed)s
 WHERE r.old_key IS NULL
   AND r.confirmed_at > f.started_at
   AND r.confirmed_at <= %(held_at)s::timestamptz

-- name: doubt_unmatched :none
-- Lets orders since the feed's start that are captured from now on count as uncertain.
UPDATE syncd.feed
   SET lost_from = least(lost_from, started_at),
       lost_until = greatest(lost_until, %(held_at)s)
 WHERE feed_id = %(feed)s;

-- name: known_orders :many
-- Some orders as in the ledger, with the number that the receipt of each has: its
-- events are in the order of the batch. Left out is what is still to be sent, whatever it
-- is by then, and what may be captured again. Relies on ledger_order_once.
SELECT l.order_key AS key, l.confirmed_at,
       coalesce(l.orderid,
                a.orderids[1 + (SELECT count(*)
                                  FROM syncd.ledger AS o
                                 WHERE o.batch_id = l.batch_id
                                   AND o.state IS NULL
                                   AND (o.confirmed_at, o.order_key)
                                       < (l.confirmed_at, l.order_key))])
           AS orderid
  FROM syncd.ledger AS l
  JOIN syncd.batch AS b USING (batch_id)
  LEFT JOIN LATERAL (SELECT t.orderids
                       FROM syncd.attempt AS t
                      WHERE t.batch_id = l.batch_id
                        AND l.state IS NULL
                        AND t.outcome = 'accepted'
                        AND cardinality(t.orderids) = b.orders
                      ORDER BY t.attempt DESC
                      LIMIT 1) AS a
    ON true
 WHERE l.feed_id = %(feed)s
   AND l.order_key = ANY(%(keys)s)
   AND coalesce(l.state, '') NOT IN ('withdrawn', 'released')
   AND (l.state IS NOT NULL OR b.attempts > 0 OR b.state <> 'pending');

-- name: compared_before :many
-- Those of some keys, not noted as reused, whose times of now lie where an account has
-- compared every order, well after an order of that time would have been visible.
SELECT u.order_key
  FROM unnest(%(keys)s::text[], %(times)s::timestamptz[]) AS u (order_key, listed_at)
 WHERE NOT EXISTS (SELECT
                     FROM syncd.reused_key AS k
                    WHERE k.feed_id = %(feed)s
                      AND k.order_key = u.order_key)
   AND EXISTS (SELECT
                 FROM syncd.reconciliation AS r
                WHERE r.feed_id = %(feed)s
                  AND r.finished_at IS NOT NULL
                  AND r.unreadable = 0
                  AND r.lower_at < u.listed_at
                  AND r.upper_at >= u.listed_at
                  AND r.started_at > u.listed_at + interval '1 hour');

-- name: note_reused :one
-- Notes keys that stand for other orders now; forgets those of the keys that do not. Gives
-- how many were not noted before.
WITH noted AS (
    INSERT INTO syncd.reused_key AS r
           (feed_id, order_key, known_at, known_as, listed_at, listed_as)
    SELECT %(feed)s, u.order_key, u.known_at, u.known_as, u.listed_at, u.listed_as
      FROM unnest(%(reused)s::text[], %(known_at)s::timestamptz[], %(known_as)s::text[],
                  %(listed_at)s::timestamptz[], %(listed_as)s::text[])
           AS u (order_key, known_at, known_as, listed_at, listed_as)
        ON CONFLICT ON CONSTRAINT reused_key_once DO UPDATE
       SET listed_at = excluded.listed_at,
           listed_as = excluded.listed_as
    RETURNING xmax = 0 AS is_new
), erased AS (
    DELETE FROM syncd.reused_key AS r
     WHERE r.feed_id = %(feed)s
       AND r.order_key = ANY(%(keys)s)
       AND r.order_key <> ALL(%(reused)s)
)
SELECT count(*) FILTER (WHERE n.is_new)
  FROM noted AS n;

-- name: reused_keys :many
-- The keys that stand for other orders now, the newest first: of some orders, or all.
SELECT r.order_key AS key, r.known_at, r.known_as, r.listed_at, r.listed_as
  FROM syncd.reused_key AS r
 WHERE r.feed_id = %(feed)s
   AND (%(all)s OR r.order_key = ANY(%(orders)s) OR r.listed_as = ANY(%(orders)s))
 ORDER BY r.noted_at DESC, r.order_key
 LIMIT %(limit)s;

-- name: count_reused :one
SELECT count(*) AS keys, max(r.noted_at) AS newest_at, min(r.order_key) AS example
  FROM syncd.reused_key AS r
 WHERE r.feed_id = %(feed)s;

-- name: retire_reused :rows
-- Lets known orders keep what is known of them under keys that no view gives.
WITH retired AS (
    DELETE FROM syncd.reused_key AS r
     WHERE r.feed_id = %(feed)s
       AND r.order_key = ANY(%(keys)s)
    RETURNING r.order_key
), moves AS (
    UPDATE syncd.order_move AS d
       SET order_key = d.order_key || %(retired)s
      FROM retired AS r
     WHERE d.feed_id = %(feed)s
       AND d.order_key = r.order_key
), fingerprints AS (
    DELETE FROM syncd.fingerprint AS f
     USING retired AS r
     WHERE f.feed_id = %(feed)s
       AND f.order_key = r.order_key
)
UPDATE syncd.ledger AS l
   SET order_key = l.order_key || %(retired)s
  FROM retired AS r
 WHERE l.feed_id = %(feed)s
   AND l.order_key = r.order_key;

-- name: keep_reused :rows
-- Takes over the times and numbers that the views now give known orders: an operator
-- decided that they are the same orders.
WITH kept AS (
    DELETE FROM syncd.reused_key AS r
     WHERE r.feed_id = %(feed)s
       AND r.order_key = ANY(%(keys)s)
    RETURNING r.order_key, r.listed_at, r.listed_as
)
UPDATE syncd.ledger AS l
   SET confirmed_at = k.listed_at,
       orderid = k.listed_as
  FROM kept AS k
 WHERE l.feed_id = %(feed)s
   AND l.order_key = k.order_key;
