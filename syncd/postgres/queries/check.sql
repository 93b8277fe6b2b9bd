-- Statements of `syncd check` only. None writes, or locks more than reading does.

-- name: require_read_only :one
-- Makes the session read-only, with short timeouts; not through a pooler, where the
-- settings would stay for the session's next client.
SELECT set_config('default_transaction_read_only', 'on', false),
       set_config('statement_timeout', '5s', false);

-- name: server_facts :one
-- Version, whom it is, its process, TLS, zone of the session and of the server.
SELECT current_setting('server_version_num')::integer AS number,
       current_setting('server_version') AS version,
       session_user::text AS user,
       pg_backend_pid() AS pid,
       coalesce((SELECT s.ssl FROM pg_catalog.pg_stat_ssl AS s
                  WHERE s.pid = pg_backend_pid()), false) AS is_encrypted,
       current_setting('TimeZone') AS zone,
       (SELECT s.reset_val FROM pg_catalog.pg_settings AS s
         WHERE s.name = 'TimeZone') AS own_zone;

-- name: default_synchronous_commit :one
-- What a session has that does not set it; syncd's own do.
SELECT s.reset_val
  FROM pg_catalog.pg_settings AS s
 WHERE s.name = 'synchronous_commit';

-- name: database_size :one
SELECT pg_size_pretty(pg_database_size(current_database()));

-- name: standby_facts :one
-- Whether it is a hot standby, and how many bytes it has received and not yet replayed.
SELECT pg_is_in_recovery() AS is_standby,
       CASE WHEN pg_is_in_recovery()
            THEN coalesce(pg_last_wal_receive_lsn() - pg_last_wal_replay_lsn(), 0)::bigint
            END AS behind;

-- name: continuity_facts :one
-- Which cluster it is, and the timeline of its last checkpoint.
SELECT s.system_identifier AS cluster, c.timeline_id AS timeline
  FROM pg_catalog.pg_control_system() AS s,
       pg_catalog.pg_control_checkpoint() AS c;

-- name: role_facts :one
-- What the role may do beyond tables: attributes, memberships, where it may create.
SELECT r.rolsuper AS is_superuser, r.rolbypassrls AS bypasses_rls,
       r.rolreplication AS replicates, r.rolcreaterole AS creates_roles,
       r.rolcreatedb AS creates_databases,
       (SELECT coalesce(array_agg(g.rolname::text ORDER BY g.rolname), '{{}}')
          FROM pg_catalog.pg_roles AS g
         WHERE g.rolname IN ('pg_read_all_data', 'pg_write_all_data',
                             'pg_read_server_files', 'pg_write_server_files',
                             'pg_execute_server_program')
           AND pg_has_role(r.oid, g.oid, 'USAGE')) AS groups,
       (SELECT coalesce(array_agg(n.nspname::text ORDER BY n.nspname), '{{}}')
          FROM pg_catalog.pg_namespace AS n
         WHERE NOT starts_with(n.nspname, 'pg_')
           AND n.nspname <> 'information_schema'
           AND has_schema_privilege(n.oid, 'CREATE')) AS schemas,
       pg_has_role(d.datdba, 'USAGE') AS owns_database
  FROM pg_catalog.pg_roles AS r,
       pg_catalog.pg_database AS d
 WHERE r.rolname = current_user
   AND d.datname = current_database();

-- name: excessive :many
-- Tables of the shop that the role owns, or may change.
SELECT c.oid::regclass::text AS table, pg_has_role(c.relowner, 'USAGE') AS is_owner
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p')
   AND NOT starts_with(n.nspname, 'pg_')
   AND n.nspname NOT IN ('syncd', 'information_schema')
   AND (pg_has_role(c.relowner, 'USAGE')
        OR has_any_column_privilege(c.oid, 'INSERT, UPDATE')
        OR has_table_privilege(c.oid, 'DELETE, TRUNCATE'))
 ORDER BY 1;

-- name: view_rights :many
-- The views that the role may not read, with the right that is missing.
SELECT v.view,
       CASE WHEN has_schema_privilege(n.oid, 'USAGE') THEN 'SELECT'
                    ELSE 'USAGE on its schema' END AS lacking
  FROM unnest(%(views)s::text[]) AS v (view)
  JOIN pg_catalog.pg_class AS c ON c.oid = to_regclass(v.view)
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE NOT (has_schema_privilege(n.oid, 'USAGE')
            AND has_table_privilege(c.oid, 'SELECT'));

-- name: ledger_rights :many
-- What the daemon must be able to do with the ledger and may not.
SELECT t.name, r.privilege
  FROM (VALUES ('feed'), ('watermark'), ('endpoint'), ('instance'), ('batch'),
               ('attempt'), ('ledger'), ('backfill'), ('stream'), ('reconciliation'),
               ('order_move'), ('verification'), ('answer'), ('failed_start'),
               ('alarm'), ('identity'), ('reused_key'), ('fingerprint'),
               ('left_out')) AS t (name)
 CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE')) AS r (privilege)
  JOIN pg_catalog.pg_class AS c
    ON c.relnamespace = to_regnamespace('syncd') AND c.relname = t.name
 WHERE NOT has_table_privilege(c.oid, r.privilege)
 UNION ALL
SELECT s.relname, 'USAGE'
  FROM pg_catalog.pg_class AS s
 WHERE s.oid = to_regclass('syncd.batch_batch_id_seq')
   AND NOT has_sequence_privilege(s.oid, 'USAGE')
 ORDER BY 1, 2;

-- name: timed_views :many
-- The view of confirmed orders and those that it reads, where they use the present time.
WITH RECURSIVE tree AS (
    SELECT to_regclass(%(confirmed_view)s)::oid AS oid
     UNION
    SELECT d.refobjid
      FROM tree AS t
      JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = t.oid AND r.ev_type = '1'
      JOIN pg_catalog.pg_depend AS d
        ON d.classid = 'pg_catalog.pg_rewrite'::regclass
       AND d.objid = r.oid
       AND d.refclassid = 'pg_catalog.pg_class'::regclass
)
SELECT c.oid::regclass::text
  FROM tree AS t
  JOIN pg_catalog.pg_class AS c USING (oid)
 WHERE c.relkind = 'v'
   AND pg_get_viewdef(c.oid) ~ '\m((now|(clock|statement|transaction)_timestamp)\(\)|(CURRENT_DATE|CURRENT_TIMESTAMP|LOCALTIMESTAMP)\M)'
 ORDER BY 1;

-- name: connection_limits :one
-- Limits on the role's connections and on all, with how many there are: -1 is no limit.
-- One's own is counted.
SELECT r.rolconnlimit AS role_limit,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity AS a
         WHERE a.usesysid = r.oid) AS role_used,
       d.datconnlimit AS database_limit,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity AS a WHERE a.datid = d.oid)
           AS database_used,
       current_setting('max_connections')::integer
         - current_setting('superuser_reserved_connections')::integer
         - coalesce(current_setting('reserved_connections', true)::integer, 0)
           AS server_limit,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity AS a
         WHERE a.datid IS NOT NULL) AS server_used,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity AS a
         WHERE a.application_name LIKE 'syncd/' || %(feed)s || '/%%') AS own
  FROM pg_catalog.pg_roles AS r,
       pg_catalog.pg_database AS d
 WHERE r.rolname = current_user
   AND d.datname = current_database();

-- name: read_only_setting :one
-- Whether sessions of this role begin read-only here, by the setting that they begin
-- with; and the statements that take that back, empty for the server's own file.
SELECT s.reset_val = 'on' AND NOT pg_is_in_recovery() AS is_read_only,
       coalesce((SELECT string_agg(
                            CASE WHEN r.setrole = 0
                                 THEN format('ALTER DATABASE %%I', d.datname)
                                 WHEN r.setdatabase = 0
                                 THEN format('ALTER ROLE %%I', u.rolname)
                                 ELSE format('ALTER ROLE %%I IN DATABASE %%I', u.rolname,
                                             d.datname) END
                            || ' RESET default_transaction_read_only', '; ')
                   FROM pg_catalog.pg_db_role_setting AS r
                   LEFT JOIN pg_catalog.pg_roles AS u ON u.oid = r.setrole
                   LEFT JOIN pg_catalog.pg_database AS d ON d.oid = r.setdatabase
                  WHERE (r.setrole = 0 OR u.rolname = session_user)
                    AND (r.setdatabase = 0 OR d.datname = current_database())
                    AND EXISTS (SELECT
                                  FROM unnest(r.setconfig) AS c (setting)
                                 WHERE c.setting LIKE 'default_transaction_read_only=%%')),
                '') AS statements
  FROM pg_catalog.pg_settings AS s
 WHERE s.name = 'default_transaction_read_only';

-- name: prefer_indexes :one
-- Within this transaction, plans as for large tables: row by row through indexes, where
-- there are any.
SELECT set_config('enable_seqscan', 'off', true),
       set_config('enable_hashjoin', 'off', true),
       set_config('enable_mergejoin', 'off', true),
       set_config('enable_material', 'off', true),
       set_config('enable_memoize', 'off', true);

-- name: repeated_rows :many
-- Which of some orders have several rows in purchases.
SELECT p.order_key::text, count(*)
  FROM {purchases} AS p
 WHERE p.order_key = ANY(%(keys)s::text[]::{key_type}[])
 GROUP BY 1
HAVING count(*) > 1
 ORDER BY 1;

-- name: came_with_their_time :many
-- Those of some orders that were captured soon after the time at which they were confirmed.
SELECT l.order_key
  FROM syncd.ledger AS l
  JOIN syncd.batch AS b USING (batch_id)
 WHERE l.feed_id = %(feed)s
   AND l.order_key = ANY(%(keys)s)
   AND b.created_at < l.confirmed_at + %(within)s::interval;

-- name: count_starts :one
-- How many daemons of a feed were started within a time.
SELECT count(*)
  FROM syncd.instance AS i
 WHERE i.feed_id = %(feed)s
   AND i.started_at > %(after)s
   AND i.started_at <= %(until)s;

-- name: replica_roles :many
-- Whose sessions fire no ordinary triggers: a role or a database (null: every one).
SELECT coalesce(r.rolname::text, 'every role') AS role,
       coalesce(d.datname::text, 'every database') AS database
  FROM pg_catalog.pg_db_role_setting AS s
  LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
  LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase
 WHERE 'session_replication_role=replica' = ANY(s.setconfig)
   AND (s.setdatabase = 0 OR d.datname = current_database())
 ORDER BY 1, 2;

-- name: temporary_limits :many
-- Whose sessions may write how much to temporary files, and the statement that lifts it.
SELECT 'every session' AS who,
       pg_size_pretty(s.setting::bigint * 1024) AS temp_file_limit,
       format('ALTER DATABASE %I SET temp_file_limit = -1', current_database())
           AS statement
  FROM pg_catalog.pg_settings AS s
 WHERE s.name = 'temp_file_limit'
   AND s.setting <> '-1'
 UNION ALL
SELECT coalesce('role ' || r.rolname::text, 'every role'),
       split_part(e.setting, '=', 2),
       CASE WHEN r.oid IS NULL
            THEN format('ALTER DATABASE %I SET temp_file_limit = -1', current_database())
            WHEN d.oid IS NULL
            THEN format('ALTER ROLE %I RESET temp_file_limit', r.rolname)
            ELSE format('ALTER ROLE %I IN DATABASE %I RESET temp_file_limit',
                        r.rolname, d.datname) END
  FROM pg_catalog.pg_db_role_setting AS s
 CROSS JOIN LATERAL unnest(s.setconfig) AS e (setting)
  LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
  LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase
 WHERE e.setting LIKE 'temp_file_limit=%'
   AND e.setting <> 'temp_file_limit=-1'
   AND (s.setdatabase = 0 OR d.datname = current_database())
   AND s.setrole IS DISTINCT FROM (SELECT oid FROM pg_catalog.pg_roles
                                    WHERE rolname = current_user)
   AND s.setrole <> 0
 ORDER BY 1;

-- name: has_index :one
-- Whether a table has an index that begins with one of some columns or expressions.
SELECT EXISTS (
       SELECT FROM pg_catalog.pg_index AS i
         JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE ARRAY[n.nspname, c.relname]::text[] = parse_ident(%(table)s)
          AND i.indisvalid
          AND pg_get_indexdef(i.indexrelid, 1, true) = ANY(%(columns)s::text[]));
