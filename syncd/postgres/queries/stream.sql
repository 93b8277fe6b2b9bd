-- Capture from the write-ahead log: slot, publication, position.

-- name: server :one
-- What a replication slot needs of the server. The clock is read before the position:
-- whatever committed by then is at or before it.
SELECT current_setting('server_version_num')::integer AS version,
       pg_is_in_recovery() AS in_recovery,
       current_setting('wal_level') AS wal_level,
       (SELECT setting::bigint FROM pg_catalog.pg_settings
         WHERE name = 'max_slot_wal_keep_size') AS kept_megabytes,
       coalesce((SELECT setting::bigint FROM pg_catalog.pg_settings
                  WHERE name = 'idle_replication_slot_timeout'), 0)
           AS idle_seconds,
       (SELECT count(*) FROM pg_catalog.pg_replication_slots)
         < current_setting('max_replication_slots')::integer AS has_room,
       clock_timestamp() AS now;

-- name: slot :many
-- A slot, if there is one; positions in bytes since 0/0.
SELECT s.plugin, s.database, s.database = current_database() AS is_here, s.active_pid,
       s.wal_status, to_jsonb(s) ->> 'invalidation_reason' AS invalidation,
       (s.confirmed_flush_lsn - '0/0')::bigint AS confirmed,
       (CASE WHEN pg_is_in_recovery() THEN NULL
             ELSE pg_current_wal_lsn() - s.restart_lsn END)::bigint AS retained,
       s.safe_wal_size AS safe,
       coalesce((to_jsonb(s) ->> 'failover')::boolean, false) AS failover,
       coalesce((to_jsonb(s) ->> 'synced')::boolean, false) AS synced
  FROM pg_catalog.pg_replication_slots AS s
 WHERE s.slot_name = %(slot)s;

-- name: clock_and_written :one
-- Up to where the server has written; the clock is read first.
SELECT clock_timestamp() AS at, (pg_current_wal_insert_lsn() - '0/0')::bigint AS position;

-- name: snapshot :one
-- Which transactions a statement sees that begins after this one.
SELECT pg_current_snapshot()::text;

-- name: stream :many
-- How far a feed has read its slot, in bytes since 0/0, and since when that is true.
SELECT (reached - '0/0')::bigint AS position, reached_at AS at
  FROM syncd.replication_position
 WHERE feed_id = %(feed)s;

-- name: move_stream :none
-- Notes how far the slot was read; in the transaction of the orders that it brought.
INSERT INTO syncd.replication_position AS s (feed_id, reached, reached_at)
VALUES (%(feed)s, '0/0'::pg_lsn + %(reached)s::numeric, %(reached_at)s)
    ON CONFLICT ON CONSTRAINT replication_position_once DO UPDATE
   SET reached = excluded.reached,
       reached_at = greatest(s.reached_at, excluded.reached_at);

-- name: commit_durably :many
-- What is acknowledged to the slot must survive a crash of the ledger's server.
SELECT set_config('synchronous_commit', 'local', true)
 WHERE current_setting('synchronous_commit') = 'off';

-- name: start_replication :none
START_REPLICATION SLOT {slot} LOGICAL 0/0
      (proto_version '1', publication_names {publications});

-- name: publication :many
-- A publication's flags, and its note of the key columns.
SELECT NOT p.puballtables AND p.pubinsert AND p.pubupdate AND p.pubviaroot AS is_ours,
       obj_description(p.oid, 'pg_publication') AS note
  FROM pg_catalog.pg_publication AS p
 WHERE p.pubname = %(publication)s;

-- name: published :many
-- The tables of a publication: the columns that travel (null: all), a row filter or not.
SELECT r.prrelid::bigint AS oid, n.nspname AS schema, c.relname AS name,
       (SELECT array_agg(a.attname::text)
          FROM jsonb_array_elements_text(nullif(to_jsonb(r) -> 'prattrs', 'null'))
                AS e (attnum)
          JOIN pg_catalog.pg_attribute AS a
            ON a.attrelid = r.prrelid AND a.attnum = e.attnum::smallint) AS columns,
       to_jsonb(r) ->> 'prqual' IS NOT NULL AS has_filter
  FROM pg_catalog.pg_publication AS p
  JOIN pg_catalog.pg_publication_rel AS r ON r.prpubid = p.oid
  JOIN pg_catalog.pg_class AS c ON c.oid = r.prrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE p.pubname = %(publication)s
 ORDER BY 2, 3;

-- name: find_table :many
-- A table: its kind, the type of one of its columns (null: no such column), and the names
-- of all.
SELECT c.oid::bigint, n.nspname::text AS schema, c.relname::text AS name,
       c.relkind::text AS kind, c.relpersistence::text AS persistence,
       EXISTS (SELECT FROM pg_catalog.pg_inherits AS i
                WHERE i.inhparent = c.oid AND c.relkind = 'r') AS has_heirs,
       (SELECT format_type(CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END,
                           NULL)
          FROM pg_catalog.pg_attribute AS a
          JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
         WHERE a.attrelid = c.oid
           AND a.attname = %(column)s
           AND a.attnum > 0
           AND NOT a.attisdropped) AS key_type,
       (SELECT string_agg(quote_ident(a.attname::text), ', ' ORDER BY a.attname)
          FROM pg_catalog.pg_attribute AS a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
           AS columns
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = %(table)s::oid;

-- name: key_type :many
-- The type of a view's order_key.
SELECT format_type(CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END, NULL)
  FROM pg_catalog.pg_attribute AS a
  JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
 WHERE a.attrelid = to_regclass(%(view)s)
   AND a.attname = 'order_key';

-- name: identities :many
-- How the rows of a table are named when they are updated, for the table itself and its
-- partitions: d default, i index, f full, n nothing; and by which columns. A deferrable
-- key does not count, as it does not for PostgreSQL.
SELECT c.oid::regclass::text AS table, c.relkind = 'p' AS is_partitioned,
       c.relreplident::text AS kind,
       coalesce((SELECT array_agg(a.attname::text ORDER BY a.attnum)
                   FROM pg_catalog.pg_index AS i
                   JOIN pg_catalog.pg_attribute AS a
                     ON a.attrelid = i.indrelid
                    AND a.attnum = ANY((i.indkey::smallint[])[0:i.indnkeyatts - 1])
                  WHERE i.indrelid = c.oid
                    AND i.indisvalid
                    AND i.indimmediate
                    AND CASE c.relreplident WHEN 'i' THEN i.indisreplident
                                            ELSE i.indisprimary END),
                '{{}}') AS columns
  FROM (SELECT %(table)s::bigint::oid AS relid
         UNION
        SELECT relid::oid FROM pg_partition_tree(%(table)s::bigint::oid::regclass)) AS t
  JOIN pg_catalog.pg_class AS c ON c.oid = t.relid
 ORDER BY c.relkind = 'p' DESC, 1;

-- name: may_replicate :many
-- Whether a role may read a slot; no row where there is no such role.
SELECT rolreplication OR rolsuper
  FROM pg_catalog.pg_roles
 WHERE rolname = %(role)s;
