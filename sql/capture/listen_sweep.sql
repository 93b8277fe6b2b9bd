-- Drops functions that no trigger calls.

DO $sweep$
DECLARE
    unused regprocedure;
BEGIN
    FOR unused IN
        SELECT p.oid::regprocedure
          FROM pg_proc AS p
         WHERE p.pronamespace = 'syncd'::regnamespace
           AND p.prorettype = 'trigger'::regtype
           AND starts_with(p.proname::text, 'listen_')
           AND NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgfoid = p.oid)
    LOOP
        EXECUTE format('DROP FUNCTION %s', unused);
    END LOOP;
END
$sweep$;
