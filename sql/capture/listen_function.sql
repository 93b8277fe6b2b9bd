-- Records which orders a statement touched. It can neither break nor block the
-- statement: a failure here is counted and ignored, after 20 ms at most for each lock.
-- Fixed SQL, so that each session plans it once; format() uses the output function of a
-- key's type, never a user-defined cast that would run as this role.

CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '20ms'
AS $listen$
DECLARE
    lowest  text;
    highest text;
BEGIN
    -- Later statements of a transaction on the order that was recorded last are
    -- skipped: no row, and no transaction id, which the exception block takes as soon
    -- as it writes.
    SELECT min(t.order_key), max(t.order_key)
      INTO lowest, highest
      FROM (SELECT format('%s', n.{key}) COLLATE "C" AS order_key
              FROM touched AS n
             WHERE n.{key} IS NOT NULL) AS t;
    IF lowest IS NULL
       OR (lowest = highest
           AND current_setting('syncd.touched', true) = {feed} || ' ' || lowest) THEN
        RETURN NULL;
    END IF;
    IF lowest = highest THEN
        INSERT INTO syncd.outbox (feed, order_key) VALUES ({feed}, lowest);
        PERFORM set_config('syncd.touched', {feed} || ' ' || lowest, true);
    ELSE
        INSERT INTO syncd.outbox (feed, order_key)
        SELECT DISTINCT {feed}, format('%s', n.{key})
          FROM touched AS n
         WHERE n.{key} IS NOT NULL;
        PERFORM set_config('syncd.touched', 'some', true);
    END IF;
    -- Notify the daemon, from at most two transactions at a time: commits with a NOTIFY
    -- wait for each other. After one, PREPARE TRANSACTION would fail, and COMMIT if the
    -- server's notification queue is full.
    IF current_setting('max_prepared_transactions') = '0'
       AND pg_notification_queue_usage() < 0.5
       AND (pg_try_advisory_xact_lock(1937337956, {slot})
            OR pg_try_advisory_xact_lock(1937337956, {slot} + 1)) THEN
        PERFORM pg_notify({channel}, '');
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    BEGIN
        IF nextval('syncd.outbox_fault') % 100 = 1 THEN
            RAISE LOG 'syncd: a change of % was not noted (SQLSTATE %)',
                TG_TABLE_NAME, SQLSTATE;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        NULL;
    END;
    RETURN NULL;
END
$listen$;
ALTER FUNCTION {function}() OWNER TO CURRENT_USER;
REVOKE ALL ON FUNCTION {function}() FROM PUBLIC;
