-- Statement triggers on one table: a bulk update runs each of them once. The lock
-- timeout is below deadlock_timeout, so that no session of the shop is the victim of a
-- deadlock.

SET LOCAL lock_timeout = '500ms';
CREATE OR REPLACE TRIGGER {on_insert}
    AFTER INSERT ON {table} REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION {function}({feed}, {key});
CREATE OR REPLACE TRIGGER {on_update}
    AFTER UPDATE ON {table} REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION {function}({feed}, {key});
