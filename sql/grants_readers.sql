-- Lets a role that dumps the database (`pg_dump`) read schema syncd as well; without it
-- the dump fails. The schema has no personal data.

GRANT USAGE ON SCHEMA syncd TO {role};
DO $readers$
DECLARE
    unread record;
BEGIN
    FOR unread IN
        SELECT c.relkind = 'S' AS is_sequence, c.relname
          FROM pg_class AS c
         WHERE c.relnamespace = 'syncd'::regnamespace
           AND c.relkind IN ('r', 'p', 'S')
           AND NOT has_table_privilege({name}::name, c.oid, 'SELECT')
    LOOP
        EXECUTE format('GRANT SELECT ON %s syncd.%I TO %I',
                       CASE WHEN unread.is_sequence THEN 'SEQUENCE' ELSE 'TABLE' END,
                       unread.relname, {name});
    END LOOP;
END
$readers$;
