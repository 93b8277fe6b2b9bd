-- Revokes what default privileges of the installing role granted on syncd's tables: a
-- right to create triggers on them allows running code as any role that writes there.
-- SELECT stays.

DO $defaults$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT DISTINCT c.relkind = 'S' AS is_sequence, c.relname,
               CASE WHEN a.grantee = 0 THEN 'PUBLIC'
                    ELSE quote_ident(pg_get_userbyid(a.grantee)::text) END AS grantee
          FROM pg_default_acl AS d
         CROSS JOIN LATERAL aclexplode(d.defaclacl) AS a
          JOIN pg_class AS c
            ON c.relnamespace = 'syncd'::regnamespace
           AND c.relowner = d.defaclrole
           AND c.relkind::text = ANY(CASE WHEN d.defaclobjtype = 'r'
                                          THEN ARRAY['r', 'p'] ELSE ARRAY['S'] END)
         WHERE d.defaclrole = current_user::regrole
           AND d.defaclobjtype IN ('r', 'S')
           AND d.defaclnamespace IN (0, 'syncd'::regnamespace::oid)
           AND a.grantee <> d.defaclrole
           AND a.privilege_type <> 'SELECT'
    LOOP
        EXECUTE format(CASE WHEN given.is_sequence
                            THEN 'REVOKE USAGE, UPDATE ON SEQUENCE syncd.%I FROM %s'
                            ELSE 'REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, '
                                 'TRIGGER ON syncd.%I FROM %s' END,
                       given.relname, given.grantee);
    END LOOP;
END
$defaults$;
