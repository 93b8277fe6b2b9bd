-- What `views draft` reads: the catalogue, and bounded samples. It changes nothing.

-- name: begin_draft :one
-- Makes the transaction one that only reads, each statement of it a short one, and names
-- without a schema PostgreSQL's own.
SELECT set_config('transaction_read_only', 'on', true),
       set_config('statement_timeout', %(limit)s, true),
       set_config('search_path', 'pg_catalog', true);

-- name: draft_tables :many
-- Tables and views of the database, without those of extensions and partitions.
SELECT c.oid::bigint, n.nspname::text AS schema, c.relname::text AS table,
       c.relkind IN ('v', 'm') AS is_view, c.reltuples::float8 AS rows,
       has_schema_privilege(n.oid, 'USAGE')
       AND has_table_privilege(c.oid, 'SELECT') AS is_readable,
       coalesce(obj_description(c.oid, 'pg_class'), '') AS comment
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND NOT c.relispartition
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'syncd')
   AND n.nspname !~ '^pg_(toast|temp)'
   AND NOT EXISTS (SELECT FROM pg_depend AS d
                    WHERE d.classid = 'pg_class'::regclass
                      AND d.objid = c.oid
                      AND d.deptype = 'e')
 ORDER BY n.nspname, c.relname;

-- name: draft_columns :many
-- Columns of some tables. A domain counts as the type that it is made of.
SELECT a.attrelid::bigint AS oid, a.attname::text AS name,
       b.typcategory::text AS category, b.typname::text AS base,
       format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS is_required,
       coalesce(x.is_unique, false) AS is_unique,
       coalesce(x.is_first, false) AS is_indexed,
       coalesce((SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
                   FROM pg_enum AS e
                  WHERE e.enumtypid = b.oid), ARRAY[]::text[]) AS labels,
       coalesce(col_description(a.attrelid, a.attnum), '') AS comment
  FROM pg_attribute AS a
  JOIN pg_type AS t ON t.oid = a.atttypid
  JOIN pg_type AS b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
  LEFT JOIN LATERAL (
       SELECT bool_or(i.indisunique AND i.indnkeyatts = 1 AND i.indpred IS NULL)
                  AS is_unique,
              count(*) > 0 AS is_first
         FROM pg_index AS i
        WHERE i.indrelid = a.attrelid
          AND i.indkey[0] = a.attnum
          AND i.indisvalid) AS x ON true
 WHERE a.attrelid = ANY(%(tables)s::bigint[]::oid[])
   AND a.attnum > 0
   AND NOT a.attisdropped
 ORDER BY a.attrelid, a.attnum;

-- name: draft_keys :many
-- Primary keys and foreign keys of some tables: 'p' or 'f', the table, its columns, and
-- what a foreign key refers to.
SELECT k.contype::text AS kind, k.conrelid::bigint AS table,
       ARRAY(SELECT a.attname::text
               FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, place)
               JOIN pg_attribute AS a
                 ON a.attrelid = k.conrelid AND a.attnum = u.attnum
              ORDER BY u.place) AS columns,
       k.confrelid::bigint AS referred,
       ARRAY(SELECT a.attname::text
               FROM unnest(k.confkey) WITH ORDINALITY AS u (attnum, place)
               JOIN pg_attribute AS a
                 ON a.attrelid = k.confrelid AND a.attnum = u.attnum
              ORDER BY u.place) AS referred_columns
  FROM pg_constraint AS k
 WHERE k.contype IN ('p', 'f')
   AND k.conparentid = 0
   AND k.conrelid = ANY(%(tables)s::bigint[]::oid[])
 ORDER BY k.conrelid, k.contype DESC, k.conname;

-- name: draft_newest_rows :many
-- Some of the newest rows of a table, if its key shows them, each value truncated.
SELECT (SELECT json_object_agg(e.key, left(e.value, %(longest)s::integer))
          FROM jsonb_each_text(to_jsonb(t)) AS e)
  FROM (SELECT s.*
          FROM {schema}.{table} AS s
         ORDER BY s.{key} DESC
         LIMIT %(rows)s::integer) AS t;

-- name: draft_rows :many
-- Some rows of a table, each value cut off.
SELECT (SELECT json_object_agg(e.key, left(e.value, %(longest)s::integer))
          FROM jsonb_each_text(to_jsonb(t)) AS e)
  FROM (SELECT s.* FROM {schema}.{table} AS s LIMIT %(rows)s::integer) AS t;

-- name: draft_matching_rows :many
-- Some rows that have one of these values in a column, each value cut off.
SELECT (SELECT json_object_agg(e.key, left(e.value, %(longest)s::integer))
          FROM jsonb_each_text(to_jsonb(t)) AS e)
  FROM (SELECT s.*
          FROM {schema}.{table} AS s
         WHERE s.{column} = ANY (
               SELECT (jsonb_populate_record(
                          NULL::{schema}.{table},
                          jsonb_build_object(%(name)s::text, k.value))).{column}
                 FROM unnest(%(keys)s::text[]) AS k (value))
         LIMIT %(rows)s::integer) AS t;

-- name: draft_values :many
-- The different values of a column among some rows, if these are few.
SELECT s.value
  FROM (SELECT DISTINCT v.value
          FROM (SELECT left(t.{column}::text, 80) AS value
                  FROM {schema}.{table} AS t
                 LIMIT %(rows)s::integer) AS v
         WHERE v.value IS NOT NULL
         LIMIT %(most)s::integer) AS s
 ORDER BY s.value;
