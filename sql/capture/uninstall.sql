-- Removes the triggers of one feed from the shop's tables, and its rows from the
-- outbox; the outbox itself is dropped with the last feed that has triggers.

SET LOCAL lock_timeout = '500ms';
DO $uninstall$
DECLARE
    noting record;
BEGIN
    FOR noting IN
        SELECT t.tgname, t.tgrelid::regclass AS tab
          FROM pg_trigger AS t
          JOIN pg_proc AS p ON p.oid = t.tgfoid
         WHERE p.pronamespace = to_regnamespace('syncd')
           AND starts_with(p.proname::text, 'listen_')
           AND NOT t.tgisinternal
           AND t.tgparentid = 0
           AND split_part(encode(t.tgargs, 'escape'), '\000', 1) = {feed}
         ORDER BY 2, 1
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', noting.tgname, noting.tab);
    END LOOP;
    FOR noting IN
        SELECT p.oid::regprocedure AS called
          FROM pg_proc AS p
         WHERE p.pronamespace = to_regnamespace('syncd')
           AND p.prorettype = 'trigger'::regtype
           AND starts_with(p.proname::text, 'listen_')
           AND NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgfoid = p.oid)
    LOOP
        EXECUTE format('DROP FUNCTION %s', noting.called);
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_proc AS p
                    WHERE p.pronamespace = to_regnamespace('syncd')
                      AND p.prorettype = 'trigger'::regtype
                      AND starts_with(p.proname::text, 'listen_')) THEN
        DROP TABLE IF EXISTS syncd.outbox;
        DROP SEQUENCE IF EXISTS syncd.outbox_fault;
    ELSE
        DELETE FROM syncd.outbox AS o WHERE o.feed = {feed};
    END IF;
END
$uninstall$;
