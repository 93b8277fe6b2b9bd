-- Capture by triggers: keys noted in the shop's own transactions.

-- name: read_outbox :many
-- Some touched orders, in no order. Reads the table whole: it has no index, so that
-- the shop's writers pay for none.
SELECT o.ctid::text AS place, o.xmin::text AS writer, o.order_key AS key
  FROM syncd.outbox AS o
 WHERE o.feed = %(feed)s
 LIMIT %(limit)s;

-- name: discard_outbox :rows
-- Deletes rows that were read, by `ctid`; their writer distinguishes them from later
-- ones.
DELETE FROM syncd.outbox AS o
 WHERE o.ctid = ANY(%(places)s::text[]::tid[])
   AND o.xmin = ANY(%(writers)s::text[]::xid[]);

-- name: take_outbox :many
-- The start of an admission: takes some rows, in no order, unless admissions are paused
-- or the views are others than were accepted.
-- A join, since a list of places would be compared with each row that waits.
DELETE FROM syncd.outbox AS o
 USING syncd.watermark AS w,
       (SELECT n.ctid AS place
          FROM syncd.outbox AS n
         WHERE n.feed = %(outbox)s
         LIMIT %(limit)s) AS r
 WHERE w.feed_id = %(feed)s
   AND w.paused_at IS NULL
   AND ({sealed})
   AND o.ctid = r.place
RETURNING o.order_key

-- name: take_rows :many
-- The same for rows that were read.
DELETE FROM syncd.outbox AS o
 USING syncd.watermark AS w
 WHERE w.feed_id = %(feed)s
   AND w.paused_at IS NULL
   AND ({sealed})
   AND o.ctid = ANY(%(places)s::text[]::tid[])
   AND o.xmin = ANY(%(writers)s::text[]::xid[])
RETURNING o.order_key

-- name: empty_outbox :rows
-- Deletes all rows of a feed: their keys are of another kind than the views'.
DELETE FROM syncd.outbox AS o
 WHERE o.feed = %(feed)s;

-- name: count_outbox :one
SELECT count(*)
  FROM syncd.outbox AS o
 WHERE o.feed = %(feed)s;

-- name: outbox_condition :one
-- Changes that the triggers could not note, whether PREPARE TRANSACTION is allowed, and
-- whether rows wait.
SELECT CASE WHEN f.is_called THEN f.last_value ELSE 0 END AS faults,
       current_setting('max_prepared_transactions') <> '0' AS may_prepare,
       EXISTS (SELECT FROM syncd.outbox AS o WHERE o.feed = %(feed)s) AS waits
  FROM syncd.outbox_fault AS f;

-- name: listen :none
LISTEN {channel};

-- name: notify :none
SELECT pg_notify(%(channel)s, %(payload)s);

-- name: tables_of :many
-- A table with those below it (partitions, children), itself first.
WITH RECURSIVE tree AS (
    SELECT %(table)s::oid AS oid, 0 AS depth
     UNION ALL
    SELECT i.inhrelid, t.depth + 1
      FROM tree AS t
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent = t.oid
)
SELECT c.oid::bigint, n.nspname::text AS schema, c.relname::text AS table,
       c.relkind::text AS kind, c.relpersistence::text AS persistence,
       has_table_privilege(c.oid, 'TRIGGER') AS may_trigger,
       pg_has_role(c.relowner, 'USAGE') AS is_owned
  FROM tree AS t
  JOIN pg_catalog.pg_class AS c USING (oid)
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 ORDER BY t.depth, n.nspname, c.relname;

-- name: listening :many
-- The triggers of a feed: table, name, when it fires, its events, and whether the table
-- is filled by a subscription (whose changes fire no statement trigger).
SELECT c.oid::regclass::text AS table, quote_ident(t.tgname) AS name,
       t.tgenabled::text AS fires, t.tgtype & 4 <> 0 AS on_insert,
       t.tgtype & 16 <> 0 AS on_update,
       EXISTS (SELECT FROM pg_catalog.pg_subscription_rel AS s
                WHERE s.srrelid = c.oid) AS is_subscribed
  FROM pg_catalog.pg_trigger AS t
  JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
  JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
 WHERE p.pronamespace = to_regnamespace('syncd')
   AND starts_with(p.proname, 'listen_')
   AND split_part(encode(t.tgargs, 'escape'), '\000', 1) = %(feed)s
 ORDER BY c.oid::regclass::text, t.tgname;

-- name: escaping :many
-- Tables below those of a feed without its triggers, and whether they are foreign.
WITH RECURSIVE noted AS (
    SELECT DISTINCT t.tgrelid AS oid
      FROM pg_catalog.pg_trigger AS t
      JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
     WHERE p.pronamespace = to_regnamespace('syncd')
       AND starts_with(p.proname, 'listen_')
       AND split_part(encode(t.tgargs, 'escape'), '\000', 1) = %(feed)s
), below AS (
    SELECT i.inhrelid AS oid
      FROM noted AS n
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent = n.oid
    UNION
    SELECT i.inhrelid
      FROM below AS b
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent = b.oid
)
SELECT c.oid::regclass::text AS name, c.relkind = 'f' AS is_foreign
  FROM below AS b
  JOIN pg_catalog.pg_class AS c USING (oid)
 WHERE c.oid NOT IN (SELECT oid FROM noted)
 ORDER BY 1;

-- name: outbox_rights :one
-- Whether the outbox is there, and whether this role may take rows out of it.
SELECT r.outbox IS NOT NULL AS is_there,
       coalesce(has_table_privilege(r.outbox, 'SELECT')
                AND has_table_privilege(r.outbox, 'DELETE')
                AND has_sequence_privilege(r.fault, 'SELECT'), false)
           AS may_take
  FROM (SELECT to_regclass('syncd.outbox')::oid AS outbox,
               to_regclass('syncd.outbox_fault')::oid AS fault) AS r;
