-- Keeps the WAL until syncd has read it, up to max_slot_wal_keep_size. A separate
-- statement, after the publication; it waits for running transactions that have
-- written.

SELECT pg_catalog.pg_create_logical_replication_slot({slot}, 'pgoutput'{failover});
