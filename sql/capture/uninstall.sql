-- Removes syncd's triggers from the shop's tables, and the outbox.

SET LOCAL lock_timeout = '500ms';
DO $$
DECLARE
    noting regprocedure;
BEGIN
    FOR noting IN
        SELECT p.oid::regprocedure
          FROM pg_catalog.pg_proc AS p
         WHERE p.pronamespace = to_regnamespace('syncd')
           AND p.prorettype = 'pg_catalog.trigger'::regtype
           AND starts_with(p.proname, 'listen_')
    LOOP
        EXECUTE format('DROP FUNCTION %s CASCADE', noting);
    END LOOP;
END
$$;
DROP TABLE IF EXISTS syncd.outbox;
DROP SEQUENCE IF EXISTS syncd.outbox_fault;
