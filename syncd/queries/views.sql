-- The views of an operator's: what stands there, and putting others in their place.

-- name: schema_exists :one
SELECT to_regnamespace(%(schema)s) IS NOT NULL;

-- name: standing_view :many
-- The owner of a view, and who else may read it (as a role's name; null: everybody).
SELECT pg_get_userbyid(c.relowner)::text,
       coalesce((SELECT array_agg(DISTINCT r.rolname::text)
                   FROM aclexplode(c.relacl) AS a
                   LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = a.grantee
                  WHERE a.privilege_type = 'SELECT'
                    AND a.grantee <> c.relowner), '{{}}')
  FROM pg_catalog.pg_class AS c
 WHERE c.oid = to_regclass(%(view)s);

-- name: drop_views :none
-- Fails, and drops neither, where something else stands on one of them.
DROP VIEW {confirmed}, {purchases};

-- name: own_view :none
ALTER VIEW {view} OWNER TO {role};

-- name: let_read :none
GRANT SELECT ON {view} TO {role};
