-- Removes the ledger's records of one feed: which of its orders were sent, which were
-- refused. Other feeds keep theirs.

SET LOCAL statement_timeout = 0;
DO $uninstall$
DECLARE
    known_by record;
BEGIN
    FOR known_by IN
        SELECT c.oid::regclass AS tab
          FROM pg_class AS c
          JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'feed_id'
         WHERE c.relnamespace = 'syncd'::regnamespace
           AND c.relkind = 'r'
           AND NOT a.attisdropped
         ORDER BY c.relname = 'feed', c.relname
    LOOP
        EXECUTE format('DELETE FROM %s WHERE feed_id = '
                       '(SELECT f.feed_id FROM syncd.feed AS f WHERE f.feed = %L)',
                       known_by.tab, {feed});
    END LOOP;
END
$uninstall$;
