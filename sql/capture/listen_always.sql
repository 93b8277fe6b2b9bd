-- Sessions with session_replication_role = replica fire the triggers too; needs the
-- table's owner.

ALTER TABLE {table} ENABLE ALWAYS TRIGGER {on_insert};
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {on_update};
