-- The views of an operator's: what stands there, and putting others in their place.

-- name: schema_exists :one
SELECT to_regnamespace(%(schema)s) IS NOT NULL;

-- name: standing_view :many
-- The owner of a view, and who else may read it (as a role's name; null: everybody).
SELECT pg_get_userbyid(c.relowner)::text AS owner,
       coalesce((SELECT array_agg(DISTINCT r.rolname::text)
                   FROM aclexplode(c.relacl) AS a
                   LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = a.grantee
                  WHERE a.privilege_type = 'SELECT'
                    AND a.grantee <> c.relowner), '{{}}') AS readers
  FROM pg_catalog.pg_class AS c
 WHERE c.oid = to_regclass(%(view)s);

-- name: drop_views :none
-- Fails, and drops neither, where something else stands on one of them.
DROP VIEW {confirmed}, {purchases};

-- name: own_view :none
ALTER VIEW {view} OWNER TO {role};

-- name: let_read :none
GRANT SELECT ON {view} TO {role};

-- name: known_columns :many
-- Columns of some names, of tables of some names, by schema: the catalogue is asked by the
-- tables' names. Whether this role may read the table comes with each.
SELECT n.nspname::text AS schema, c.relname || '.' || a.attname AS column,
       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
           AS is_readable
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
 WHERE c.relname = ANY(%(tables)s::name[])
   AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND NOT starts_with(n.nspname::text, 'pg_')
   AND a.attname = ANY(%(columns)s::name[])
   AND a.attnum > 0
   AND NOT a.attisdropped
 ORDER BY n.nspname = 'public' DESC, n.oid
 LIMIT %(most)s;

-- name: count_tables :one
-- Tables that are not PostgreSQL's or syncd's; ten thousand stand for more.
SELECT count(*)
  FROM (SELECT
          FROM pg_catalog.pg_class AS c
          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'f')
           AND n.nspname NOT IN ('information_schema', 'syncd')
           AND NOT starts_with(n.nspname::text, 'pg_')
         LIMIT 10000) AS t;

-- name: relation_exists :one
SELECT to_regclass(%(name)s) IS NOT NULL;

-- name: may_read :one
SELECT coalesce(has_table_privilege(to_regclass(%(table)s), 'SELECT'), false);

-- name: last_migration :many
-- The last migration of an application that Django noted.
SELECT m.name
  FROM {table} AS m
 WHERE m.app = %(app)s
 ORDER BY m.id DESC
 LIMIT 1;
