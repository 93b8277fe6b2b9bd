-- Drops the slot that `syncd install --wal` made in this database, with the WAL that it
-- retains. Stop the daemon first.

SELECT pg_catalog.pg_drop_replication_slot(slot_name)
  FROM pg_catalog.pg_replication_slots
 WHERE slot_name = {slot}
   AND database = current_database();
