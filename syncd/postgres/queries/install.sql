-- Statements of `syncd install` and `uninstall`. They may run as a superuser: each runs
-- in a transaction with a pinned search path, so that no name resolves to a foreign
-- object.

-- name: pin_search_path :none
SET LOCAL search_path = pg_catalog, pg_temp;

-- name: default_search_path :none
SET LOCAL search_path TO DEFAULT;

-- name: find_oid :one
-- The table of a name, as the session's own search path finds it; null: none. Whatever
-- path that is, each part of this statement is PostgreSQL's own.
SELECT pg_catalog.to_regclass(%(table)s::pg_catalog.text)::pg_catalog.oid;

-- name: untrusted :many
-- Objects in schema syncd of a role that could make them run as the installing role:
-- any other role but superusers. Views are the operator's, and the installing role does
-- not read them.
SELECT u.kind, u.name, pg_get_userbyid(u.owner)::text AS owner
  FROM pg_namespace AS n
 CROSS JOIN LATERAL (
       SELECT 'schema' AS kind, 'syncd' AS name, n.nspowner AS owner
        UNION ALL
       SELECT 'relation', 'syncd.' || quote_ident(c.relname::text), c.relowner
         FROM pg_class AS c
        WHERE c.relnamespace = n.oid
          AND (c.relkind IN ('r', 'p', 'S', 'f')
               OR c.relname IN ('migration', 'outbox', 'outbox_fault'))
        UNION ALL
       SELECT 'function', 'syncd.' || quote_ident(p.proname::text), p.proowner
         FROM pg_proc AS p
        WHERE p.pronamespace = n.oid
          AND p.prorettype = 'trigger'::regtype
        UNION ALL
       SELECT 'trigger', quote_ident(t.tgname::text) || ' on syncd.'
                         || quote_ident(c.relname::text), p.proowner
         FROM pg_trigger AS t
         JOIN pg_class AS c ON c.oid = t.tgrelid
         JOIN pg_proc AS p ON p.oid = t.tgfoid
        WHERE c.relnamespace = n.oid
          AND c.relkind IN ('r', 'p')
          AND NOT t.tgisinternal) AS u
 WHERE n.nspname = 'syncd'
   AND u.owner NOT IN (SELECT r.oid FROM pg_roles AS r
                        WHERE r.rolsuper OR r.rolname = current_user)

-- name: whoever :one
SELECT quote_ident(current_user::text);

-- name: lacking_rights :many
-- What of some rights on relations of schema syncd a role has not; those on what is not
-- there are left out.
SELECT r.relation, r.privilege
  FROM unnest(%(relations)s::text[], %(privileges)s::text[]) AS r (relation, privilege)
  JOIN pg_catalog.pg_class AS c
    ON c.relnamespace = to_regnamespace('syncd') AND c.relname = r.relation
 WHERE NOT CASE WHEN c.relkind = 'S'
                THEN has_sequence_privilege(coalesce(%(role)s::name, current_user), c.oid,
                                            r.privilege)
                ELSE has_table_privilege(coalesce(%(role)s::name, current_user), c.oid,
                                         r.privilege) END
 ORDER BY 1, 2;

-- name: lacks_schema :one
SELECT NOT coalesce(has_schema_privilege(%(role)s::name, to_regnamespace('syncd')::oid,
                                         'USAGE'), false);

-- name: lacks_views :one
-- Whether a role lacks a right to read one of some views.
SELECT EXISTS (
       SELECT FROM unnest(%(views)s::text[]) AS v (view)
         JOIN pg_class AS c ON c.oid = to_regclass(v.view)
        WHERE NOT (has_schema_privilege(%(role)s::name, c.relnamespace, 'USAGE')
                   AND has_table_privilege(%(role)s::name, c.oid, 'SELECT')));

-- name: blocked_dumps :many
-- Roles whose pg_dump of this database schema syncd ends: who owns the database or a
-- table, or may read every table and sequence, and may not read all of syncd's (or, once
-- more of it is made, will not be allowed to); with the statements that let it.
WITH relations AS MATERIALIZED (
    SELECT c.oid, c.relkind, c.relowner, c.relnamespace, n.nspname
      FROM pg_catalog.pg_class AS c
      JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'S')
       AND n.nspname <> 'information_schema'
       AND NOT starts_with(n.nspname::text, 'pg_')
), shop AS MATERIALIZED (
    SELECT oid, relkind, relowner, relnamespace FROM relations WHERE nspname <> 'syncd'
), own AS MATERIALIZED (
    SELECT oid, relnamespace FROM relations WHERE nspname = 'syncd'
)
SELECT r.rolname::text,
       format('GRANT USAGE ON SCHEMA syncd TO %%1$I; GRANT SELECT ON ALL TABLES IN SCHEMA '
              'syncd TO %%1$I; GRANT SELECT ON ALL SEQUENCES IN SCHEMA syncd TO %%1$I;',
              r.rolname)
  FROM pg_catalog.pg_roles AS r
 WHERE NOT r.rolsuper
   AND NOT starts_with(r.rolname::text, 'pg_')
   AND NOT pg_has_role(r.oid, 'pg_read_all_data', 'USAGE')
   AND (r.oid = (SELECT d.datdba FROM pg_catalog.pg_database AS d
                  WHERE d.datname = current_database())
        OR r.oid IN (SELECT s.relowner FROM shop AS s WHERE s.relkind <> 'S')
        OR EXISTS (SELECT FROM shop)
           AND NOT EXISTS (
               SELECT FROM shop AS s
                WHERE NOT (has_schema_privilege(r.oid, s.relnamespace, 'USAGE')
                           AND has_table_privilege(r.oid, s.oid, 'SELECT'))))
   AND (%(made)s
        OR EXISTS (SELECT FROM own AS o
                    WHERE NOT (has_schema_privilege(r.oid, o.relnamespace, 'USAGE')
                               AND has_table_privilege(r.oid, o.oid, 'SELECT'))))
 ORDER BY 1;

-- name: publications_of_all :many
-- Publications that take every table with them, syncd's too, and what takes its place.
SELECT p.pubname::text,
       format('CREATE PUBLICATION %I FOR %s; on each subscriber ALTER SUBSCRIPTION ... '
              'SET PUBLICATION %I; then DROP PUBLICATION %I;',
              n.name, n.tables, n.name, p.pubname)
  FROM pg_catalog.pg_publication AS p
 CROSS JOIN LATERAL (
       SELECT p.pubname || '_shop' AS name,
              'TABLES IN SCHEMA '
              || string_agg(DISTINCT quote_ident(s.nspname::text), ', ') AS tables
         FROM pg_catalog.pg_class AS c
         JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p')
          AND NOT c.relispartition
          AND s.nspname NOT IN ('syncd', 'information_schema')
          AND NOT starts_with(s.nspname::text, 'pg_')) AS n
 WHERE p.puballtables
 ORDER BY 1;

-- name: publications_of_schema :many
-- Publications of schema syncd as a whole, and what takes it out.
SELECT p.pubname::text,
       format('ALTER PUBLICATION %I DROP TABLES IN SCHEMA syncd;', p.pubname)
  FROM pg_catalog.pg_publication AS p
  JOIN pg_catalog.pg_publication_namespace AS n ON n.pnpubid = p.oid
 WHERE n.pnnspid = to_regnamespace('syncd')
 ORDER BY 1;

-- name: server_version :one
SELECT current_setting('server_version_num')::integer;

-- name: standing_functions :many
-- The functions of syncd's triggers that are as they should be but for their text.
SELECT p.proname::text, p.prosrc
  FROM pg_proc AS p
 WHERE p.pronamespace = to_regnamespace('syncd')
   AND starts_with(p.proname::text, 'listen_')
   AND p.prosecdef
   AND p.proconfig = ARRAY['search_path=pg_catalog, pg_temp', 'lock_timeout=20ms']
   AND NOT EXISTS (
       SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
        WHERE a.grantee = 0);

-- name: standing_triggers :many
-- The triggers of a table with what they call, what they fire for (4: INSERT, 16: UPDATE,
-- of a statement), and when (A: always, O: not for replicas, D: never).
SELECT t.tgname::text AS name, p.proname::text AS function, t.tgtype::integer AS type,
       t.tgenabled::text AS fires
  FROM pg_trigger AS t
  JOIN pg_proc AS p ON p.oid = t.tgfoid
 WHERE t.tgrelid = %(table)s::oid
   AND p.pronamespace = to_regnamespace('syncd')
   AND t.tgnewtable = 'touched'
   AND t.tgoldtable IS NULL
   AND t.tgqual IS NULL;

-- name: faults :one
-- Changes that the triggers could not record, where the installing role may reset them.
SELECT CASE WHEN has_sequence_privilege('syncd.outbox_fault', 'SELECT')
             AND has_sequence_privilege('syncd.outbox_fault', 'UPDATE')
            THEN coalesce(pg_sequence_last_value('syncd.outbox_fault'), 0)
            ELSE 0 END;

-- name: known_feeds :many
-- Every feed of the ledger: the number of its orders, and since when it runs.
SELECT f.feed,
       (SELECT count(*) FROM syncd.ledger AS l WHERE l.feed_id = f.feed_id) AS orders,
       f.started_at AS since
  FROM syncd.feed AS f
 ORDER BY f.feed;

-- name: listening_feeds :many
-- Every feed that has triggers.
SELECT DISTINCT split_part(encode(t.tgargs, 'escape'), '\000', 1)
  FROM pg_catalog.pg_trigger AS t
  JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
 WHERE p.pronamespace = to_regnamespace('syncd')
   AND starts_with(p.proname::text, 'listen_')
 ORDER BY 1;

-- name: running_daemons :many
-- Daemons of any feed that live.
SELECT f.feed, i.host, i.pid
  FROM pg_catalog.pg_locks AS l
  JOIN syncd.instance AS i ON i.instance_id = l.objid::bigint::integer
  JOIN syncd.feed AS f USING (feed_id)
 WHERE l.locktype = 'advisory'
   AND l.classid = 1937337955
   AND l.granted
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d
                      WHERE d.datname = current_database())
 ORDER BY 1, 2, 3;

-- name: is_super :one
SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user;

-- name: soon :none
SET LOCAL statement_timeout = '5s';

-- name: read_columns :many
-- The columns of a table that the two views read, with their type; views behind them too.
WITH RECURSIVE views AS (
    SELECT v.view::regclass::oid AS oid
      FROM unnest(%(views)s::text[]) AS v (view)
     UNION
    SELECT d.refobjid
      FROM views AS v
      JOIN pg_rewrite AS r ON r.ev_class = v.oid
      JOIN pg_depend AS d
        ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
       AND d.refclassid = 'pg_class'::regclass
      JOIN pg_class AS c ON c.oid = d.refobjid AND c.relkind IN ('v', 'm')
)
SELECT DISTINCT a.attname::text,
       format_type(CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END, NULL)
  FROM views AS v
  JOIN pg_rewrite AS r ON r.ev_class = v.oid
  JOIN pg_depend AS d
    ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
   AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %(table)s::oid
  JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
  JOIN pg_type AS t ON t.oid = a.atttypid
 WHERE a.attnum > 0
 ORDER BY 1;

-- name: sample_values :many
-- Some values of a column that may hold orders' keys, as text.
SELECT DISTINCT format('%%s', s.value)
  FROM (SELECT t.{column} AS value
          FROM {table} AS t
         WHERE t.{column} IS NOT NULL
         LIMIT %(limit)s) AS s;

-- name: count_held :one
-- How many of some keys a column holds.
SELECT count(DISTINCT t.{column})
  FROM {table} AS t
 WHERE t.{column} = ANY(%(keys)s::text[]::{type}[]);

-- name: known_keys :many
-- Which of some texts are keys of the views.
SELECT pg_temp.syncd_known_keys(%(keys)s::text[]);

-- name: newest_keys :many
-- The keys of the orders that were confirmed last.
SELECT pg_temp.syncd_newest_keys();
